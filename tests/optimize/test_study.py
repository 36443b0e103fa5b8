"""Whole studies: real Ray, a real broker, a real store, applications that end well and badly."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest

from optiprov import connect
from tests.optimize.studies import MODES, study

DIGITS = Path(__file__).parents[2] / "experiments" / "digits"

pytestmark = pytest.mark.slow


def test_scheduler_stops_the_application_of_a_trial_that_falls_behind(tmp_path: Path):
    """A trial that is stopped early has its endless application ended, and its run recorded as stopped."""
    with study(tmp_path, TEST_MODES="fine,endless,endless,endless", TEST_SCHEDULER="1") as run:
        assert run.wait() == 0, run.text()
        provenance = connect(run.store)
        statuses = provenance.trials("study").set_index("trial_id")["status"].to_dict()
        assert statuses["study-001"] == "finished"
        metrics = provenance.trials("study").set_index("trial_id")["metrics"]
        assert json.loads(metrics["study-001"])["work_output.score"] == 50
        assert set(statuses.values()) == {"finished", "stopped"}
        stopped = provenance.sql("SELECT DISTINCT status FROM prov.run WHERE trial_id <> 'study-001'")
        assert stopped["status"].tolist() == ["stopped"]
        reports = provenance.sql(
            "SELECT trial_id, max(step) AS steps FROM prov.trial_report GROUP BY trial_id"
        )
        assert reports.set_index("trial_id")["steps"].to_dict()["study-001"] == 5
        run.wait_gone()


def test_hyperband_goes_on_with_the_best_of_what_it_has_paused(tmp_path: Path):
    """A paused trial's application is ended, and launched again with what it had left in its directory.

    The study has no run(): attributes say how it searches, and the command line has the last word.
    """
    options = ("--scheduler", "hyperband", "--num-samples", "5", "--seed", "3")
    with study(tmp_path, MODES.with_name("resuming.py"), *options) as run:
        assert run.wait() == 0, run.text()
        provenance = connect(run.store)
        assert json.loads(provenance.studies()["settings"][0]) == {
            "search": "grid",
            "scheduler": "hyperband",
            "num_samples": 5,
            "max_concurrent": 1,
            "seed": 3,
        }
        trials = provenance.trials("study")
        assert dict(zip(trials["trial_id"], trials["status"], strict=True)) == {
            "study-001": "finished",
            "study-002": "stopped",
            "study-003": "stopped",
            "study-004": "finished",
            "study-005": "finished",
        }
        reports = provenance.sql("SELECT step, value FROM prov.trial_report WHERE trial_id = 'study-001'")
        assert sorted(zip(reports["step"], reports["value"], strict=True)) == [
            (step + 1, step) for step in range(5)
        ]
        runs = provenance.sql(
            "SELECT r.run_id, r.status, min(s.step) AS first, max(s.step) AS last"
            " FROM prov.run r JOIN step_output s ON s.run_id = r.run_id"
            " WHERE r.trial_id = 'study-001' GROUP BY 1, 2 ORDER BY 3"
        )
        assert runs["status"].tolist() == ["stopped", "finished"]
        assert list(zip(runs["first"], runs["last"], strict=True)) == [(0, 0), (1, 4)]
        launches = sorted(path.name for path in (run.results / "trials").iterdir())
        assert launches == ["001", "001.2", "002", "003", "004", "005"]
        outcome = json.loads((run.results / "trials" / "001" / "outcome.json").read_text())
        assert outcome["status"] == "finished"
        run.wait_gone()


def test_hyperband_pauses_trainings_of_the_digits_and_resumes_the_best(tmp_path: Path):
    """Of three, two are stopped after their first epoch; the third does each of its 12 epochs once."""
    options = ("--search", "random", "--scheduler", "hyperband", "--max-concurrent", "1")
    with study(tmp_path, DIGITS / "optimization.py", *options, "--num-samples", "3", "--seed", "1") as run:
        assert run.wait() == 0, run.text()
        provenance = connect(run.store)
        trials = provenance.trials("study").set_index("status")["trial_id"]
        assert sorted(trials.index) == ["finished", "stopped", "stopped"]
        best = trials["finished"]
        epochs = provenance.sql(
            "SELECT r.run_id, e.epoch FROM prov.run r JOIN epoch_output e ON e.run_id = r.run_id"
            f" WHERE r.trial_id = '{best}' ORDER BY e.epoch"
        )
        assert epochs["epoch"].drop_duplicates().tolist() == list(range(1, 13))
        assert epochs["run_id"].nunique() == 2
        assert (run.results / "trials" / f"{best[-3:]}.2").is_dir()


def test_service_killed_in_mid_study_loses_no_record(tmp_path: Path):
    """The service is killed twice while trials emit; every record of every trial is stored exactly once."""
    with study(tmp_path, TEST_MODES=",".join(["fine"] * 6)) as run:
        beside = run.store.with_name(run.store.name + ".service.json")
        for trial in ("001", "003"):
            run.wait_until((run.results / "trials" / trial).exists)
            victim = json.loads(beside.read_text())["pid"]
            run.wait_until(lambda: len(run.applications()) >= 1)
            [service] = [process for process in run.processes() if process.pid == victim]
            service.send_signal(signal.SIGKILL)
            run.wait_until(lambda: json.loads(beside.read_text())["pid"] != victim)  # noqa: B023 - called here
        assert run.wait() == 0, run.text()
        provenance = connect(run.store)
        assert provenance.trials("study")["status"].tolist() == ["finished"] * 6
        steps = provenance.sql(
            "SELECT run_id, count(*) AS n, count(DISTINCT step) AS steps FROM step_output GROUP BY 1"
        )
        assert sorted(zip(steps["n"], steps["steps"], strict=True)) == [(5, 5)] * 6
        assert provenance.sql("SELECT count(*) AS n FROM prov.lost")["n"].tolist() == [0]


def test_two_copies_of_an_experiment_run_at_once(tmp_path: Path):
    """An experiment's directory copied anywhere runs from there, two at once; lineage crosses runs."""
    copies = [tmp_path / name / "experiment" for name in ("one", "two")]
    for copy in copies:
        shutil.copytree(DIGITS, copy)
    with (
        study(copies[0].parent / "run", copies[0] / "optimization.py", "--num-samples", "2") as first,
        study(copies[1].parent / "run", copies[1] / "optimization.py", "--num-samples", "2") as second,
    ):
        for run in (first, second):
            assert run.wait() == 0, run.text()
            provenance = connect(run.store)
            assert len(provenance.trials("study")) == 2
            crossing = provenance.sql(
                "SELECT DISTINCT maker.run_id AS maker, user.run_id AS user FROM prov.used u"
                " JOIN prov.generated g ON g.item = u.item"
                " JOIN prov.task maker ON maker.task = g.task JOIN prov.task user ON user.task = u.task"
                " WHERE maker.transformation = 'extraction' AND user.transformation = 'training'"
            )
            assert len(crossing) == 2
            assert (crossing["maker"] != crossing["user"]).all()


