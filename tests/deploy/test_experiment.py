"""Experiments: steps that are processes of their own work on one deployment, and go on after a crash."""

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from optiprov.capture.leftover import waiting_clients
from optiprov.deploy import Experiment, check_deployable
from optiprov.deploy.experiment_state import (
    ExperimentState,
    find_experiment,
    find_standing,
    locked,
    new_directory,
)
from optiprov.deploy.providers.local import LocalProvider
from optiprov.deploy.watchdog import find_processes
from optiprov.errors import DeploymentError, ScenarioError, UrlError

from .conftest import LAYERS

WORKFLOW = """\
- hosts: all
  prepare:
    - shell: echo {{ current_repeat }} > made.txt
  launch:
    - shell: cat made.txt; echo {{ env_size | default('none') }} > out.txt
  finalize:
    - fetch: {src: out.txt, dest: out.txt}
"""


@pytest.fixture
def scenario(write_scenario):
    """A scenario of two hosts whose stages build on each other."""
    return write_scenario(WORKFLOW, workflow_env="small: {size: 1}\nlarge: {size: 9}\n")


@pytest.fixture
def deployed(scenario):
    """An experiment whose hosts are deployed, destroyed at the end."""
    experiment = Experiment.create(scenario, None, repeat=3)
    experiment.layers_services()
    yield experiment
    Experiment.destroy_at(experiment.directory)


def state(experiment):
    """What experiment.json holds."""
    return json.loads((experiment.directory / "experiment.json").read_text())


def test_each_step_goes_on_from_the_files(deployed, scenario):
    """Other objects, as other processes have them, find the newest experiment with its hosts as they were."""
    ports = [event["port"] for event in hosts_of(deployed)]
    for step in ("prepare", "launch", "finalize"):
        getattr(Experiment.open(scenario), step)()
    fetched = deployed.directory / "fetched" / "edge.worker.1.1" / "out.txt"
    assert fetched.read_text() == "none\n"
    log = deployed.directory / "logs" / "cloud.master.1.1" / "launch-01-shell.out"
    assert log.read_text() == "3\n"
    assert (deployed.directory / "hosts" / "edge.worker.1.1" / "work").is_dir()
    assert [event["port"] for event in hosts_of(deployed)] == ports
    Experiment.open(deployed.directory).destroy()
    assert not (deployed.directory / "hosts").exists()
    assert fetched.exists()
    commands = ["layers-services", "workflow prepare", "workflow launch", "finalize", "destroy"]
    assert [(one["command"], one["outcome"]) for one in state(deployed)["invocations"]] == [
        (command, "done") for command in commands
    ]
    Experiment.open(scenario).destroy()
    with pytest.raises(ScenarioError, match=r"was destroyed. Deploy another one: optiprov layers-services"):
        Experiment.open(scenario).launch()


