"""What a study leaves: one of a trial for each way in which an application can end, and many looks at it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from optiprov import connect
from tests.optimize.studies import StudyRun, study

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def is_png(path: Path) -> bool:
    """Whether a file holds a picture with something on it."""
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5_000


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


def test_traceback_of_a_failed_trial_is_in_its_directory(ended: StudyRun):
    """What the one-line reason leaves out is kept beside the trial's logs."""
    assert "raise RuntimeError" in (ended.results / "trials" / "005" / "error.txt").read_text()


def test_objective_is_the_value_in_the_store(ended: StudyRun, trials: pd.DataFrame):
    """The reported objective of each finished trial equals what its application emitted."""
    stored = connect(ended.store).sql(
        "SELECT r.trial_id, o.score FROM work_output o JOIN prov.run r USING (run_id) WHERE isfinite(o.score)"
    )
    finished = trials[trials["status"] == "finished"].set_index("trial_id")["value"]
    assert stored.set_index("trial_id")["score"].to_dict() == finished.to_dict()


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


def test_specification_of_the_scenario_is_in_the_store(ended: StudyRun):
    """`provenance: {dataflow_spec: ...}` is stored once, before the first trial."""
    specified = connect(ended.store).sql("SELECT dataflow, version FROM prov.dataflow")
    assert list(specified.itertuples(index=False, name=None)) == [("specified", 1)]


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


def test_summary_shows_the_best_and_what_to_do_next(ended: StudyRun):
    """The terminal says what was found, where it lies, and which commands to try."""
    text = ended.text()
    assert "Best: score = 50" in text
    assert "results/study/trials.csv" in text
    assert text.count("optiprov ") >= 3
    assert "Traceback" not in text


def test_nothing_is_written_outside_the_results(ended: StudyRun):
    """Home and temporary directory are empty after a study, and the working directory has results only."""
    assert list(ended.home.rglob("*")) == []
    assert list(ended.temporary.iterdir()) == []
    assert [path.name for path in ended.work.iterdir()] == ["results"]


def test_no_process_is_left_after_a_study(ended: StudyRun):
    """Ray, the service, the broker and the applications are gone."""
    ended.wait_gone()


def test_hosts_and_spools_are_gone_when_all_is_stored(ended: StudyRun):
    """Of a trial's hosts only logs and fetched files stay."""
    assert [path for path in ended.results.rglob("*") if path.name in ("hosts", "spool")] == []
