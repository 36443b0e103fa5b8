"""The provenance service of a study's own."""

import psutil

from optiprov.optimize.service import StudyService


def test_service_has_the_lanes_that_the_scenario_asks_for(tmp_path):
    """Each is a connection to the broker, beside that of nobody else."""
    for lanes in (1, 3):
        (tmp_path / str(lanes)).mkdir()
        with StudyService(None, tmp_path / str(lanes), lanes=lanes) as service:
            port = int(service.mqtt.rpartition(":")[2])
            connections = psutil.Process(service.process.pid).net_connections()
            assert sum(bool(one.raddr) and one.raddr.port == port for one in connections) == lanes
