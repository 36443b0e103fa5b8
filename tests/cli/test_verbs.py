"""The verbs as users type them: each is a process of its own, and what one leaves the next finds."""

import json
import os
import signal
import subprocess
import sys
import time

import duckdb
import pytest
import yaml

from optiprov import connect
from optiprov.deploy.watchdog import end_processes, find_processes

WAIT_S = 90
KINDS = ("OPTIPROV_DEPLOYMENT", "OPTIPROV_SERVICE_OF", "OPTIPROV_MONITOR_OF")
TESTBEDS = """\
environment:
  job_name: verbs
  walltime: "00:05:00"
  g5k: {cluster: ecotype}
  iotlab: {cluster: grenoble}
provenance: {provider: g5k, cluster: ecotype, dataflow_spec: spec.yaml, parallelism: 2}
monitoring: {type: dstat}
layers:
  - name: cloud
    services: [{name: Master, environment: g5k}]
  - name: edge
    services: [{name: Worker, environment: iotlab, roles: [provenance, monitoring]}]
"""
WORKFLOW = """\
- hosts: cloud.*
  prepare:
    - shell: exec sleep 300
      poll: 0
  launch:
    - shell: echo "broker:$PROVLIGHT_SERVER_URL"
- hosts: edge.*
  prepare:
    - copy: {src: train.py, dest: /tmp/train.py}
  launch:
    - shell: python3 /tmp/train.py > out.txt
  finalize:
    - fetch: {src: out.txt, dest: out.txt}
"""
SPECIFICATION = """\
dataflow: training
transformations:
  train: {uses: [train_input], generates: [train_output]}
datasets:
  train_input: {lr: numeric}
  train_output: {accuracy: numeric}
"""
TRAIN = """\
import os
from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow
print(os.environ["PROVLIGHT_SERVER_TOPIC"], "OPTIPROV_BROKER" in os.environ)
workflow = Workflow("training")
workflow.begin()
for number in range(5):
    task = Task(number, workflow, "train")
    task.begin([Data("train_input", "training", [], {"lr": [number / 10]})])
    task.end([Data("train_output", "training", [], {"accuracy": [0.86 + number / 50]})])
workflow.end()
"""
LOCAL = "environment: {local: {}}\nlayers:\n- {name: edge, services: [{name: Worker}]}\n"


@pytest.fixture
def write(tmp_path):
    """Writes a scenario and returns its directory; what a test that fails leaves running is ended."""

    def make(workflow, layers=LOCAL, name="scenario", **files):
        directory = tmp_path / name
        (directory / "artifacts").mkdir(parents=True)
        (directory / "layers_services.yaml").write_text(layers)
        (directory / "workflow.yaml").write_text(workflow)
        for file, text in files.items():
            (directory / file.replace("__", "/").replace("_yaml", ".yaml").replace("_py", ".py")).write_text(
                text
            )
        return directory

    yield make
    for state in tmp_path.rglob("experiment.json"):
        name = json.loads(state.read_text())["id"]
        for kind in KINDS:
            end_processes((f"{kind}={name}",), set())


