"""The provenance service of a scenario, and what it has stored for it."""

import os
import signal

import psutil
import pytest

from optiprov import connect
from optiprov.capture import send_leftovers
from optiprov.deploy import Deployment, Experiment, load_scenario
from optiprov.deploy.dataflow_specification import send_specification
from optiprov.deploy.journal import Journal
from optiprov.deploy.scenario_service import ScenarioService
from optiprov.deploy.watchdog import find_processes
from optiprov.errors import ServiceUnavailable, SpecificationError, WorkError
from optiprov.wire import BrokerAddress
from tests.compat.test_dfa_lib_python import SPECIFICATION as SCRIPT

LAYERS = """\
environment: {local: }
provenance: {ipv: %d}
layers:
- {name: edge, services: [{name: W, roles: [provenance]}]}
"""
RECORD = """\
- hosts: all
  launch:
    - shell: >-
        python3 -c 'from optiprov import Workflow; w = Workflow("f"); w.begin(); w.end()';
        echo $PROVLIGHT_SERVER_URL
"""
YAML = "dataflow: from_yaml\ntransformations:\n  a: {generates: [b]}\ndatasets:\n  b: {c: numeric}\n"


@pytest.fixture(autouse=True)
def _clean_variables(monkeypatch):
    """Nothing of ours in the environment that processes inherit."""
    for name in list(os.environ):
        if name.startswith(("OPTIPROV_", "PROVLIGHT_")):
            monkeypatch.delenv(name)


@pytest.fixture
def make_service(tmp_path, write_scenario):
    """Makes the service of a scenario; stopped at the end."""
    made = []

    def make(layers=LAYERS % 4, **options):
        scenario = load_scenario(write_scenario(layers=layers))
        service = ScenarioService(
            "of-a-test", tmp_path, scenario.provenance_service, Journal(tmp_path / "j"), **options
        )
        made.append(service)
        return service

    yield make
    for service in made:
        service.stop()


@pytest.mark.parametrize(
    ("name", "text", "dataflow"),
    [("a.yaml", YAML, "from_yaml"), ("a.py", SCRIPT.format(dataflow="from_script"), "from_script")],
)
def test_specification_is_stored(name, text, dataflow, tmp_path, shared_service):
    """A YAML file, and a script on dfa_lib_python, which DfAnalyzer's users have."""
    (tmp_path / name).write_text(text)
    broker = BrokerAddress.parse(shared_service.mqtt)
    send_specification(tmp_path / name, broker, tmp_path / "spool")
    assert send_leftovers(tmp_path / "spool", broker) == []
    specified = connect(shared_service.http).sql("SELECT dataflow FROM prov.dataflow")
    assert dataflow in set(specified["dataflow"])


def test_specification_that_is_wrong_is_told(tmp_path):
    """The file and line of YAML, the end of a script's errors."""
    broker = BrokerAddress.parse("127.0.0.1:1")
    (tmp_path / "a.yaml").write_text("dataflow: x\n")
    with pytest.raises(SpecificationError, match=r"a.yaml:1: 'transformations' is missing"):
        send_specification(tmp_path / "a.yaml", broker, tmp_path / "spool")
    (tmp_path / "a.py").write_text("import sys; sys.exit('no dataflow')")
    with pytest.raises(WorkError, match=r"(?s)a.py: .* failed with exit status 1.*    no dataflow"):
        send_specification(tmp_path / "a.py", broker, tmp_path / "spool")


@pytest.mark.parametrize(("version", "host"), [(4, "127.0.0.1"), (6, "[::1]")])
def test_hosts_reach_the_service_by_the_ip_version(version, host, write_scenario):
    """`ipv` says where it listens; what hosts record in the launch is stored when it is finalized."""
    scenario = write_scenario(RECORD, LAYERS % version)
    experiment = Experiment.create(scenario, None)
    with experiment.whole("deploy"):
        experiment.layers_services()
        experiment.launch()
        experiment.finalize()
        assert experiment.addresses["http"].startswith(f"http://{host}:")
        experiment.destroy()
    log = experiment.directory / "logs" / "edge.w.1.1" / "launch-01-shell.out"
    assert log.read_text().startswith(f"{host}:")
    runs = connect(experiment.directory / "provenance-data").runs()
    assert list(runs["status"]) == ["finished"]


def test_killed_service_comes_back_on_its_ports(make_service):
    """After a kill -9 the next step starts it again where clients look for it; a stopped one is gone."""
    service = make_service()
    service.ensure()
    first = service.addresses
    again = make_service()
    again.ensure()
    assert again.addresses == first
    os.kill(first["pid"], signal.SIGKILL)
    service._process.wait()
    again.ensure()
    assert (again.addresses["mqtt"], again.addresses["http"]) == (first["mqtt"], first["http"])
    assert again.addresses["pid"] != first["pid"]
    again.stop()
    assert find_processes(("OPTIPROV_SERVICE_OF=of-a-test",), set()) == []


def test_service_has_the_lanes_that_the_scenario_asks_for(make_service):
    """`parallelism` is how many connections it has to its broker."""
    service = make_service(LAYERS.replace("{ipv: %d}", "{parallelism: 3}"))
    service.ensure()
    port = int(service.addresses["mqtt"].rpartition(":")[2])
    connections = psutil.Process(service.addresses["pid"]).net_connections()
    assert sum(bool(one.raddr) and one.raddr.port == port for one in connections) == 3


def test_service_that_runs_is_used_and_left_alone(make_service, shared_service):
    """A named service gets the records; stopping the scenario's does not end it."""
    service = make_service(store=shared_service.http)
    service.ensure()
    assert service.addresses["mqtt"] == shared_service.mqtt
    service.stop()
    assert shared_service.process.poll() is None
    with pytest.raises(ServiceUnavailable, match="Start it, or leave --store out"):
        make_service(store="http://127.0.0.1:1").ensure()


def test_monitoring_of_a_trial_ends_with_it(tmp_path, write_scenario, shared_service):
    """Where somebody stores it, the load is sampled from the launch on; finalize ends the sampling."""
    layers = LAYERS.replace("provenance: {ipv: %d}", "monitoring: {type: dstat}")
    scenario = load_scenario(write_scenario("- hosts: all\n  launch:\n    - shell: echo\n", layers))
    deployment = Deployment(scenario, tmp_path / "d", environment={"OPTIPROV_BROKER": shared_service.mqtt})
    deployment.prepare()
    deployment.launch()
    assert find_processes((f"OPTIPROV_MONITOR_OF={deployment.id}",), set())
    deployment.finalize()
    assert not find_processes((f"OPTIPROV_MONITOR_OF={deployment.id}",), set())
    for spool in deployment.spool_dirs():
        assert send_leftovers(spool, BrokerAddress.parse(shared_service.mqtt)) == []
    sampled = connect(shared_service.http).sql(
        "SELECT DISTINCT t.host FROM prov.telemetry m JOIN prov.task t ON t.task = m.task"
    )
    assert list(sampled["host"]) == ["edge.w.1.1"]
    columns = connect(shared_service.http).sql(
        "SELECT metric, min(value) AS least, count(*) AS samples FROM prov.telemetry GROUP BY metric"
    )
    assert {
        *(
            "host.cpu_busy_s",
            "host.memory_available_bytes",
            "host.disk_read_bytes",
            "host.disk_written_bytes",
        ),
        *("host.network_received_bytes", "host.network_sent_bytes"),
    } <= set(columns["metric"])
    assert (columns["least"] >= 0).all()
    assert (columns["samples"] >= 2).all()  # the first one, and the last one as it is stopped
