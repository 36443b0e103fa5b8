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


<<<<<<< HEAD
def is_png(path: Path) -> bool:
    """Whether a file holds a picture with something on it."""
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5_000


of_one_study = pytest.mark.xdist_group("ended")  # the tests that look at the same study run in one process


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory):
    """A study of one trial for each way in which an application can end."""
    modes = "fine,crash,silent,nan,raises,killed,dies,fine"
    with study(tmp_path_factory.mktemp("ended"), TEST_MODES=modes) as run:
        assert run.wait() == 0, run.text()
        yield run


@pytest.fixture(scope="module")
def trials(ended: StudyRun) -> pd.DataFrame:
    """The trials of that study, as trials.csv has them, by mode."""
    return pd.read_csv(ended.results / "trials.csv", na_values=[""], keep_default_na=False).set_index(
        "config.mode"
    )


@of_one_study
def test_study_goes_on_when_trials_fail(trials: pd.DataFrame):
    """A crash, no metric, NaN and an error in the objective are failed trials; the others finish."""
    statuses = trials.groupby(level=0)["status"].agg(list).to_dict()
    assert statuses == {
        "fine": ["finished", "finished"],
        "crash": ["failed"],
        "silent": ["failed"],
        "nan": ["failed"],
        "raises": ["failed"],
        "killed": ["failed"],
        "dies": ["failed"],
    }


@of_one_study
@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("crash", ["workflow.yaml:7", "edge.application.1.1", "exit status 3", "the sensor is on fire"]),
        ("silent", ["has written no work_output.score", "logs"]),
        ("nan", ["work_output.score = nan", "not a finite number"]),
        ("killed", ["exit status -9", "SIGKILL"]),
        ("dies", ["the trial's own process died"]),
        ("raises", ["RuntimeError: the objective itself is wrong", "optimization.py:"]),
    ],
)
def test_failed_trial_says_why(trials: pd.DataFrame, mode: str, words: list[str]):
    """The reason of a failure is in trials.csv: where it happened, and what the application said."""
    reason = trials.loc[mode, "reason"]
    assert [word for word in words if word not in reason] == []


@of_one_study
def test_traceback_of_a_failed_trial_is_in_its_directory(ended: StudyRun):
    """What the one-line reason leaves out is kept beside the trial's logs."""
    assert "raise RuntimeError" in (ended.results / "trials" / "005" / "error.txt").read_text()


@of_one_study
def test_objective_is_the_value_in_the_store(ended: StudyRun, trials: pd.DataFrame):
    """The reported objective of each finished trial equals what its application emitted."""
    stored = connect(ended.store).sql(
        "SELECT r.trial_id, o.score FROM work_output o JOIN prov.run r USING (run_id) WHERE isfinite(o.score)"
    )
    finished = trials[trials["status"] == "finished"].set_index("trial_id")["value"]
    assert stored.set_index("trial_id")["score"].to_dict() == finished.to_dict()


@of_one_study
def test_study_and_trials_are_in_the_store(ended: StudyRun):
    """The store has the study with its settings, each trial's configuration, and the failed trials' runs."""
    provenance = connect(ended.store)
    [recorded] = provenance.studies().to_dict("records")
    assert (recorded["status"], recorded["metric"], recorded["mode"]) == ("finished", "score", "max")
    assert json.loads(recorded["settings"])["search"] == "ConcurrencyLimiter(SkOptSearch)"
    configs = [json.loads(config)["mode"] for config in provenance.trials("study")["config"]]
    assert sorted(configs) == sorted(["fine", "crash", "silent", "nan", "raises", "killed", "dies", "fine"])
    runs = provenance.runs().set_index("trial_id")["status"].to_dict()
    failed = {"study-002": "failed", "study-006": "failed", "study-007": "failed"}
    assert {trial: runs[trial] for trial in failed} == failed
    metrics = provenance.trials("study").set_index("trial_id")["metrics"]["study-001"]
    assert json.loads(metrics) == {"work_output.score": 50, "score": 50}


@of_one_study
def test_specification_of_the_scenario_is_in_the_store(ended: StudyRun):
    """`provenance: {dataflow_spec: ...}` is stored once, before the first trial."""
    specified = connect(ended.store).sql("SELECT dataflow, version FROM prov.dataflow")
    assert list(specified.itertuples(index=False, name=None)) == [("specified", 1)]


@of_one_study
def test_results_have_plots_and_a_folder_for_each_trial(ended: StudyRun):
    """The convergence plot and a scatter for each parameter are pictures; each trial can be run again."""
    assert is_png(ended.results / "convergence.png")
    assert is_png(ended.results / "scatter_level.png")
    for name in ("layers_services.yaml", "workflow.yaml", "optimization.py", "artifacts/application.py"):
        assert (ended.results / "scenario" / name).is_file()
    for number in range(1, 9):
        folder = ended.results / "trials" / f"{number:03d}"
        assert json.loads((folder / "config.json").read_text()).keys() == {"mode", "level"}
        assert (folder / "workflow-validate.out").is_file()
        assert json.loads((folder / "environment.json").read_text())["versions"]["ray"]
        assert json.loads((folder / "outcome.json").read_text())["status"] in ("finished", "failed")


@of_one_study
def test_summary_shows_the_best_and_what_to_do_next(ended: StudyRun):
    """The terminal says what was found, where it lies, and which commands to try."""
    text = ended.text()
    assert "Best: score = 50" in text
    assert "results/study/trials.csv" in text
    assert text.count("optiprov ") >= 3
    assert "Traceback" not in text


@of_one_study
def test_nothing_is_written_outside_the_results(ended: StudyRun):
    """Home and temporary directory are empty after a study, and the working directory has results only."""
    assert list(ended.home.rglob("*")) == []
    assert list(ended.temporary.iterdir()) == []
    assert [path.name for path in ended.work.iterdir()] == ["results"]


@of_one_study
def test_no_process_is_left_after_a_study(ended: StudyRun):
    """Ray, the service, the broker and the applications are gone."""
    ended.wait_gone()


@of_one_study
def test_hosts_and_spools_are_gone_when_all_is_stored(ended: StudyRun):
    """Of a trial's hosts only logs and fetched files stay."""
    assert [path for path in ended.results.rglob("*") if path.name in ("hosts", "spool")] == []


=======
>>>>>>> flakes
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
