"""Grid'5000 up to the calls that EnOSlib is given: no test reaches the testbed itself."""

import json

import pytest

from optiprov.deploy import load_scenario
from optiprov.deploy.journal import read_journal
from optiprov.deploy.providers.g5k import G5kProvider
from optiprov.errors import DeploymentError

from .requests import NAME, begun, request_of

LAYERS = """\
environment:
  g5k:
    job_name: mine
    cluster: ecotype
    walltime: "02:30:00"
    queue: production
    reservation: "2030-01-31 19:00:00"
    job_type: [exotic]
    key_name: ~/.ssh/other.pub
    monitor: prom_.*
    ipv6: true
    firewall_rules:
    - {services: [cloud], ports: [80, 443], proto: tcp}
firewall_rules:
- {services: [gateway]}
layers:
- name: cloud
  services:
  - {name: Server, quantity: 2}
  - {name: Gateway, servers: [paravance-7.rennes.grid5000.fr, paravance-3.rennes.grid5000.fr]}
"""
NODES = [
    "ecotype-9.nantes.grid5000.fr",
    "ecotype-12.nantes.grid5000.fr",
    "paravance-3.rennes.grid5000.fr",
    "paravance-7.rennes.grid5000.fr",
]


@pytest.fixture
def scenario(write_scenario):
    """Two hosts of a cluster and two machines that are named."""
    return load_scenario(write_scenario(layers=LAYERS))


def test_configuration_has_what_the_scenario_says(grid5000, scenario, tmp_path):
    """All keys of g5k, and a group for each service: by cluster, or the machines it names."""
    grid5000.nodes = NODES
    journal = begun(tmp_path)
    G5kProvider().machines(scenario.placements, request_of(scenario, tmp_path, journal))
    (event,) = read_journal(journal.path).reservations
    told = event["configuration"]
    machines = told.pop("resources")["machines"]
    assert told == {
        "dhcp": True,
        "force_deploy": False,
        "job_name": f"mine-{NAME}",
        "walltime": "02:30:00",
        "queue": "production",
        "reservation": "2030-01-31 19:00:00",
        "job_type": ["exotic", "origin=enoslib_g5k"],
        "key": "~/.ssh/other.pub",
        "monitor": "prom_.*",
    }
    networks = {"primary_network": "prod-nantes", "secondary_networks": []}
    other = {"primary_network": "prod-rennes", "secondary_networks": []}
    named = ["paravance-7.rennes.grid5000.fr", "paravance-3.rennes.grid5000.fr"]
    assert machines == [
        {"roles": ["1_1"], **networks, "cluster": "ecotype", "nodes": 2},
        {"roles": ["1_2_paravance.rennes"], **other, "servers": named},
    ]


def test_reserving_is_journalled_before_and_then_done_in_order(grid5000, scenario, tmp_path, monkeypatch):
    """Reserve, wait, root access, IPv6, firewall; the journal has the reservation at the first call."""
    grid5000.nodes = NODES
    # Of several sites EnOSlib reserves each on its own; that is its own affair.
    provider = "enoslib.infra.enos_g5k.provider.G5k"
    monkeypatch.setattr(f"{provider}.reserve", lambda self: self.driver.reserve())
    journal = begun(tmp_path)
    seen = []
    note, grid5000.reserve = (
        grid5000.reserve,
        lambda: (
            seen.append(len(read_journal(journal.path).reservations)),
            note(),
        ),
    )
    G5kProvider().machines(scenario.placements, request_of(scenario, tmp_path, journal))
    assert seen == [1]
    name = f"mine-{NAME}"
    ipv6 = [
        [f"ecotype-{number}-ipv6.nantes.grid5000.fr" for number in (12, 9)],
        [f"paravance-{number}-ipv6.rennes.grid5000.fr" for number in (3, 7)],
    ]
    firewall = [{**call[1], "addr": sorted(call[1]["addr"])} for call in grid5000.calls[4:]]
    assert grid5000.calls[:4] == [
        ("reserve", name),
        ("wait", name),
        ("run", "{{ cmd }}", 4),
        ("run", "dhclient -6 br0", 4),
    ]
    assert firewall == [
        {"proto": "tcp", "port": [80, 443], "addr": sorted(ipv6[0] + ipv6[1])},
        {"proto": "all", "addr": ipv6[1]},
    ]


