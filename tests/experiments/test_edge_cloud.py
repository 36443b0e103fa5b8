"""The experiment `edge_cloud`: its README is typed in a short form, on a copy of the experiment."""

import json
import re
import shutil
from pathlib import Path

import pytest

from optiprov import connect
from tests.experiments.readme import type_commands
from tests.networks import require_networks

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "edge_cloud"
SENSORS = [f"edge.sensor.1.{number}" for number in (1, 2, 3)]
AGGREGATOR = "cloud.mosquitto.1.1"
TRIALS = 2
READINGS = 200
EMULATOR_MS = 2.0
LATE_MS = 400.0
"""What the fastest reading may be late for other things than the delay: the rate, a busy machine."""
LAUNCHES = """
    SELECT r.trial_id, i.delay_ms, i.rate_kbit, i.batch, o.*
    FROM aggregation_input i JOIN aggregation_output o USING (aggregation_task_id)
    JOIN prov.run r ON r.run_id = i.run_id ORDER BY r.trial_id, i.delay_ms
"""
HOSTS = """
    SELECT v.value AS host, r.status, r.is_complete, r.trial_id
    FROM prov.run r JOIN prov.run_environment USING (run_id)
    JOIN prov.environment_variable v USING (client_id)
    WHERE v.variable = 'OPTIPROV_HOST'
"""


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """What the commands of the README print, and the directory of the study that they leave."""
    require_networks()
    root = tmp_path_factory.mktemp("edge_cloud")
    copy = root / "experiments" / EXPERIMENT.name
    shutil.copytree(EXPERIMENT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    readme = (EXPERIMENT / "README.md").read_text(encoding="utf-8")
    assert "--num-samples 8" in readme
    short = root / "README.md"
    short.write_text(readme.replace("--num-samples 8", f"--num-samples {TRIALS}"), encoding="utf-8")
    output = type_commands(short, root)
    return output, root / "results" / "edge_cloud"


@pytest.fixture(scope="module")
def launches(typed):
    """A row a launch: its delay, rate and batch, and what became of the readings."""
    _, study = typed
    return connect(study / "provenance.duckdb").sql(LAUNCHES)


def test_all_four_hosts_record_each_launch(typed):
    """Each of them has a complete run of each launch of each trial, and the README's question tells so."""
    output, study = typed
    runs = connect(study / "provenance.duckdb").sql(HOSTS)
    assert set(runs["status"]) == {"finished"}
    assert runs["is_complete"].all()
    counts = runs.groupby(["host", "trial_id"]).size()
    trials = [f"edge_cloud-{number:03}" for number in range(1, TRIALS + 1)]
    assert counts.to_dict() == {(host, trial): 2 for host in (AGGREGATOR, *SENSORS) for trial in trials}
    for host in (AGGREGATOR, *SENSORS):
        assert re.search(rf"^{re.escape(host)} +{2 * TRIALS} +\d+$", output, re.MULTILINE)


def test_aggregator_uses_what_the_sensors_sent(typed):
    """Lineage leads from an aggregate to all three sensors, whose readings have all come."""
    _, study = typed
    store = connect(study / "provenance.duckdb")
    received = store.query(
        ["run_id", "used.sensor", "used.sent", "used.wire_bytes", "generated.sensor", "generated.received"],
        {"transformation": "reception"},
    )
    assert list(received["used.sensor"]) == list(received["generated.sensor"])
    assert (received["used.sent"] == READINGS).all()
    assert (received["generated.received"] == READINGS).all()
    assert (received["used.wire_bytes"] > READINGS * 24).all()
    (item,) = store.sql("SELECT item_id FROM aggregation_output JOIN prov.item USING (item) LIMIT 1")[
        "item_id"
    ]
    tasks = store.lineage(item).tasks
    assert sorted(tasks["transformation"]) == ["aggregation", *["reception"] * 3, *["streaming"] * 3]


def test_latency_follows_the_delay_of_each_launch(launches):
    """No reading is faster than the link, the fastest not much slower; the second has twice the delay."""
    assert len(launches) == 2 * TRIALS
    beyond = launches["latency_min_ms"] - launches["delay_ms"]
    assert (beyond > -EMULATOR_MS).all()
    assert (beyond < LATE_MS).all()
    assert (launches["latency_p95_ms"] > launches["latency_min_ms"]).all()
    for _, of_trial in launches.groupby("trial_id"):
        short, long = of_trial["delay_ms"]
        assert long == 2 * short
        assert of_trial["rate_kbit"].nunique() == of_trial["batch"].nunique() == 1


def test_trial_reports_the_worse_of_its_launches(typed, launches):
    """The objective is what the store has of the trial's two launches, the greater of both."""
    _, study = typed
    trials = connect(study / "provenance.duckdb").trials("edge_cloud")
    worst = launches.groupby("trial_id")["latency_p95_ms"].max()
    assert trials.set_index("trial_id")["value"].to_dict() == pytest.approx(worst.to_dict())


def test_hosts_are_deployed_once_for_both_launches(typed, launches):
    """Prepare is done once a trial; the second launch has the links emulated anew, which the trial keeps."""
    _, study = typed
    longest = launches.groupby("trial_id")["delay_ms"].max()
    for trial in sorted((study / "trials").iterdir()):
        stages = [one.name for one in (trial / "logs" / AGGREGATOR).glob("*.log")]
        assert sorted(stages) == ["launch.log", "prepare.log", "services.log"]
        log = (trial / "logs" / AGGREGATOR / "prepare.log").read_text().splitlines()
        assert len(log) == 1
        assert (trial / "logs" / AGGREGATOR / "launch.log").read_text().count("'aggregator'  started") == 2
        links = json.loads((trial / "network.json").read_text())["links"]
        pairs = {(link["source"], link["destination"]) for link in links}
        assert pairs == {(one, AGGREGATOR) for one in SENSORS} | {(AGGREGATOR, one) for one in SENSORS}
        assert {link["delay_s"] for link in links} == {longest[f"edge_cloud-{trial.name}"] / 1000}


def test_picture_shows_latency_over_delay(typed):
    """The script draws a picture of all launches into the results of the study."""
    output, study = typed
    assert f"latency_over_delay.png: {2 * TRIALS} launches of {TRIALS} trials" in output
    picture = (study / "latency_over_delay.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
    assert (study / "scatter_delay_ms.png").exists()
