"""The experiment `fog`: its README is typed as it stands, on a copy of the experiment."""

import csv
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from optiprov import connect
from tests.experiments.readme import type_commands

FOG = Path(__file__).parents[2] / "experiments" / "fog"
GATEWAYS = [f"fog.gateway.{service}.{machine}" for service in (1, 3) for machine in (1, 2, 3)]
READINGS = {"calm": 60, "busy": 600}


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """What the commands of the README print, and the directory of the experiment that they leave."""
    root = tmp_path_factory.mktemp("fog")
    copy = root / "experiments" / FOG.name
    shutil.copytree(FOG, copy, ignore=shutil.ignore_patterns("2*-*", "__pycache__"))
    output = type_commands(FOG / "README.md", root)
    (experiment,) = copy.glob("2*-*")
    return output, experiment


@pytest.mark.parametrize("app_conf", ["calm", "busy"])
def test_readings_of_all_sensors_reach_the_center(typed, app_conf):
    """None is lost on the way, and each gateway has passed on those of its two sensors."""
    output, experiment = typed
    assert "fine, 20 hosts" in output
    for gateway in GATEWAYS:  # what the question of the README answers
        assert re.search(rf"^{re.escape(gateway)} +50 +2 +1200$", output, re.MULTILINE)
    with (experiment / app_conf / "fetched" / "cloud.center.1.1" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["sensor"] for row in rows}) == 12
    assert {int(row["count"]) for row in rows} == {READINGS[app_conf]}
    assert Counter(row["gateway"] for row in rows) == dict.fromkeys(GATEWAYS, 2)
    assert all(14 < float(row["mean"]) < 16 for row in rows)
    round_trips = experiment / app_conf / "fetched" / "fog.probe.2.1" / "round_trips.txt"
    assert len(round_trips.read_text().split()) == 20


def test_provenance_leads_from_summaries_to_readings(typed):
    """Both launches are in one store; a summary used what a gateway's task generated of the same sensor."""
    _, experiment = typed
    store = connect(experiment / "provenance-data" / "provenance.duckdb")
    assert Counter(store.runs()["status"]) == {"finished": 14}
    found = store.query(
        projection=["used.sensor", "used.count", "used.window", "generated.windows"],
        filter={"transformation": "aggregation"},
    )
    assert set(zip(found["used.count"], found["used.window"], found["generated.windows"], strict=True)) == {
        (60, 20, 3),
        (600, 50, 12),
    }
    assert len(found) == 24
    tasks = store.query(projection=["used.total", "generated.sensor"], filter={"transformation": "summary"})
    assert len(tasks) == 24
    assert tasks["used.total"].notna().all()