@pytest.fixture
def verb(clean_environment):
    """Runs `optiprov` in a process of its own; returns its status, output and errors."""

    def run(*arguments, given=None):
        command = [sys.executable, "-m", "optiprov.cli", *map(str, arguments)]
        options = {"env": clean_environment, "capture_output": True, "text": True, "timeout": 2 * WAIT_S}
        done = subprocess.run(command, check=False, input=given, **options)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def start_verb(clean_environment):
    """Starts `optiprov` in a process of its own; killed at the end where it still runs."""
    started = []

    def start(*arguments, **options):
        command = [sys.executable, "-m", "optiprov.cli", *map(str, arguments)]
        options = {"env": clean_environment, "text": True, "preexec_fn": _take_interrupts, **options}
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _take_interrupts():
    """Have Ctrl-C work though the tests run in the background of a shell, which ignores it for them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def until(condition):
    """Wait for a condition and return its value; fail where it does not come true."""
    deadline = time.monotonic() + WAIT_S
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


def only_experiment(scenario):
    """The one experiment of a scenario, once it is made."""
    return until(lambda: next((path.parent for path in scenario.glob("2*/experiment.json")), None))


def processes(experiment, variable="OPTIPROV_DEPLOYMENT"):
    """The processes that belong to an experiment: of its hosts, or its service or monitor."""
    name = json.loads((experiment / "experiment.json").read_text())["id"]
    return find_processes((f"{variable}={name}",), set())


def remains(experiment):
    """All processes of an experiment."""
    return [pid for kind in KINDS for pid in processes(experiment, kind)]


def test_verbs_of_e2clab_work_on_one_deployment(write, verb):
    """A scenario for Grid'5000 and FIT IoT-LAB runs here unmodified, from layers-services to destroy."""
    scenario = write(
        WORKFLOW,
        TESTBEDS,
        network_yaml="networks:\n- {src: cloud, dst: edge, delay: 28ms}\n",
        artifacts__spec_yaml=SPECIFICATION,
        artifacts__train_py=TRAIN,
    )
    status, _, errors = verb("layers-services", scenario)
    assert (status, errors.count("the provenance service cannot be had on 'g5k'")) == (2, 1)
    status, output, errors = verb("layers-services", scenario, "--provider", "local")
    assert status == 0, errors
    experiment = only_experiment(scenario)
    assert f"{experiment}: 2 hosts." in output
    validate = yaml.safe_load((experiment / "layers_services-validate.yaml").read_text())
    assert validate["provenance"]["page"] in output
    status, output, errors = verb("network", scenario)
    assert (status, "cloud.master.1.1  edge.worker.1.1  28 ms" in output) == (0, True), errors
    assert verb("workflow", scenario, "prepare")[0] == 0
    assert len(processes(experiment)) == 1  # the server in the background
    status, _, errors = verb("workflow", scenario, "launch")
    assert status == 0, errors
    assert processes(experiment, "OPTIPROV_MONITOR_OF")
    assert processes(experiment)
    status, output, errors = verb("finalize", scenario)
    assert status == 0, errors
    assert remains(experiment) == []
    assert (experiment / "fetched" / "edge.worker.1.1" / "out.txt").read_text() == "1 True\n"
    # Only the hosts with the role have a broker.
    assert (experiment / "logs" / "cloud.master.1.1" / "launch-01-shell.out").read_text() == "broker:\n"
    data = experiment / "provenance-data"
    store = connect(data / "provenance.duckdb")
    found = store.query(projection=["used.lr"], filter={"generated.accuracy": {"$gt": 0.9}})
    assert sorted(found["used.lr"]) == [0.3, 0.4]
    assert set(store.runs()["status"]) == {"finished"}
    assert list(store.sql("SELECT dataflow, version FROM prov.dataflow")["dataflow"]) == ["training"]
    sampled = store.sql("SELECT DISTINCT t.host FROM prov.telemetry m JOIN prov.task t ON t.task = m.task")
    assert list(sampled["host"]) == ["edge.worker.1.1"]
    loaded = duckdb.connect()
    loaded.execute((data / "provenance_database.sql").read_text())
    assert loaded.execute("SELECT count(*) FROM training.train_output WHERE accuracy > 0.9").fetchone() == (
        2,
    )
    assert verb("destroy", scenario)[0] == 0
    assert not (experiment / "hosts").exists()
    assert verb("workflow", scenario, "launch")[0] == 2


