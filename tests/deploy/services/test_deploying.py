"""Services deployed by their classes: what they do on hosts, what they register, and how they end."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from optiprov.deploy import Deployment, Experiment, load_scenario
from optiprov.deploy.watchdog import end_processes, find_processes
from optiprov.errors import DeploymentError, ScenarioError
from tests.networks import require_networks
from tests.waiting import wait_until

from .conftest import LAYERS

BOARD = '''\
from optiprov import Service


class Board(Service):
    """Web servers, each of which shows what its host is called."""

    def deploy(self):
        self.run("echo $PLACE > place.txt")
        self.copy("greeting.txt", "greeting.txt")
        self.write("# nothing", "conf/board.conf", mode=0o600)
        for host in self.hosts:
            host.start(["python3", "-m", "http.server", "--bind", host.address, str(host.port)], name="web")
        self.wait_for_port()
        self.register_service(extra=[{"colour": "red"}, {"colour": "blue"}])
'''
FLINK = """\
from e2clab.services import Service


class Board(Service):
    def deploy(self):
        self.roles.update({"master": [self.hosts[0]], "worker": self.hosts})
        metadata, env = self.service_metadata, self.env
        kept = [self.layer_name, self.layer_id, self.service_id, metadata["_id"], metadata["memory"]]
        kept.append(env["PLACE"])
        self.register_service(
            _roles={"managers": self.roles["master"]},
            service_port="8081",
            sub_service="job_manager",
            extra=[{"kept": kept}],
        )
        self.register_service(roles=self.roles["worker"], sub_service="task_manager")
        return self.service_extra_info, self.service_roles
"""
ASK = """\
- hosts: edge.*
  depends_on:
    - {service_selector: cloud.board, grouping: aggregate, prefix: board}
  launch:
    - shell: >-
        python3 -c 'import sys, urllib.request as u;
        [print(u.urlopen(f"http://{url}/place.txt").read().decode().strip()) for url in sys.argv[1:]]'
        {{ board1_1.url }} {{ board1_2.url }}
    - shell: echo {{ board1_1.colour }} {{ board1_2.metadata.colour }} {{ board1_2.memory }}
