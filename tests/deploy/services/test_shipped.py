"""The services that ship, each run as a scenario has it."""

import json
import os
import shutil
import stat
import urllib.request

import pytest

from optiprov import connect
from optiprov.deploy import load_scenario
from optiprov.deploy.services.sources import SHIPPED_CLASSES, shipped_sources
from optiprov.deploy.watchdog import find_processes
from optiprov.errors import DeploymentError, ScenarioError
from tests.serve.brokers import require_program

LAYERS = """\
environment: {{local: {{share: [../shared]}}}}
layers:
- {{name: cloud, services: [{}]}}
- {{name: edge, services: [{{name: C}}]}}
"""
TALK = """\
- hosts: edge
  depends_on: [{service_selector: cloud.mosquitto, prefix: mq, grouping: aggregate}]
  prepare:
    - copy: {src: talk.py, dest: talk.py}
  launch:
    - shell: python3 talk.py {{ mq1_1.address }} {{ mq1_1.port }}
    - shell: python3 talk.py {{ mq1_2.broker.split("/")[2] | replace(":", " ") }}
"""
TALKER = """\
import sys, threading
from paho.mqtt.client import CallbackAPIVersion, Client
arrived = threading.Event()
client = Client(CallbackAPIVersion.VERSION2)
client.on_subscribe = lambda *_: client.publish("a", "hello", qos=1)
client.on_message = lambda _client, _data, message: (print(message.payload.decode()), arrived.set())
client.connect(sys.argv[1], int(sys.argv[2]))
client.subscribe("a", qos=1)
client.loop_start()
sys.exit(not arrived.wait(60))
"""
RECORD = """\
- hosts: edge
  depends_on: [{service_selector: cloud.provenance, prefix: p}]
  launch:
    - shell: >-
        python3 -c 'from optiprov import Data, Task, Workflow; w = Workflow("f"); w.begin();
        Task(1, w, "t").end([Data("d", "f", [], {"x": 7})]); w.end()'
      environment: {OPTIPROV_BROKER: "{{ p.broker }}", OPTIPROV_FLUSH_TIMEOUT_S: "60"}
"""
CONTAINER = """\
{name: Container, image: "web:1", command: "serve --all", ports: [80, "8443:443"],
 volumes: ["data:/data", "/etc:/e"], env: {COLOUR: red}}"""
DOCKER = """\
#!/bin/sh
# Stands in for docker: it says that a daemon answers, writes down how it was called, and serves for `run`.
echo "$@" >> "$RECORDED"
case "$1" in
version) echo 28.0 ;;
inspect) echo true ;;
run) echo "$COLOUR" > "$RECORDED.environment"; exec python3 -m http.server --bind 127.0.0.1 "$PORT" ;;
esac
"""


def running(experiment):
    """The processes of an experiment that run."""
    state = json.loads((experiment.directory / "experiment.json").read_text())
    return find_processes((f"OPTIPROV_DEPLOYMENT={state['id']}",), set())


def registered(experiment):
    """The keys of the first host that is registered."""
    services = json.loads((experiment.directory / "services.json").read_text())["services"]
    return services[0]["registrations"][0]["info"]


def test_mosquitto_carries_messages(write_services, begin_experiment):
    """Two brokers, at their hosts' ports; clients on another host subscribe and publish."""
    require_program("mosquitto", "mosquitto")
    scenario = write_services({"talk": TALKER}, TALK, LAYERS.format("{name: Mosquitto, quantity: 2}"))
    experiment = begin_experiment(scenario)
    with experiment.whole("deploy"):
        experiment.layers_services()
        assert len(running(experiment)) == 2
        experiment.prepare()
        experiment.launch()
        experiment.finalize()
    for number in ("01", "02"):
        log = experiment.directory / "logs" / "edge.c.1.1" / f"launch-{number}-shell.out"
        assert log.read_text() == "hello\n"
    assert running(experiment) == []


def test_mosquitto_takes_a_configuration(write_services, begin_experiment):
    """A file of the artifacts, with the host's port and address filled in; what is wrong in it is told."""
    require_program("mosquitto", "mosquitto")
    scenario = write_services({}, layers=LAYERS.format("{name: Mosquitto, conf: own.conf}"))
    conf = scenario / "artifacts" / "own.conf"
    conf.write_text("listener {port} {address}\nallow_anonymous true\nmax_packet_size 4096\n")
    experiment = begin_experiment(scenario)
    experiment.layers_services()
    assert registered(experiment)["broker"].startswith("mqtt://127.0.0.1:")
    conf.write_text("no_such_option true\n")
    with pytest.raises(
        DeploymentError, match=r"(?s)class Mosquitto of .*ended with exit status .*no_such_option"
    ):
        begin_experiment(scenario).layers_services()


