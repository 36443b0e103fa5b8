"""FIT IoT-LAB up to the calls that EnOSlib is given: no test reaches the testbed itself."""

import pytest

from optiprov.deploy import load_scenario
from optiprov.deploy.journal import read_journal
from optiprov.deploy.providers.iotlab import IotLabProvider
from optiprov.errors import DeploymentError

from .requests import NAME, begun, request_of

LAYERS = """\
environment:
  walltime: "00:30:01"
  iotlab: {cluster: grenoble}
layers:
- name: edge
  services:
  - {name: Client, quantity: 2, archi: "a8:at86rf231", profile: measured}
  - {name: Sink, archi: "rpi3:at86rf233", cluster: saclay}
"""
NODES = ["a8-20.grenoble.iot-lab.info", "a8-3.grenoble.iot-lab.info", "rpi3-1.saclay.iot-lab.info"]


def machines(scenario, tmp_path, journal=None):
    """The machines of a scenario's hosts."""
    request = request_of(scenario, tmp_path, journal or begun(tmp_path))
    return IotLabProvider().machines(scenario.placements, request)


def test_boards_are_reserved_by_architecture_and_site(iotlab, write_scenario, tmp_path):
    """Reserved, waited for until they have booted, and reached as EnOSlib says; whole minutes."""
    iotlab.nodes = NODES
    journal = begun(tmp_path)
    found = machines(load_scenario(write_scenario(layers=LAYERS)), tmp_path, journal)
    groups = [
        {"roles": ["1_1"], "profile": "measured", "archi": "a8:at86rf231", "site": "grenoble", "number": 2},
        {"roles": ["1_2"], "archi": "rpi3:at86rf233", "site": "saclay", "number": 1},
    ]
    assert iotlab.calls == [
        ("reserve", NAME, "0:31", groups),
        ("wait",),
        ("boot", [f"node-{node}" for node in NODES]),
    ]
    assert [(one.user, one.address) for one in found] == [("root", f"node-{node}") for node in NODES]
    (event,) = read_journal(journal.path).reservations
    assert event["configuration"]["resources"]["machines"] == groups


def test_boards_are_reserved_by_name(iotlab, write_scenario, tmp_path):
    """Each host has the board that it names."""
    iotlab.nodes = NODES[:2]
    layers = f"""\
environment: {{iotlab: {{}}}}
layers:
- name: edge
  services: [{{name: Client, servers: [{NODES[1]}, {NODES[0]}]}}]
"""
    found = machines(load_scenario(write_scenario(layers=layers)), tmp_path)
    assert iotlab.calls[0][3] == [{"roles": ["1_1_a8.grenoble"], "hostname": [NODES[1], NODES[0]]}]
    assert [one.address for one in found] == [f"node-{NODES[1]}", f"node-{NODES[0]}"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a8:at86rf231", "m3:at86rf231", "got 'm3:at86rf231', which has no Linux"),
        (', archi: "a8:at86rf231"', "", "its service names no `archi`"),
        ('archi: "rpi3:at86rf233"', f"servers: {NODES[2]}", "of all, or of none"),
    ],
)
def test_what_cannot_be_a_host_is_refused_before_anything_is_made(
    iotlab, write_scenario, tmp_path, old, new, message
):
    """Boards without Linux, none named, or both ways of naming in one reservation."""
    scenario = load_scenario(write_scenario(layers=LAYERS.replace(old, new)))
    journal = begun(tmp_path)
    with pytest.raises(DeploymentError, match=message):
        machines(scenario, tmp_path, journal)
    assert (read_journal(journal.path).reservations, iotlab.calls) == ((), [])