"""


@pytest.fixture
def boards(write_services):
    """A scenario whose service is two web servers."""
    scenario = write_services({"Board": BOARD}, ASK)
    (scenario / "artifacts" / "greeting.txt").write_text("hello\n")
    return scenario


def servers(experiment):
    """The web servers of an experiment that run."""
    marker = f"OPTIPROV_DEPLOYMENT={json.loads((experiment.directory / 'experiment.json').read_text())['id']}"
    return find_processes((marker,), set())


def output(experiment, host, number):
    """What a task of the launch printed."""
    return (experiment.directory / "logs" / host / f"launch-{number:02d}-shell.out").read_text()


def test_service_runs_until_it_is_finalized(boards, begin_experiment):
    """Other objects, as other processes have them, find what was registered; deployed again for more."""
    experiment = begin_experiment(boards)
    experiment.layers_services()
    assert len(servers(experiment)) == 2
    hosts = experiment.directory / "hosts"
    assert (hosts / "cloud.board.1.2" / "work" / "greeting.txt").read_text() == "hello\n"
    assert (hosts / "cloud.board.1.1" / "work" / "conf" / "board.conf").stat().st_mode & 0o777 == 0o600
    before = servers(experiment)
    Experiment.open(boards).prepare()
    Experiment.open(boards).launch()
    assert output(experiment, "edge.client.1.1", 1) == "cloud.board.1.1\ncloud.board.1.2\n"
    assert output(experiment, "edge.client.1.1", 2) == "red blue 512\n"
    assert servers(experiment) == before
    Experiment.open(boards).finalize()
    assert servers(experiment) == []
    Experiment.open(boards).launch()
    assert output(experiment, "edge.client.1.1", 3) == "cloud.board.1.1\ncloud.board.1.2\n"
    assert len(servers(experiment)) == 2
    Experiment.open(boards).destroy()
    assert servers(experiment) == []
    log = (experiment.directory / "logs" / "cloud.board.1.1" / "services.log").read_text()
    assert "ran 'echo $PLACE > place.txt': exit status 0" in log
    assert "started 'python3 -m http.server" in log


def test_services_are_deployed_for_each_set_of_variables(boards, begin_experiment, caplog):
    """As `deploy --app-conf` does it: what the first launch had has ended, which is no surprise."""
    (boards / "workflow_env.yaml").write_text("small: {size: 1}\nlarge: {size: 2}\n")
    experiment = begin_experiment(boards)
    with experiment.whole("deploy"):
        experiment.layers_services()
        experiment.prepare()
        for app_conf in ("small", "large"):
            experiment.launch(app_conf)
            asked = experiment.directory / app_conf / "logs" / "edge.client.1.1" / "launch-01-shell.out"
            assert asked.read_text() == "cloud.board.1.1\ncloud.board.1.2\n"
            assert len(servers(experiment)) == 2
            experiment.finalize(app_conf, is_last=app_conf == "large")
            assert servers(experiment) == []
    assert "has ended" not in caplog.text


def test_sub_services_and_roles_are_selected(write_services, begin_experiment):
    """E2Clab's older form: a host is two things, each by its own id, port and keys."""
    workflow = (
        "- hosts: cloud.board.1.job_manager.*\n  launch:\n"
        "    - shell: echo {{ _self.url }} {{ _self.port }} {{ _self.kept | to_json }}\n"
        "- hosts: managers\n  launch:\n"
        "    - shell: echo {{ inventory_hostname }} {{ _self._id }} $OPTIPROV_HOST\n"
        "- hosts: cloud\n  launch:\n    - shell: echo {{ _self.machine_id }}\n"
        "- hosts: edge\n  depends_on: [{service_selector: cloud.board.1.task_manager, prefix: t, grouping: "
        "aggregate}]\n  launch:\n    - shell: echo {{ t1_2.host_id }}\n"
    )
    experiment = begin_experiment(write_services({"Board": FLINK}, workflow))
    with experiment.whole("deploy"):
        experiment.layers_services()
        experiment.launch()
        experiment.finalize()
    manager, worker = "cloud.board.1.job_manager.1", "cloud.board.1.task_manager.2"
    kept = '["cloud", 1, 1, "1_1", 512, "cloud.board.1.1"]'
    assert output(experiment, manager, 1) == f"127.0.0.1:8081 8081 {kept.replace(chr(34), '')}\n"
    assert output(experiment, manager, 2) == f"{manager} 1_1_1 cloud.board.1.1\n"
    assert output(experiment, worker, 1) == "2\n"
    assert output(experiment, "edge.client.1.1", 1) == f"{worker}\n"
    validate = yaml.safe_load((experiment.directory / "layers_services-validate.yaml").read_text())
    hosts = validate["layers"][0]["services"][0]["hosts"]
    assert [host["selector"] for host in hosts] == [manager, "cloud.board.1.task_manager.1", worker]
    assert hosts[0]["roles"] == ["managers"]
    assert hosts[0]["metadata"]["kept"] == ["cloud", 1, 1, "1_1", 512, "cloud.board.1.1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "raise KeyError('x')",
            r"Board.py:4: class Board of the service cloud.board.1 failed on cloud.board.1.1, ",
        ),
        (
            "self.run('echo no >&2; exit 3')",
            r"'.*exit 3' failed on host cloud.board.1.1 with exit status 3.\n    no",
        ),
        (
            "self.run('sleep 60', self.hosts[1], timeout_s=0.1)",
            r"'sleep 60' on host cloud.board.1.2: not done in",
        ),
        ("self.wait_for_port(timeout_s=0.1)", r"nothing listens at 127.0.0.1:\d+ of host cloud.board.1.1"),
        ("self.start('echo gone; exit 4'); self.wait_for_port()", r"(?s)ended with exit status 4.*    gone"),
        ("self.copy('absent', 'x')", r"src 'absent' is not there; looked in "),
        ("self.register_service(hosts=['me'])", r"got 'me', expected hosts of the service"),
        ("self.register_service(extra={'a': 1})", r"extra: got \{'a': 1\}, expected a list"),
        (
            "self.register_service(extra=[{'a': self}])",
            r"registered as cloud.board.1.1 cannot be written down",
        ),
        ("self.register_service(sub_service='a.b')", r"sub_service: got 'a.b', expected a name"),
        ("self.register_service(service_port='http')", r"service_port: got 'http', expected a port"),
        ("import sys; sys.exit(0)", r"on cloud.board.1.1, cloud.board.1.2: SystemExit: 0"),
        ("__import__('enoslib')", r"on cloud.board.1.1, cloud.board.1.2: enoslib is not installed"),
    ],
)
def test_failure_tells_where_and_leaves_nothing(line, message, write_services, begin_experiment):
    """File, class, service, host and reason; what was started before has ended, and nothing is registered."""
    start = "self.start('exec sleep 300', self.hosts[0], name='before')"
    board = f"from optiprov import Service\nclass Board(Service):\n  def deploy(self):\n    {line}\n"
    if "wait_for_port" not in line:
        board = board.replace(f"    {line}", f"    {start}; {line}")
    experiment = begin_experiment(write_services({"Board": board}))
    with pytest.raises(DeploymentError, match=message) as caught:
        experiment.layers_services()
    assert f"Board.py:{4}: class Board of the service cloud.board.1 failed" in str(caught.value) or (
        "cannot be written down" in message
    )
    assert servers(experiment) == []
    assert not (experiment.directory / "services.json").exists()


