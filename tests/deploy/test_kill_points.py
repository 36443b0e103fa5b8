"""Commands killed by SIGKILL at the points where what is made and what is written down differ most."""

import json
import signal
import subprocess
import sys

import pytest

from optiprov import connect
from optiprov.deploy import Experiment, Hooks
from optiprov.deploy.deployment import JOURNAL_NAME
from optiprov.deploy.experiment_state import find_experiment
from optiprov.deploy.watchdog import end_processes, find_processes
from tests.deploy.test_scenario_service import YAML

KINDS = ("OPTIPROV_DEPLOYMENT", "OPTIPROV_SERVICE_OF", "OPTIPROV_MONITOR_OF", "OPTIPROV_NETWORK_OF")
LAYERS = """\
environment: {local: }
provenance: {dataflow_spec: spec.yaml}
layers:
- {name: edge, services: [{name: W, roles: [provenance], quantity: 2}]}
"""
WORKFLOW = """\
- hosts: all
  prepare:
    - shell: echo $$ > made.txt
  launch:
    - shell: >-
        python3 -c 'from optiprov import Workflow; w = Workflow("f"); w.begin(); w.end()'
  finalize:
    - fetch: {src: made.txt, dest: made.txt}
"""
KILLED = """
import importlib, os, signal, sys
from pathlib import Path
from optiprov.deploy import Experiment, Hooks

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

place, step, target, when = sys.argv[1:]
hooks = Hooks(dump=die) if target == "dump" else Hooks()
if target != "dump":
    module, _, path = target.partition(":")
    holder = importlib.import_module(module)
    *above, name = path.split(".")
    for one in above:
        holder = getattr(holder, one)
    made = getattr(holder, name)

    def made_and_die(*given, **options):
        made(*given, **options)
        die()

    setattr(holder, name, die if when == "before" else made_and_die)
getattr(Experiment.open(Path(place), hooks=hooks), step)()
"""
SERVICE = "optiprov.deploy.scenario_service"


@pytest.fixture
def killed(clean_environment):
    """Runs a step of the newest experiment in a process that kills itself at a point."""

    def run(place, step, target, when="before"):
        command = [sys.executable, "-c", KILLED, str(place), step, target, when]
        done = subprocess.run(command, check=False, env=clean_environment, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr

    return run


@pytest.fixture
def experiment(write_scenario, monkeypatch):
    """An experiment of which nothing is made yet; what a test that fails leaves running is ended."""
    for name in ("OPTIPROV_STORE", "OPTIPROV_BROKER", "PROVLIGHT_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    scenario = write_scenario(WORKFLOW, LAYERS)
    (scenario / "spec.yaml").write_text(YAML)
    made = Experiment.create(scenario, None)
    yield made
    for kind in KINDS:
        end_processes((f"{kind}={identity(made)}",), set())


def identity(experiment):
    """What names the deployment."""
    return json.loads((experiment.directory / "experiment.json").read_text())["id"]


def running(experiment, kind="OPTIPROV_SERVICE_OF"):
    """The processes of one kind."""
    return find_processes((f"{kind}={identity(experiment)}",), set())


def test_each_command_goes_on_after_a_kill_at_any_point(experiment, killed):
    """Between the service's start and its state, before hosts, in the specification, at each end."""
    place = experiment.directory
    killed(place, "layers_services", f"{SERVICE}:start_service", "after")
    orphans = set(running(experiment))
    assert orphans  # it runs, and nothing says so
    assert not (place / "provenance-data" / "service.json").exists()
    killed(place, "layers_services", f"{SERVICE}:ScenarioService.load_specification", "after")
    assert running(experiment)
    assert orphans.isdisjoint(running(experiment))
    Experiment.open(place).layers_services()
    validate = place / "layers_services-validate.yaml"
    assert validate.exists()
    killed(place, "prepare", "optiprov.deploy.stages:StageRun.raise_if_failed")
    Experiment.open(place).prepare()
    Experiment.open(place).launch()
    for target in (f"{SERVICE}:ScenarioService.settle", "dump", f"{SERVICE}:ScenarioService.stop"):
        killed(place, "finalize", target)
    dumped = []
    Experiment.open(place, hooks=Hooks(dump=lambda _store, path: dumped.append(path))).finalize()
    assert dumped == [place / "provenance-data" / "provenance_database.sql"]
    assert running(experiment) == []
    assert (place / "fetched" / "edge.w.1.2" / "made.txt").exists()
    killed(place, "destroy", "optiprov.deploy.providers.local:remove_directory", "after")
    Experiment.open(place).destroy()
    assert not (place / "hosts").exists()
    assert not any(running(experiment, kind) for kind in KINDS)
    store = connect(place / "provenance-data")
    assert list(store.sql("SELECT dataflow FROM prov.dataflow")["dataflow"]).count("from_yaml") == 1
    assert list(store.runs()["status"]).count("finished") == 2


def test_service_that_nobody_wrote_down_ends_with_destroy(experiment, killed):
    """Killed between its start and its state, it is found by its environment."""
    killed(experiment.directory, "layers_services", f"{SERVICE}:start_service", "after")
    assert running(experiment)
    Experiment.open(experiment.directory).destroy()
    assert running(experiment) == []


@pytest.mark.parametrize("content", ["", '{"event": "deploy'])
def test_torn_journal_stops_neither_deploying_nor_destroying(content, write_scenario):
    """Killed while it was made, or the disk full: nothing can have been made, so it is begun anew."""
    scenario = write_scenario()
    for step in ("layers_services", "destroy"):
        experiment = Experiment.create(scenario, None)
        (experiment.directory / JOURNAL_NAME).write_text(content)
        getattr(Experiment.open(experiment.directory), step)()
        Experiment.open(experiment.directory).destroy()
        assert not (experiment.directory / "hosts").exists()
        assert json.loads((experiment.directory / "experiment.json").read_text())["status"] == "destroyed"


def test_event_after_a_torn_one_is_read(write_scenario):
    """A full disk took a part of a line; what is written when there is room again is not lost with it."""
    experiment = Experiment.create(write_scenario(), None)
    experiment.layers_services()
    with (experiment.directory / JOURNAL_NAME).open("a") as journal:
        journal.write('{"event": "sta')
    Experiment.open(experiment.directory).destroy()
    events = (experiment.directory / JOURNAL_NAME).read_text().splitlines()
    assert json.loads(events[-1])["event"] == "finalized"


def test_state_that_was_lost_blocks_no_command(write_scenario, caplog):
    """An empty experiment.json, as a power cut may leave, is passed over; destroy takes its directory."""
    scenario = write_scenario()
    older, newer = Experiment.create(scenario, None), Experiment.create(scenario, None)
    newer.layers_services()
    (newer.directory / "experiment.json").write_text("")
    assert find_experiment(scenario) == older.directory
    assert f"`optiprov destroy {newer.directory}`" in caplog.text
    assert Experiment.unfinished(scenario) is None
    Experiment.destroy_at(newer.directory)
    assert not (newer.directory / "hosts").exists()
    assert json.loads((newer.directory / "experiment.json").read_text())["status"] == "destroyed"
    Experiment.open(scenario).destroy()