def test_study_in_which_every_trial_fails_exits_with_1(tmp_path: Path):
    """The last word is why, without a traceback."""
    with study(tmp_path, TEST_MODES="crash") as run:
        assert run.wait() == 1
        assert "Error: No trial of study succeeded" in run.text()
        assert "exit status 3" in run.text()
        assert "Traceback" not in run.text()


def test_failed_search_is_recorded_and_keeps_its_results(tmp_path: Path):
    """A searcher that raises ends the study with 1; the store says failed and why, the trials are written."""
    with study(tmp_path, TEST_MODES="fine,fine,fine", TEST_SEARCH_RAISES="1") as run:
        assert run.wait() == 1
        assert "The search failed: " in run.text()
        assert "the searcher gave up" in run.text()
        provenance = connect(run.store)
        assert provenance.studies()["status"].tolist() == ["failed"]
        assert "the searcher gave up" in provenance.studies()["reason"][0]
        assert len(pd.read_csv(run.results / "trials.csv")) >= 1


def test_application_that_exceeds_the_walltime_is_a_failed_trial(tmp_path: Path):
    """The scenario's walltime bounds the launch, followed or waited for."""
    experiment = tmp_path / "experiment"
    shutil.copytree(MODES.parent, experiment)
    layers = experiment / "layers_services.yaml"
    layers.write_text(layers.read_text().replace("00:05:00", "00:00:02"))
    target = experiment / "optimization.py"
    with study(tmp_path / "run", target, TEST_MODES="endless", TEST_SCHEDULER="1") as run:
        assert run.wait() == 1
        assert "2 s" in run.text()
        assert connect(run.store).trials("study")["status"].tolist() == ["failed"]


def test_study_of_a_running_service_uses_it_and_its_name_is_its_own(tmp_path: Path, start_service):
    """With --store URL the study starts no service; a second study of the name is refused."""
    service = start_service()
    with study(tmp_path / "first", MODES, "--store", service.http, TEST_MODES="fine") as run:
        assert run.wait() == 0, run.text()
        assert not (run.results / "provenance.duckdb").exists()
    assert connect(service.http).studies()["study"].tolist() == ["study"]
    with study(tmp_path / "second", MODES, "--store", service.http, TEST_MODES="fine") as run:
        assert run.wait() == 2
        assert "has a study 'study' already" in run.text()
        assert not run.results.exists()