def test_service_that_listens_at_loopback_alone_is_told_so_where_hosts_are_apart(
    write_services, begin_experiment
):
    """Where each host has an address, what listens at localhost is reached by nobody else."""
    require_networks()
    listen = "python3 -m http.server 8080 --bind 127.0.0.1"
    board = "from optiprov import Service\nclass Board(Service):\n  def deploy(self):\n"
    board += f"    self.start('{listen}')\n"
    board += "    self.run('until (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; do sleep 0.05; done')\n"
    board += "    self.wait_for_port(8080, timeout_s=0.5)\n"
    layers = LAYERS.replace("local: }", "local: {isolation: netns}}")
    experiment = begin_experiment(write_services({"Board": board}, layers=layers))
    told = r"nothing listens at 10\.144\.0\.1:8080 of .* What listens at 127\.0\.0\.1 is not reached"
    with pytest.raises(DeploymentError, match=told):
        experiment.layers_services()


def test_failed_deploying_goes_on_when_the_reason_is_gone(write_services, begin_experiment):
    """`layers-services` again deploys the services on the same hosts."""
    board = (
        "from optiprov import Service\nclass Board(Service):\n  def deploy(self):\n"
        "    self.run('test -e {}')\n    self.register_service(extra=[{{'x': 1}}, None])\n"
    )
    scenario = write_services({"Board": ""})
    (scenario / "artifacts" / "Board.py").write_text(board.format(scenario / "there"))
    experiment = begin_experiment(scenario)
    with pytest.raises(DeploymentError, match="failed on host"):
        experiment.layers_services()
    (scenario / "there").touch()
    again = Experiment.unfinished(scenario)
    assert again.directory == experiment.directory
    again.layers_services()
    Experiment.open(scenario).prepare()


def test_pattern_of_what_was_not_registered_is_refused(write_services, begin_experiment):
    """The class decides when it runs; the message has what there is."""
    board = (
        "from optiprov import Service\nclass Board(Service):\n  def deploy(self):\n"
        "    self.register_service(sub_service='a' + 'b')\n"
    )
    scenario = write_services({"Board": board}, "- hosts: cloud.board.1.ba\n  launch: [{shell: echo}]\n")
    experiment = begin_experiment(scenario)
    with pytest.raises(ScenarioError, match=r"workflow.yaml:1: got 'cloud.board.1.ba'.*cloud.board.1.ab.1"):
        experiment.layers_services()