def test_provenance_service_of_a_layer_stores_what_others_record(write_services, begin_experiment):
    """An application on another host records into it; it is asked by HTTP, and ends with the experiment."""
    scenario = write_services({}, RECORD, LAYERS.format("{name: Provenance}"))
    experiment = begin_experiment(scenario)
    experiment.layers_services()
    experiment.launch()
    assert connect(registered(experiment)["http"]).sql("SELECT x FROM d")["x"].tolist() == [7]
    assert experiment.addresses == {}  # it is none of the experiment's own
    experiment.destroy()
    assert running(experiment) == []


def test_provenance_service_that_does_not_start_is_told(write_services, begin_experiment):
    """With its last words, on which host."""
    scenario = write_services({}, layers=LAYERS.format("{name: Provenance, store: /dev/null/x.duckdb}"))
    with pytest.raises(
        DeploymentError, match=r"(?s)optiprov serve on host cloud.provenance.1.1 ended with exit"
    ):
        begin_experiment(scenario).layers_services()


@pytest.fixture(autouse=True)
def shared(tmp_path):
    """A directory that hosts see."""
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.fixture
def docker_stand_in(shared, monkeypatch):
    """A program `docker` on the PATH that writes down how it is called; returns where."""
    program = shared / "docker"
    recorded = shared / "recorded"
    program.write_text(DOCKER.replace("$RECORDED", str(recorded)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return recorded


def test_container_is_run_by_these_commands(docker_stand_in, write_services, begin_experiment):
    """Against a stand-in for docker, which shows the commands: no daemon is needed, and none is tested."""
    layers = LAYERS.format(CONTAINER.replace("env: {", 'env: {PORT: "{{ _self.port }}", '))
    scenario = write_services({}, layers=layers)
    experiment = begin_experiment(scenario)
    experiment.layers_services()
    info = registered(experiment)
    port = info["url"].rpartition(":")[2]
    work = experiment.directory / "hosts" / "cloud.container.1.1" / "work"
    calls = [line for line in docker_stand_in.read_text().splitlines() if not line.startswith("inspect")]
    version, remove, run = calls[-3:]
    assert version == "version --format {{.Server.Version}}"
    assert remove == f"rm --force {info['container']}"
    assert run == (
        f"run --rm --init --name {info['container']} --env PORT --env COLOUR --publish 127.0.0.1:{port}:80 "
        f"--publish 127.0.0.1:8443:443 --volume {work}/data:/data --volume /etc:/e web:1 serve --all"
    )
    assert docker_stand_in.with_name("recorded.environment").read_text() == "red\n"
    with urllib.request.urlopen(f"http://{info['url']}") as answer:
        assert answer.status == 200
    experiment.destroy()
    assert running(experiment) == []


def test_container_without_a_daemon_is_refused(write_services, begin_experiment, tmp_path, monkeypatch):
    """By the check and before anything is deployed: the real docker where there is one without a daemon."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-daemon.sock")
    scenario = write_services({}, layers=LAYERS.format(CONTAINER))
    reason = "no docker daemon answers" if shutil.which("docker") else "docker is not installed"
    with pytest.raises(
        ScenarioError, match=rf"layers_services.yaml:3: services.name: {reason} on this machine"
    ):
        begin_experiment(scenario)
    (obstacle,) = load_scenario(scenario).obstacles
    assert "have the service without a container" in obstacle.message


def test_docker_that_stops_answering_fails_deploying(docker_stand_in, write_services, begin_experiment):
    """What could be had when the scenario was checked is asked for again on each host."""
    experiment = begin_experiment(write_services({}, layers=LAYERS.format(CONTAINER)))
    program = docker_stand_in.with_name("docker")
    program.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    with pytest.raises(
        DeploymentError, match=r"no docker daemon answers on host cloud.container.1.1: Cannot"
    ):
        experiment.layers_services()


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("{name: Container}", r"layers.services: the key 'image' is missing"),
        ("{name: Container, image: 1}", r"services.image: got 1, expected an image"),
        ("{name: Container, image: a, ports: [x]}", r"services.ports: got 'x', expected a port"),
        ("{name: Container, image: a, ports: [1, 2]}", r"services.ports: one port alone is published"),
        ("{name: Container, image: a, ports: 80}", r"services.ports: got 80, expected a list"),
        ("{name: Container, image: a, command: 3}", r"services.command: got 3, expected a text or a list"),
        ("{name: Mosquitto, conf: [a]}", r"services.conf: got \['a'\], expected the name of a file"),
        ("{name: Provenance, store: 3}", r"services.store: got 3, expected a text"),
    ],
)
def test_keys_of_those_that_ship_are_checked(service, message, check_services):
    """Each with its file and line, before anything is deployed."""
    import re

    _, problems = check_services({}, layers=LAYERS.format(service))
    assert len(problems) == 1
    assert re.search(rf"layers_services.yaml:3: {message}", problems[0])


def test_those_that_ship_are_known_where_scenarios_are_read():
    """The quick look of the check has the same names."""
    from optiprov.deploy.artifacts import may_have_services

    assert all(may_have_services({name}, os.devnull) for name in SHIPPED_CLASSES)
    assert set(shipped_sources()) == set(SHIPPED_CLASSES)