def hosts_of(experiment):
    """The hosts in the journal."""
    lines = (experiment.directory / "journal.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "host"]


def test_records_that_nobody_stores_are_told(write_scenario, caplog):
    """Without a service they wait in the host's spool, with the experiment's id as their trial."""
    emit = "from provlight.workflow import Workflow; w = Workflow('d'); w.begin(); w.end()"
    command = json.dumps(f"python3 -c {shlex.quote(emit)}")
    scenario = write_scenario(f"- hosts: edge\n  launch:\n    - shell: {command}\n")
    experiment = Experiment.create(scenario, None)
    with experiment.whole("deploy"):
        experiment.layers_services()
        experiment.launch()
        experiment.finalize()
        experiment.destroy()
    spool = experiment.directory / "hosts" / "edge.worker.1.1" / "spool"
    (client,) = waiting_clients(spool)
    assert client.identity["trial"] == state(experiment)["id"]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith(f"provenance is not stored (records: {client.records}), since the scenario")
    assert told.endswith(f": {spool}")


def test_output_of_a_set_goes_into_its_folder(deployed, scenario):
    """Launch and finalize with a set of workflow_env.yaml leave logs, files and the record in its folder."""
    Experiment.open(scenario).prepare()
    for app_conf, size in (("small", "1\n"), ("large", "9\n")):
        Experiment.open(scenario).launch(app_conf)
        Experiment.open(scenario).finalize(app_conf)
        output = deployed.directory / app_conf
        assert (output / "fetched" / "edge.worker.1.1" / "out.txt").read_text() == size
        assert (output / "logs" / "edge.worker.1.1" / "launch-01-shell.out").exists()
        record = (output / "workflow-validate.out").read_text()
        stages = [document["stage"] for document in yaml.safe_load_all(record)]
        assert stages == ["launch", "finalize"]
    with pytest.raises(ScenarioError, match=r"has no set 'huge'"):
        Experiment.open(scenario).launch("huge")


def test_second_command_is_refused_while_one_works(deployed, scenario):
    """The message says which command works on the directory, and another directory is free."""
    with locked(deployed.directory, "workflow launch"):
        with pytest.raises(
            DeploymentError, match=rf"in use by `optiprov workflow launch` \(process {os.getpid()}"
        ):
            Experiment.open(scenario).prepare()
        other = Experiment.create(scenario, None)
        other.layers_services()
        other.destroy()
    Experiment.open(deployed.directory).prepare()


def test_failed_step_is_noted_and_can_be_repeated(write_scenario):
    """A task that fails fails the step; done again when the reason is gone, it succeeds."""
    scenario = write_scenario("- hosts: cloud\n  launch:\n    - shell: test -e {{ scenario_dir }}/there\n")
    experiment = Experiment.create(scenario, None)
    experiment.layers_services()
    with pytest.raises(DeploymentError, match=r"stage launch failed on host cloud.master.1.1"):
        Experiment.open(scenario).launch()
    (scenario / "there").touch()
    Experiment.open(scenario).launch()
    outcomes = [one["outcome"] for one in state(experiment)["invocations"]]
    assert outcomes == ["done", "failed", "done"]
    Experiment.open(scenario).destroy()


def test_launch_before_prepare_tells_so(deployed, scenario, caplog):
    """The launch is done all the same; once prepare was done, nothing is told."""
    Experiment.open(scenario).launch()
    where = deployed.directory
    told = f"{where}: the stage prepare was not run. Run it first: optiprov workflow {where} prepare"
    assert caplog.messages == [told]
    caplog.clear()
    Experiment.open(scenario).prepare()
    Experiment.open(scenario).launch()
    assert caplog.messages == []


def test_launch_that_exceeds_the_walltime_fails(write_scenario):
    """Its processes are ended, and nothing else of the experiment is: it can be launched again."""
    layers = LAYERS.replace("job_name: test", 'job_name: test\n  walltime: "00:00:01"')
    workflow = "- hosts: cloud\n  launch:\n    - shell: test -e {{ scenario_dir }}/quick || exec sleep 300\n"
    scenario = write_scenario(workflow, layers)
    experiment = Experiment.create(scenario, None)
    experiment.layers_services()
    with pytest.raises(DeploymentError, match=r"the launch stage did not end in 1 s and was stopped"):
        Experiment.open(scenario).launch()
    assert not find_processes((f"OPTIPROV_DEPLOYMENT={state(experiment)['id']}",), set())
    (scenario / "quick").touch()
    Experiment.open(scenario).launch()
    Experiment.open(scenario).destroy()


def test_deploying_goes_on_where_it_was_cut_off(scenario, monkeypatch):
    """Hosts that were made keep their ports, the others are made; until then no stage is run."""
    make = LocalProvider._deploy_one

    def make_one_and_die(self, placement, request, visible):
        if placement.layer == "edge":
            raise KeyboardInterrupt
        return make(self, placement, request, visible)

    experiment = Experiment.create(scenario, None)
    with monkeypatch.context() as patch:
        patch.setattr(LocalProvider, "_deploy_one", make_one_and_die)
        with pytest.raises(KeyboardInterrupt):
            experiment.layers_services()
    (first,) = hosts_of(experiment)
    with pytest.raises(DeploymentError, match=r"not all deployed. Run optiprov layers-services"):
        Experiment.open(scenario).prepare()
    Experiment.unfinished(scenario).layers_services()
    assert Experiment.unfinished(scenario) is None
    assert [event["id"] for event in hosts_of(experiment)] == ["cloud.master.1.1", "edge.worker.1.1"]
    validate = yaml.safe_load((experiment.directory / "layers_services-validate.yaml").read_text())
    assert validate["layers"][0]["services"][0]["hosts"][0]["port"] == first["port"]
    Experiment.open(scenario).prepare()
    Experiment.open(scenario).destroy()


@pytest.fixture
def cut_off(scenario, monkeypatch):
    """Begins experiments whose hosts are not made; gives the directory."""

    def begin(place=scenario, **options):
        experiment = Experiment.create(place, None, **options)
        with monkeypatch.context() as patch:
            patch.setattr(LocalProvider, "deploy", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                experiment.layers_services()
        return experiment.directory

    return begin


def test_experiment_of_another_scenario_is_not_gone_on_with(cut_off, scenario, tmp_path):
    """Where several scenarios have their output in one place, each goes on with its own."""
    other = shutil.copytree(scenario, tmp_path / "other")
    output = tmp_path / "output"
    own = cut_off(output=output)
    assert Experiment.unfinished(other, output=output) is None
    assert Experiment.unfinished(scenario) is None
    newest = cut_off(other, output=output)
    assert Experiment.unfinished(scenario, output=output).directory == own
    assert Experiment.unfinished(other, output=output).directory == newest


def test_second_layers_services_gets_a_directory_of_its_own(cut_off, scenario):
    """While the first one is at work, or is about to be; its own directory is refused as in use."""
    directory = cut_off()
    with locked(directory, "layers-services"):
        assert Experiment.unfinished(scenario) is None
        with pytest.raises(DeploymentError, match="in use by `optiprov layers-services`"):
            Experiment.unfinished(directory).layers_services()
    assert Experiment.unfinished(scenario).directory == directory
    Experiment.create(scenario, None)
    assert Experiment.unfinished(scenario) is None


@pytest.mark.parametrize(
    ("begun", "given", "said"),
    [
        ({}, {"provider": "local"}, "provider: begun with none, got 'local'"),
        ({"store": "duckdb:///a"}, {"store": "duckdb:///b"}, "store: begun with 'duckdb:///a', got 'duckdb"),
        ({"without": ["kwollect"]}, {"without": ["monitoring"]}, "begun with kwollect, got monitoring"),
        ({}, {"artifacts_dir": Path(__file__).parent}, "artifacts: begun with '"),
    ],
)
def test_options_with_which_it_was_not_begun_are_refused(begun, given, said, cut_off, scenario):
    """What was begun is gone on with as it was: with the same options, or with none."""
    directory = cut_off(**begun)
    with pytest.raises(ScenarioError) as caught:
        Experiment.unfinished(scenario, **given)
    assert said in str(caught.value)
    assert f"optiprov destroy {directory}" in str(caught.value)
    for same in ({}, begun, {"artifacts_dir": scenario}):
        assert Experiment.unfinished(scenario, **same).directory == directory


def test_password_of_a_store_is_not_told(cut_off, scenario):
    """The message names the store without it."""
    cut_off()
    with pytest.raises(ScenarioError, match="got 'monetdb://ana@db") as caught:
        Experiment.unfinished(scenario, store="monetdb://ana:secret@db/p")
    assert "secret" not in str(caught.value)


def test_experiment_that_made_nothing_can_be_destroyed(scenario):
    """A crash before the first host leaves a directory that destroy takes."""
    experiment = Experiment.create(scenario, None)
    Experiment.open(scenario).destroy()
    assert state(experiment)["status"] == "destroyed"


def test_store_that_is_none_is_refused_before_anything_is_made(write_scenario):
    """Where its state has one all the same, destroy leaves the service out."""
    scenario = write_scenario(layers="provenance: {}\n" + LAYERS)
    with pytest.raises(UrlError, match="'nonsense://x' is no store"):
        Experiment.create(scenario, None, store="nonsense://x")
    assert not list(scenario.glob("2*"))
    experiment = Experiment.create(scenario, None)
    changed = ExperimentState.read(experiment.directory)
    changed.store = "nonsense://x"
    changed.write(experiment.directory)
    Experiment.destroy_at(scenario)
    assert state(experiment)["status"] == "destroyed"


def test_destroying_a_scenario_goes_on_to_what_still_stands(scenario):
    """The newest first, then those before it; an experiment that is named is the one."""
    older, newer = Experiment.create(scenario, None), Experiment.create(scenario, None)
    assert find_standing(scenario) == [newer.directory, older.directory]
    assert Experiment.destroy_at(scenario) == newer.directory
    assert Experiment.destroy_at(newer.directory) == newer.directory
    assert Experiment.destroy_at(scenario) == older.directory
    assert find_standing(scenario) == []
    assert Experiment.destroy_at(scenario) == newer.directory


def test_directories_of_one_second_are_numbered_and_found_in_order(tmp_path, scenario):
    """The newest experiment is the last one made, the tenth after the ninth."""
    made = [new_directory(tmp_path / "out") for _ in range(3)]
    assert len(set(made)) == 3
    second = tmp_path / "many"
    for name in ("20260101-000000", "20260101-000000-2", "20260101-000000-10", "20251231-235959", "notes"):
        (second / name).mkdir(parents=True)
        ExperimentState(name, str(scenario), None).write(second / name)
    (second / "notes" / "experiment.json").unlink()
    assert find_experiment(second).name == "20260101-000000-10"
    assert find_experiment(second / "20251231-235959").name == "20251231-235959"
    assert find_experiment(tmp_path / "nowhere") is None
    with pytest.raises(ScenarioError, match=r"has no experiment. Deploy one first: optiprov layers-services"):
        Experiment.open(tmp_path / "out")


def test_what_cannot_be_had_is_refused_before_anything_is_made(write_scenario):
    """Testbeds without a provider and databases of measurements; `without` leaves the latter out."""
    layers = (
        "environment: {chameleoncloud: {cluster: x}}\n"
        "monitoring: {type: tig, provider: g5k, cluster: x}\n"
        "layers:\n- {name: a, services: [{name: S}]}\n"
    )
    scenario = write_scenario(layers=layers)
    with pytest.raises(ScenarioError) as caught:
        Experiment.create(scenario, None)
    assert "layers_services.yaml:1: environment.chameleoncloud: hosts of" in str(caught.value)
    assert "layers_services.yaml:2: monitoring.type: 'tig' is not run" in str(caught.value)
    assert not list(scenario.glob("2*"))
    with pytest.raises(ScenarioError, match=r"monitoring.type") as caught:
        check_deployable([scenario], None, provider="local")
    assert "chameleoncloud" not in str(caught.value)
    experiment = Experiment.create(scenario, None, provider="local", without=["monitoring"])
    experiment.layers_services()
    Experiment.open(scenario).destroy()


def test_scenarios_are_checked_together(write_scenario, tmp_path):
    """All problems of all scenarios are told, sets of variables included."""
    good = write_scenario()
    with pytest.raises(ScenarioError) as caught:
        check_deployable([good, tmp_path / "nothing"], None, app_confs=["big"])
    assert "workflow_env.yaml:1: is missing, and the set 'big'" in str(caught.value)
    assert f"{tmp_path / 'nothing'}: is not a directory" in str(caught.value)


def test_directory_that_cannot_be_made_is_told(scenario):
    """The message names it and the option for another place."""
    with pytest.raises(ScenarioError, match=r"cannot be made: .*Give another place with --output"):
        Experiment.create(scenario, None, output=Path("/proc/none"))


@pytest.mark.usefixtures("deployed")
def test_hosts_that_were_not_deployed_are_refused(scenario):
    """After an edit of layers_services.yaml the message says which hosts differ; undone, all is well."""
    file = scenario / "layers_services.yaml"
    before = file.read_text()
    file.write_text(before.replace("name: Worker", "name: Client"))
    with pytest.raises(ScenarioError, match=r"added: edge.client.1.1; removed: edge.worker.1.1"):
        Experiment.open(scenario).prepare()
    file.write_text(before)
    Experiment.open(scenario).prepare()


def test_experiment_of_a_broken_scenario_can_be_destroyed(deployed, scenario):
    """Its own files tell what there is to end and to remove; what is fetched and logged stays."""
    Experiment.open(scenario).prepare()
    (scenario / "layers_services.yaml").write_text("nonsense")
    with pytest.raises(ScenarioError):
        Experiment.open(scenario)
    assert Experiment.destroy_at(scenario) == deployed.directory
    assert not (deployed.directory / "hosts").exists()
    assert (deployed.directory / "logs").is_dir()
    assert state(deployed)["status"] == "destroyed"
    with pytest.raises(ScenarioError, match="is not a directory"):
        Experiment.destroy_at(scenario / "nothing")
    (scenario / "nothing").mkdir()
    with pytest.raises(ScenarioError, match="has no experiment"):
        Experiment.destroy_at(scenario / "nothing")