def test_killed_command_leaves_no_service(boards):
    """`deploy` killed in the launch: its services end with it, and are deployed again by the next launch."""
    (boards / "workflow.yaml").write_text("- hosts: edge\n  launch:\n    - shell: exec sleep 300\n")
    command = [sys.executable, "-m", "optiprov.cli", "deploy", str(boards)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: list(boards.glob("2*/logs/edge.client.1.1/launch-*.out")))
        experiment = Experiment.open(boards)
        assert len(servers(experiment)) == 3
        process.kill()
    wait_until(lambda: servers(experiment) == [])
    (boards / "workflow.yaml").write_text(ASK)
    Experiment.open(boards).launch()
    assert output(experiment, "edge.client.1.1", 2) == "cloud.board.1.1\ncloud.board.1.2\n"
    Experiment.open(boards).destroy()


WAITS = """\
import pathlib
from optiprov import Service


class Board(Service):
    def deploy(self):
        self.start("exec sleep 300", name="before")
        if not pathlib.Path({there!r}).exists():
            self.run("echo waits; exec sleep 300", name="long")
        self.register_service()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_command_that_is_ended_while_it_deploys_leaves_nothing(number, write_services):
    """By kill -9, and by Ctrl-C while several hosts are waited for; `layers-services` again goes on."""
    scenario = write_services({})
    there = scenario / "there"
    (scenario / "artifacts" / "Board.py").write_text(WAITS.format(there=str(there)))
    command = [sys.executable, "-m", "optiprov.cli", "layers-services", str(scenario)]
    begin = "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    begin += "os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", begin, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        waits = "2*/logs/cloud.board.1.?/services-*-long.out"
        wait_until(lambda: [path.read_text() for path in scenario.glob(waits)] == ["waits\n"] * 2)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    (directory,) = scenario.glob("2*")
    experiment = Experiment.open(directory)
    wait_until(lambda: servers(experiment) == [])
    assert not (directory / "services.json").exists()
    there.touch()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(scenario.glob("2*")) == [directory]
    assert len(servers(experiment)) == 2
    Experiment.open(scenario).prepare()
    assert len(servers(experiment)) == 2
    Experiment.open(scenario).destroy()


def test_services_of_a_machine_that_was_started_anew_are_deployed_again(boards, begin_experiment):
    """Of another boot nothing runs, whatever processes have these ids now; a file that is cut off is none."""
    begin_experiment(boards).layers_services()
    (path,) = boards.glob("2*/services.json")
    experiment = Experiment.open(boards)
    before = servers(experiment)
    experiment.prepare()
    assert servers(experiment) == before
    end_processes((), set(before))
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot_id": "another"}))
    Experiment.open(boards).prepare()
    assert len(servers(experiment)) == 2
    end_processes((), set(servers(experiment)))
    path.write_text('{"services": [')
    Experiment.open(boards).launch()
    assert output(experiment, "edge.client.1.1", 2) == "red blue 512\n"


def test_service_that_ends_is_told(boards, begin_experiment, caplog):
    """With the log's place; the others go on."""
    experiment = begin_experiment(boards)
    experiment.layers_services()
    (first, second) = servers(experiment)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: "web on host cloud.board.1." in caplog.text)
    assert "has ended with exit status -9" in caplog.text
    assert servers(experiment) == [second]


def test_module_beside_a_class_is_imported(write_services, begin_experiment):
    """But not in place of one of Python's; nothing of it stays on the path."""
    board = (
        "import queue\nfrom beside import COLOUR\nfrom optiprov import Service\n"
        "class Board(Service):\n  def deploy(self):\n    queue.Queue()\n"
        "    self.register_service(extra=[{'colour': COLOUR}])\n"
    )
    files = {"Board": board, "beside": "COLOUR = 'green'\n", "queue": "raise SystemExit\n"}
    before = list(sys.path)
    experiment = begin_experiment(write_services(files))
    experiment.layers_services()
    assert "colour: green" in (experiment.directory / "layers_services-validate.yaml").read_text()
    assert sys.path == before


