from optiprov.deploy.grouping import group
from optiprov.deploy.models import Dependency

SERVICES = [
    {"_id": "1_1_1", "service_id": "1", "machine_id": "1", "__address__": "10.0.0.1", "url": "10.0.0.1:80"},
    {"_id": "1_1_2", "service_id": "1", "machine_id": "2", "__address__": "10.0.0.2", "url": "10.0.0.2:80"},
]


def dependency(**values):
    """A dependency with the prefix `server`."""
    return Dependency(service_selector="cloud", prefix="server", **values)


def test_round_robin_gives_services_in_turn():
    """The first host gets the first service, the third the first again; it is the default."""
    variables = group(dependency(), SERVICES[:1] * 3, SERVICES)
    assert [each["server"]["_id"] for each in variables] == ["1_1_1", "1_1_2", "1_1_1"]


def test_asarray_gives_every_host_the_list():
    """E2Clab's list of ids without underscores, or addresses or urls by array_info."""
    assert group(dependency(grouping="asarray"), SERVICES, SERVICES) == [{"server": ["111", "112"]}] * 2
    by_address = group(dependency(grouping="asarray", array_info="hostname"), SERVICES[:1], SERVICES)
    assert by_address == [{"server": ["10.0.0.1", "10.0.0.2"]}]
    assert (
        group(dependency(grouping="asarray", array_info="url"), SERVICES[:1], SERVICES)[0]["server"][1]
        == "10.0.0.2:80"
    )


def test_aggregate_gives_every_host_a_variable_for_each_service():
    """E2Clab's names: prefix, service id and machine id."""
    variables = group(dependency(grouping="aggregate"), SERVICES[:1], SERVICES)[0]
    assert variables["server1_2"]["url"] == "10.0.0.2:80"
    assert [info["_id"] for info in variables["server"]] == ["1_1_1", "1_1_2"]