def test_machines_are_reached_as_enoslib_says(grid5000, scenario, tmp_path):
    """As root through the access machine; hosts have the machines that they name, the rest go in order."""
    grid5000.nodes = NODES
    request = request_of(scenario, tmp_path, begun(tmp_path))
    found = G5kProvider().machines(scenario.placements, request)
    names = ["ecotype-12.nantes", "ecotype-9.nantes", "paravance-7.rennes", "paravance-3.rennes"]
    assert [one.address for one in found] == [f"{name}.grid5000.fr" for name in names]
    assert {(one.user, one.jump_host, one.key_file) for one in found} == {
        ("root", "login@access.grid5000.fr", None)
    }
    known = f'UserKnownHostsFile="{tmp_path}/known_hosts" ~/.ssh/known_hosts'
    assert found[0].options == ("StrictHostKeyChecking=accept-new", known)


def test_environment_is_deployed_in_jobs_of_that_type(grid5000, write_scenario, tmp_path, monkeypatch):
    """`env_name` goes to EnOSlib, which deploys it after it has reserved."""
    layers = LAYERS.replace("[exotic]", "[deploy]\n    env_name: debian12-min").replace("ipv6: true", "")
    scenario = load_scenario(write_scenario(layers=layers))
    grid5000.nodes = NODES
    provider = "enoslib.infra.enos_g5k.provider.G5k"
    monkeypatch.setattr(f"{provider}._verify_environment_consistency", lambda _self: False)
    for step in ("deploy", "wait_nodes", "dhcp_networks"):
        monkeypatch.setattr(f"{provider}.{step}", lambda self, s=step: self.driver.calls.append((s,)))
    journal = begun(tmp_path)
    G5kProvider().machines(scenario.placements, request_of(scenario, tmp_path, journal))
    told = read_journal(journal.path).reservations[0]["configuration"]
    assert (told["env_name"], told["job_type"][0]) == ("debian12-min", "deploy")
    steps = [call[0] for call in grid5000.calls]
    assert steps[:5] == ["reserve", "wait", "deploy", "wait_nodes", "dhcp_networks"]


def test_hosts_that_are_made_are_not_reserved_again(grid5000, scenario, tmp_path):
    """Another command takes their machines from the journal, and asks nobody."""
    grid5000.nodes = NODES
    request = request_of(scenario, tmp_path, begun(tmp_path))
    found = G5kProvider().machines(scenario.placements, request)
    made = {
        place.id: {"machine": json.loads(json.dumps(machine.as_record()))}
        for place, machine in zip(scenario.placements, found, strict=True)
    }
    grid5000.calls.clear()
    again = request_of(scenario, tmp_path, request.journal, made=made)
    assert G5kProvider().machines(scenario.placements, again) == found
    assert grid5000.calls == []


def test_too_few_machines_are_told(grid5000, scenario, tmp_path):
    """The message has the service, how many it got, and what to do."""
    grid5000.nodes = NODES[1:]
    with pytest.raises(DeploymentError, match=r"got 1 hosts for cloud\.Server, which has 2"):
        G5kProvider().machines(scenario.placements, request_of(scenario, tmp_path, begun(tmp_path)))


def test_what_enoslib_raises_is_told_with_the_job(grid5000, scenario, tmp_path):
    """Whatever it raises: its text, the job, and how to check accounts."""
    grid5000.nodes = NODES

    def refuse():
        raise Exception("no such cluster today")  # noqa: TRY002  as EnOSlib does

    grid5000.wait = refuse
    with pytest.raises(DeploymentError, match=rf"mine-{NAME}.*no such cluster today.*enoslib\.check"):
        G5kProvider().machines(scenario.placements, request_of(scenario, tmp_path, begun(tmp_path)))


def test_cluster_that_nobody_names_is_asked_for(grid5000, write_scenario, tmp_path):
    """Nothing is journalled or reserved then."""
    scenario = load_scenario(write_scenario(layers=LAYERS.replace("cluster: ecotype", "")))
    journal = begun(tmp_path)
    with pytest.raises(DeploymentError, match=r"host cloud\.server\.1\.1: no cluster is named"):
        G5kProvider().machines(scenario.placements, request_of(scenario, tmp_path, journal))
    assert (read_journal(journal.path).reservations, grid5000.calls) == ((), [])