def test_class_that_cannot_be_imported_is_told(write_services, begin_experiment):
    """With the line of its file that raises."""
    board = "from optiprov import Service\nraise ValueError('no')\n"
    board += "class Board(Service):\n  def deploy(self): pass\n"
    experiment = begin_experiment(write_services({"Board": board}))
    with pytest.raises(DeploymentError, match=r"Board.py:2: cannot be imported: ValueError: no"):
        experiment.layers_services()


def test_deployment_that_is_stopped_while_it_deploys_services_ends_them(write_services, tmp_path):
    """As a trial is cancelled: what waits fails, what comes after is not begun, and nothing runs."""
    board = (
        "from optiprov import Service\nclass Board(Service):\n  def deploy(self):\n"
        "    self.run('echo waits; exec sleep 300', self.hosts[0], name='long', check=False)\n"
        "    self.start('exec sleep 300')\n"
    )
    deployment = Deployment(load_scenario(write_services({"Board": board})), tmp_path / "deployment")
    waits = tmp_path / "deployment" / "logs" / "cloud.board.1.1" / "services-01-long.out"
    with ThreadPoolExecutor() as pool:
        preparing = pool.submit(deployment.prepare)
        wait_until(lambda: waits.exists() and waits.read_text() == "waits\n")
        deployment.stop()
        with pytest.raises(
            DeploymentError, match=r"class Board of the service cloud.board.1 was stopped while"
        ):
            preparing.result(60)
    assert find_processes((f"OPTIPROV_DEPLOYMENT={deployment.id}",), set()) == []
    with pytest.raises(DeploymentError, match="was stopped: only finalize"):
        deployment.prepare()
    deployment.finalize()


def test_no_hosts_are_none(write_services, begin_experiment):
    """An empty list, such as the workers of a service of one host, is not all hosts."""
    board = (
        "from optiprov import Service\nclass Board(Service):\n  def deploy(self):\n"
        "    workers = self.hosts[2:]\n"
        "    assert self.run('exit 1', workers) == []\n"
        "    self.register_service(sub_service='master')\n"
        "    self.register_service(hosts=workers, sub_service='worker')\n"
    )
    experiment = begin_experiment(write_services({"Board": board}))
    experiment.layers_services()
    validate = yaml.safe_load((experiment.directory / "layers_services-validate.yaml").read_text())
    hosts = validate["layers"][0]["services"][0]["hosts"]
    assert [host["selector"] for host in hosts] == ["cloud.board.1.master.1", "cloud.board.1.master.2"]


def test_stopping_and_asking_within_deploy(write_services, begin_experiment):
    """`stop` ends what `start` has begun, by name; `run` gives what was printed."""
    board = (
        "from optiprov import Service\nclass Board(Service):\n  def deploy(self):\n"
        "    (web, _) = self.start('exec sleep 300', name='one')\n"
        "    self.start('exec sleep 300', name='two')\n"
        "    self.stop(name='one')\n"
        "    said = self.run(['echo', 'a b'])[1].stdout\n"
        "    failed = self.run('exit 5', self.hosts[0], check=False)[0].status\n"
        "    self.register_service(extra=[{'is_alive': web.is_alive, 'said': said, 'failed': failed}])\n"
    )
    experiment = begin_experiment(write_services({"Board": board}))
    experiment.layers_services()
    assert len(servers(experiment)) == 2
    validate = yaml.safe_load((experiment.directory / "layers_services-validate.yaml").read_text())
    (first, _) = validate["layers"][0]["services"][0]["hosts"]
    assert first["metadata"] == {"memory": 512, "is_alive": False, "said": "a b\n", "failed": 5}


def test_url_of_a_service_is_reached_from_here(boards, begin_experiment):
    """What is registered is where it listens."""
    experiment = begin_experiment(boards)
    experiment.layers_services()
    services = json.loads((experiment.directory / "services.json").read_text())["services"]
    urls = [one["info"]["url"] for one in services[0]["registrations"]]
    with urllib.request.urlopen(f"http://{urls[1]}/place.txt") as answer:
        assert answer.read() == b"cloud.board.1.2\n"
