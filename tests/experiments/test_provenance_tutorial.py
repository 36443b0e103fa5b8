"""The tutorial on provenance: its README is typed as it stands, on a copy of the experiment."""

import csv
import re
import shutil
from pathlib import Path

import duckdb
import pytest
import yaml

from optiprov import connect
from optiprov.deploy import load_scenario
from optiprov.errors import ScenarioError
from tests.experiments.readme import type_commands
from tests.networks import require_networks

TUTORIAL = Path(__file__).parents[2] / "experiments" / "provenance_tutorial"
ABOVE_90 = (
    "SELECT kernel_size, num_kernels FROM {}training_input JOIN {}training_output USING (training_task_id)"
)
ROW = re.compile(r"^ +(\d+) +(\d+) +(\d+) +(\d+) +(0\.\d+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """What the commands of the README print, and the directory of the experiment that they leave."""
    require_networks()
    root = tmp_path_factory.mktemp("tutorial")
    copy = root / "experiments" / TUTORIAL.name
    shutil.copytree(TUTORIAL, copy, ignore=shutil.ignore_patterns("2*-*", "__pycache__"))
    output = type_commands(TUTORIAL / "README.md", root)
    (experiment,) = copy.glob("2*-*")
    return output, experiment


def test_commands_end_with_the_hyperparameters_above_90_percent(typed):
    """The rows of the README come out, in SQL and in fields; accuracies vary a little between machines."""
    output, _ = typed
    written = ROW.findall((TUTORIAL / "README.md").read_text())
    found = ROW.findall(output)
    assert len(written) == 4
    by_sql, by_fields = found[:4], found[4:]
    assert {row[:4] for row in by_sql} == {row[:4] for row in by_fields} == {row[:4] for row in written}
    expected = {row[:4]: float(row[4]) for row in written}
    assert all(float(row[4]) == pytest.approx(expected[row[:4]], abs=0.03) for row in by_sql)
    assert "cloud.master.1.1 on local, for g5k" in output


def test_dump_of_the_tutorial_answers_the_same(typed):
    """provenance_database.sql loads into an empty database, which finds the four rows."""
    _, experiment = typed
    loaded = duckdb.connect()
    loaded.execute((experiment / "provenance-data" / "provenance_database.sql").read_text())
    query = f"{ABOVE_90.format('tutorial.', 'tutorial.')} WHERE accuracy > 0.90"
    assert sorted(loaded.execute(query).fetchall()) == [(3, 8), (3, 16), (4, 32), (5, 32)]


def test_tutorial_leaves_what_its_readme_says(typed):
    """One run of the Worker, complete; the specification's types; the Master's results; no hosts."""
    _, experiment = typed
    store = connect(experiment / "provenance-data" / "provenance.duckdb")
    assert list(store.runs()["status"]) == ["finished"]
    assert list(store.runs()["dataflow"]) == ["tutorial"]
    stored = store.sql("SELECT accuracy FROM training_output ORDER BY accuracy")["accuracy"]
    with (experiment / "fetched" / "cloud.master.1.1" / "results.csv").open() as file:
        told = sorted(float(row["accuracy"]) for row in csv.DictReader(file))
    assert list(stored) == told
    assert len(told) == 7
    validate = yaml.safe_load((experiment / "layers_services-validate.yaml").read_text())
    assert "provenance" in validate
    assert not (experiment / "hosts").exists()


def test_network_of_the_tutorial_is_measured(typed):
    """28 ms each way, a loss of 0.1 % and never more than 1 Gbit/s, both ways; the table is kept."""
    output, experiment = typed
    place = experiment / "network-validate"
    with (place / "network.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["source"], row["property"]): row for row in rows}
    assert len(found) == len(rows) == 8
    for host in ("cloud.master.1.1", "edge.worker.1.1"):
        round_trip, rate, loss = (found[host, name] for name in ("round_trip", "udp_rate", "loss"))
        assert (round_trip["outcome"], float(round_trip["expected"])) == ("met", 56.0)
        assert float(rate["measured"]) <= float(rate["expected"]) == 1e9
        assert (loss["outcome"], loss["packets"]) == ("met", "10000")
    assert (place / "network.txt").read_text() in output
    assert {path.name for path in place.glob("*.png")} == {f"{row['property']}.png" for row in rows}


def test_file_providers_yaml_stands_for_the_option(tmp_path):
    """The line that the README names puts both testbeds on this machine; without it, deploying is refused."""
    copy = shutil.copytree(TUTORIAL, tmp_path / "tutorial", ignore=shutil.ignore_patterns("2*-*"))
    with pytest.raises(ScenarioError, match="service cannot be had on 'g5k'"):
        load_scenario(copy).require_deployable()
    assert "`local: [g5k, iotlab]`" in (TUTORIAL / "README.md").read_text()
    (copy / "providers.yaml").write_text("local: [g5k, iotlab]\n")
    load_scenario(copy).require_deployable()