def test_deploy_repeats_and_leaves_no_process(write, verb):
    """Each repetition is an experiment of its own; --duration ends an application that would never end."""
    workflow = (
        "- hosts: all\n  launch:\n    - shell: echo {{ current_repeat }} > n; exec sleep 300\n      poll: 0\n"
        "  finalize:\n    - fetch: {src: n, dest: n}\n"
    )
    scenario = write(workflow)
    status, output, errors = verb("deploy", scenario, "--repeat", "1", "--duration", "0.5", "--destroy")
    assert status == 0, errors
    experiments = sorted(path.parent for path in scenario.glob("2*/experiment.json"))
    assert [(one / "fetched" / "edge.worker.1.1" / "n").read_text() for one in experiments] == ["1\n", "2\n"]
    assert not any(remains(one) or (one / "hosts").exists() for one in experiments)
    assert all(str(one) in output for one in experiments)


def test_deploy_of_several_scenarios_stops_at_the_one_that_fails(write, verb, tmp_path):
    """Status 1, the message of the task, results fetched all the same, and what comes after is not begun."""
    failing = "- hosts: all\n  launch:\n    - shell: echo x > out; echo bad >&2; exit 7\n"
    failing += "  finalize:\n    - fetch: {src: out, dest: out}\n"
    first, second = write(failing, name="first"), write("[]\n", name="second")
    status, output, errors = verb("deploy", tmp_path, "--scenarios-name", "first,second")
    assert status == 1
    assert (
        "workflow.yaml:3: task 'shell' of stage launch failed on host edge.worker.1.1 with exit status 7"
        in errors
    )
    assert "    bad" in errors
    experiment = only_experiment(first)
    assert (experiment / "fetched" / "edge.worker.1.1" / "out").read_text() == "x\n"
    assert output.endswith(f"its hosts stay; remove them: optiprov destroy {experiment}\n")
    assert remains(experiment) == []
    assert not list(second.glob("2*"))
    assert verb("deploy", tmp_path, "--scenarios-name", "second,third")[0] == 2
    assert not list(second.glob("2*"))


def test_deploy_of_several_scenarios_does_one_after_the_other(write, optiprov, tmp_path):
    """Each has an experiment with its results, whichever comes first in the alphabet; each step is told."""
    workflow = (
        "- hosts: all\n  launch:\n    - shell: date +%s%N > n\n  finalize:\n    - fetch: {src: n, dest: n}\n"
    )
    scenarios = [write(workflow, name=name) for name in ("b", "a")]
    status, output, errors = optiprov("deploy", tmp_path, "--scenarios-name", "b,a", "--destroy")
    assert status == 0, errors
    experiments = [only_experiment(scenario) for scenario in scenarios]
    assert [line for line in output.splitlines() if line[0] != " "] == list(map(str, experiments))
    assert "optiprov destroy" not in output
    deploying = [f"deploying 1 host in {experiment} ..." for experiment in experiments]
    told = [[line, "prepare ...", "launch ...", "finalize ..."] for line in deploying]
    assert errors.splitlines() == [*told[0], *told[1]]
    times = [(one / "fetched" / "edge.worker.1.1" / "n").read_text() for one in experiments]
    assert times == sorted(times)
    assert not any((one / "hosts").exists() for one in experiments)


def test_deploy_to_a_service_that_is_not_there_says_so(write, optiprov):
    """What does not answer, what to do, and nothing of hosts: there are none."""
    scenario = write("[]\n", "provenance: {}\n" + LOCAL)
    status, output, errors = optiprov("deploy", scenario, "--store", "http://127.0.0.1:9")
    assert status == 1
    assert errors.endswith(" refused. Start it, or leave --store out.\n")
    assert "hosts stay" not in output


def test_database_that_is_not_there_is_told_once(verb):
    """By the error, and by nothing that its library says besides."""
    status, output, errors = verb("sql", "SELECT 1", "--store", "monetdb://127.0.0.1:9/d")
    assert (status, output, len(errors.splitlines())) == (1, "", 1), errors


