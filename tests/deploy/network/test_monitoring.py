import pytest

from optiprov import connect
from optiprov.deploy import Deployment, load_scenario
from optiprov.telemetry.procfs import read_network_behind
from tests.conftest import RunningService

from .conftest import LAYERS, run_on

SENT = "host.network_sent_bytes"
RECEIVED = "host.network_received_bytes"
PING = "ping -q -c 100 -i 0.002 -s 10000"


def test_counters_are_those_of_one_host(deploy_apart):
    """What a host sends counts for it and for the one that receives it, each in its direction."""
    sender, receiver, other = deploy_apart().hosts
    run_on(sender, f"{PING} -W 30 {receiver.address}")
    sent, received, neither = (
        read_network_behind(*host.network_counters) for host in (sender, receiver, other)
    )
    assert min(sent[SENT], received[RECEIVED]) > 1_000_000
    assert max(neither.values()) < 100_000
    with pytest.raises(KeyError):
        read_network_behind(sender.network_counters[0], "h4")


def test_monitoring_records_the_network_of_each_host(tmp_path, write_scenario):
    """`monitoring: {type: dstat}` has it in place of this machine's."""
    layers = f"{LAYERS}monitoring: {{type: dstat}}\n"
    workflow = f"- hosts: edge.w.1.1\n  launch:\n    - shell: {PING} 10.144.0.2\n"
    service = RunningService(tmp_path / "provenance.duckdb")
    scenario = load_scenario(write_scenario(workflow, layers))
    deployment = Deployment(scenario, tmp_path / "d", environment={"OPTIPROV_BROKER": service.mqtt})
    try:
        deployment.prepare()
        deployment.launch()
        deployment.finalize()
        ask = (
            "SELECT t.host, m.metric, max(m.value) - min(m.value) AS grown FROM prov.telemetry m "
            "JOIN prov.task t ON t.task = m.task WHERE m.metric LIKE 'host.network%' GROUP BY ALL"
        )
        rows = connect(service.http).sql(ask).to_dict("records")
    finally:
        deployment.destroy()
        service.kill()
    grown = {(row["host"], row["metric"]): row["grown"] for row in rows}
    assert min(grown["edge.w.1.1", SENT], grown["edge.w.1.2", RECEIVED]) > 1_000_000
    assert max(grown["edge.w.1.3", SENT], grown["edge.w.1.3", RECEIVED]) < 100_000
