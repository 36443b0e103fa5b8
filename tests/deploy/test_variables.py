import socket

from optiprov.deploy.variable_names import RESERVED, SELF_KEYS
from optiprov.deploy.variables import Variables, describe


def test_local_hosts_have_an_ipv6_address_when_the_machine_has(deploy):
    """Scenarios for FIT IoT-LAB reach services by it."""
    deployment = deploy("- hosts: edge\n  launch:\n    - shell: echo\n")
    deployment.prepare()
    host = describe(deployment.hosts[0])
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        assert "url6" not in host
    else:
        assert (host["__address6__"], host["url6"]) == ("::1", f"[::1]:{host['port']}")


def test_reserved_names_are_the_variables_that_there_are(deploy):
    """What a scenario may not hide is what templates get: `_self`'s keys, and the variables of a task."""
    deployment = deploy("- hosts: edge\n  launch:\n    - shell: echo\n")
    deployment.prepare()
    host = deployment.hosts[0]
    host.address6, host.gateway = "::1", "127.0.0.1"
    assert set(describe(host)) == SELF_KEYS
    variables = Variables(deployment.scenario, deployment.hosts, {})
    ((_, of_play),) = variables.of_play(deployment.scenario.plays[0], {})
    assert {*of_play, "app_conf"} == RESERVED


def test_self_has_the_values_of_the_host(deploy):
    """Each of E2Clab's keys; the gateway where others reach it through one, and not where there is none."""
    deployment = deploy("- hosts: edge\n  launch:\n    - shell: echo\n")
    deployment.prepare()
    host = deployment.hosts[1]
    assert "gateway" not in describe(host)
    host.address, host.address6, host.gateway, host.port = "10.0.0.7", "2001:db8::7", "10.0.0.1", 4321
    assert describe(host) == {
        "host_id": "edge.worker.1.1",
        "_id": "2_1_1",
        "layer_id": "2",
        "service_id": "1",
        "machine_id": "1",
        "port": 4321,
        **dict.fromkeys(("address", "address4", "__address__", "__address4__"), "10.0.0.7"),
        **dict.fromkeys(("address6", "__address6__"), "2001:db8::7"),
        **dict.fromkeys(("url", "url4"), "10.0.0.7:4321"),
        "url6": "[2001:db8::7]:4321",
        "gateway": "10.0.0.1",
        "metadata": {},
    }