def test_killed_deploy_ends_all_and_can_be_finalized(write, verb, start_verb):
    """Kill -9 in the midst of the launch: processes and service end; finalize fetches and backs up."""
    slow = TRAIN.replace("workflow.end()", "open('ready', 'w').close(); import time; time.sleep(300)")
    layers = (
        TESTBEDS.replace("g5k", "local").replace("iotlab: {cluster: grenoble}", "").replace("iotlab", "local")
    )
    layers = layers.replace("local: {cluster: ecotype}", "local: {}")
    layers = layers.replace("provider: local, cluster: ecotype", "provider: local")
    scenario = write(
        WORKFLOW.replace("> out.txt", "| tee out.txt"),
        layers,
        artifacts__spec_yaml=SPECIFICATION,
        artifacts__train_py=slow,
    )
    process = start_verb("deploy", scenario)
    experiment = only_experiment(scenario)
    until((experiment / "hosts" / "edge.worker.1.1" / "work" / "ready").exists)
    assert len(remains(experiment)) >= 4
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not remains(experiment))
    status, _, errors = verb("finalize", scenario)
    assert status == 0, errors
    assert remains(experiment) == []
    store = connect(experiment / "provenance-data" / "provenance.duckdb")
    assert len(store.query(filter={"generated.accuracy": {"$gt": 0.0}})) == 5
    assert "stopped" in set(store.runs()["status"])
    assert (experiment / "provenance-data" / "provenance_database.sql").exists()
    assert verb("destroy", scenario)[0] == 0


def test_verb_after_a_killed_deploy_is_not_ended_with_it(write, verb, start_verb):
    """What it starts has the same marker: it waits until the dead one is cleaned up."""
    scenario = write("- hosts: all\n  launch:\n    - shell: exec sleep 300\n      poll: 0\n")
    process = start_verb("deploy", scenario, "--pause", stdin=subprocess.PIPE)
    experiment = only_experiment(scenario)
    (old,) = until(lambda: processes(experiment))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert verb("workflow", scenario, "launch")[0] == 0
    (new,) = processes(experiment)
    assert new != old
    assert verb("destroy", scenario)[0] == 0
    assert remains(experiment) == []


def test_killed_launch_can_be_repeated(write, verb, start_verb):
    """What the launch started ends; what prepare left in the background goes on; the next launch is done."""
    workflow = (
        "- hosts: all\n  prepare:\n    - shell: exec sleep 300\n      poll: 0\n"
        "  launch:\n    - shell: test -e {{ scenario_dir }}/go || exec sleep 301\n"
    )
    scenario = write(workflow)
    assert verb("layers-services", scenario)[0] == 0
    assert verb("workflow", scenario, "prepare")[0] == 0
    experiment = only_experiment(scenario)
    (server,) = processes(experiment)
    process = start_verb("workflow", scenario, "launch", stderr=subprocess.DEVNULL)
    until(lambda: len(processes(experiment)) == 2)
    status, _, errors = verb("workflow", scenario, "prepare")
    assert (status, f"in use by `optiprov workflow launch` (process {process.pid}" in errors) == (1, True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (scenario / "go").touch()
    status, _, errors = verb("workflow", scenario, "launch")
    assert status == 0, errors
    assert processes(experiment) == [server]
    outcomes = [
        one["outcome"] for one in json.loads((experiment / "experiment.json").read_text())["invocations"]
    ]
    assert outcomes == ["done", "done", "killed", "done"]
    assert verb("destroy", experiment)[0] == 0
    assert remains(experiment) == []


def test_end_of_what_was_left_running_is_told_by_the_next_command(write, verb):
    """A server that died between two commands is told once; what `finalize` has ended is not."""
    workflow = (
        "- hosts: all\n  launch:\n    - {name: server, shell: 'echo $$ > pid; exec sleep 300', poll: 0}\n"
        "    - {name: other, shell: exec sleep 300, poll: 0}\n"
        "    - shell: until test -s pid; do sleep 0.01; done\n  finalize:\n    - debug: {msg: done}\n"
    )
    scenario = write(workflow)
    assert verb("layers-services", scenario)[0] == 0
    status, _, errors = verb("workflow", scenario, "launch")
    assert (status, errors) == (0, "")
    experiment = only_experiment(scenario)
    server = int((experiment / "hosts" / "edge.worker.1.1" / "work" / "pid").read_text())
    os.kill(server, signal.SIGKILL)
    until(lambda: server not in processes(experiment))
    status, _, errors = verb("workflow", scenario, "finalize")
    told = "task 'server' on host edge.worker.1.1, which stage launch left in the background, has ended since"
    assert (status, told in errors, errors.count("has ended since")) == (0, True, 1)
    log = experiment / "logs" / "edge.worker.1.1" / "launch-01-server.err"
    assert errors.strip().endswith(str(log))
    for command in ("finalize", "destroy"):
        status, _, errors = verb(command, scenario)
        assert (status, "has ended since" in errors) == (0, False)


def test_killed_layers_services_goes_on(write, verb, start_verb):
    """Kill -9 between two hosts: no stage runs on half of them, the same command makes the others."""
    scenario = write("[]\n", LOCAL.replace("name: Worker", "name: Worker, quantity: 150"))
    process = start_verb("layers-services", scenario)
    experiment = only_experiment(scenario)
    journal = experiment / "journal.jsonl"
    until(lambda: journal.exists() and '"event": "host"' in journal.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    made = journal.read_text().count('"event": "host"')
    assert made < 150
    assert verb("workflow", scenario, "prepare")[0] == 1
    status, output, errors = verb("layers-services", scenario)
    assert status == 0, errors
    assert output == f"{experiment}: 150 hosts.\n"
    hosts = [json.loads(line) for line in journal.read_text().splitlines() if '"event": "host"' in line]
    assert len({host["id"] for host in hosts}) == len({host["port"] for host in hosts}) == len(hosts) == 150
    assert verb("workflow", scenario, "prepare")[0] == 0
    assert verb("destroy", scenario)[0] == 0
    assert not (experiment / "hosts").exists()


def test_killed_finalize_is_done_again(write, verb, start_verb):
    """Kill -9 while results are fetched: finalize again fetches them and ends what runs."""
    workflow = (
        "- hosts: all\n  launch:\n    - shell: echo x > out; exec sleep 300\n      poll: 0\n  finalize:\n"
        "    - shell: touch here; test -e {{ scenario_dir }}/go || exec sleep 301\n"
        "    - fetch: {src: out, dest: out}\n"
    )
    scenario = write(workflow)
    assert verb("layers-services", scenario)[0] == 0
    assert verb("workflow", scenario, "launch")[0] == 0
    experiment = only_experiment(scenario)
    process = start_verb("finalize", scenario)
    until((experiment / "hosts" / "edge.worker.1.1" / "work" / "here").exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (scenario / "go").touch()
    status, _, errors = verb("finalize", scenario, "--destroy")
    assert status == 0, errors
    assert (experiment / "fetched" / "edge.worker.1.1" / "out").read_text() == "x\n"
    assert remains(experiment) == []
    assert not (experiment / "hosts").exists()


@pytest.mark.parametrize("stage", ["prepare", "launch"])
def test_interrupted_stage_ends_what_it_started(stage, write, verb, start_verb):
    """Ctrl-C is status 130 and leaves no process of the stage; what earlier commands left goes on."""
    workflow = (
        "- hosts: all\n  finalize:\n    - shell: exec sleep 300\n      poll: 0\n"
        f"  {stage}:\n    - shell: exec sleep 301\n"
    )
    scenario = write(workflow)
    assert verb("layers-services", scenario)[0] == 0
    assert verb("workflow", scenario, "finalize")[0] == 0
    experiment = only_experiment(scenario)
    (server,) = processes(experiment)
    process = start_verb("workflow", scenario, stage, stderr=subprocess.PIPE)
    until(lambda: len(processes(experiment)) == 2)
    process.send_signal(signal.SIGINT)
    assert (process.communicate(timeout=WAIT_S)[1].strip(), process.returncode) == ("Interrupted.", 130)
    assert processes(experiment) == [server]
    assert verb("destroy", scenario)[0] == 0
    assert remains(experiment) == []


def test_experiments_of_one_scenario_run_side_by_side(write, verb, start_verb, tmp_path):
    """Each has a directory, ports and processes of its own; --output puts them elsewhere."""
    workflow = (
        "- hosts: all\n  launch:\n    - shell: touch {{ scenario_dir }}/{{ _self.port }}; exec sleep 300\n"
        "      poll: 0\n"
    )
    scenario, output = write(workflow), tmp_path / "output"
    started = [
        start_verb(
            "deploy",
            scenario,
            "--pause",
            "--output",
            output,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(3)
    ]
    until(lambda: len(list(scenario.glob("[0-9]*"))) == 3)
    experiments = sorted(path.parent for path in output.glob("2*/experiment.json"))
    assert [len(processes(one)) for one in experiments] == [1, 1, 1]
    for process in started:
        process.stdin.write("\n")
        process.stdin.close()
    assert [process.wait(WAIT_S) for process in started] == [0, 0, 0]
    assert not any(remains(one) for one in experiments)
    assert verb("destroy", output)[0] == 0
    assert [(one / "hosts").exists() for one in experiments] == [True, True, False]


def test_deploy_pauses_until_enter(write, verb):
    """With --pause it waits for a line before it finalizes; with --app-conf for each set."""
    workflow = "- hosts: all\n  launch:\n    - shell: echo {{ env_x }}\n"
    scenario = write(workflow, workflow_env_yaml="a: {x: 1}\nb: {x: 2}\n")
    status, output, errors = verb(
        "deploy", scenario, "--pause", "--app_conf", "a,b", "--destroy", given="\n\n"
    )
    assert status == 0, errors
    assert errors.count("launched. Press Enter to finalize.") == 2
    assert "  a/logs/" in output
    assert verb("deploy", scenario, "--app-conf", "a,c")[0] == 2


def test_init_writes_a_scenario_that_runs(verb, tmp_path):
    """What init writes is deployed at once, and nothing is written over."""
    directory = tmp_path / "squares"
    assert verb("init", directory)[0] == 0
    status, _, errors = verb("deploy", directory, "--app-conf", "short")
    assert status == 0, errors
    experiment = only_experiment(directory)
    answers = (experiment / "short" / "fetched" / "edge.worker.1.2" / "answers.txt").read_text()
    assert answers == "0 0\n1 1\n"
    dump = experiment / "short" / "provenance-data" / "provenance_database.sql"
    loaded = duckdb.connect()
    loaded.execute(dump.read_text())
    assert loaded.execute("SELECT count(*) FROM answer").fetchone() == (4,)
    assert not (experiment / "provenance-data" / dump.name).exists()
    store = connect(experiment / "provenance-data" / "provenance.duckdb")
    assert len(store.sql("SELECT square FROM answer")) == 4
    status, _, errors = verb("init", directory)
    assert (status, "has layers_services.yaml" in errors) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("workflow", "{}", "prepare", "--app-conf", "a"), "--app-conf is for launch and finalize"),
        (("workflow", "{}", "finalize", "--finalize"), "--finalize and --duration are for launch"),
        (("workflow", "{}", "lunch"), "'lunch' is not one of"),
        (("workflow", "{}", "launch"), "has no experiment. Deploy one first"),
        (("finalize", "{}"), "has no experiment. Deploy one first"),
        (("finalize", "{}/nowhere"), "nowhere: is not a directory. Give that of an experiment, or its"),
        (("deploy", "{}", "--without", "walltime"), "got 'walltime'. Allowed: monitoring"),
        (("deploy", "{}", "--provider", "locall"), "Did you mean 'local'?"),
    ],
)
def test_wrong_input_is_status_2(arguments, said, write, verb):
    """The message says what is wrong; nothing is made."""
    scenario = write("[]\n")
    status, _, errors = verb(*(argument.format(scenario) for argument in arguments))
    assert (status, said in errors) == (2, True), errors
    assert not list(scenario.glob("2*"))
    assert not list((scenario / "artifacts").iterdir())
