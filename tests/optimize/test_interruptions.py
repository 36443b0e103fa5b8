"""Studies that are interrupted: by Ctrl-C, kill and kill -9, at any moment."""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path

import pytest

from optiprov import connect
from tests.optimize.studies import StudyRun, study
from tests.waiting import least_of

pytestmark = pytest.mark.slow


def interrupt(run: StudyRun, number: int) -> float:
    """Signal the driver of a study of two endless trials; return after how many seconds no process lives."""
    run.wait_until(lambda: len(list(run.results.glob("trials/*/logs/*/launch-*"))) == 4)
    begun = time.monotonic()
    run.signal(number)
    run.wait_gone()
    taken_s = time.monotonic() - begun
    assert run.wait() == (-9 if number == signal.SIGKILL else 130), run.text()
    assert len(connect(run.store).trials("study")) == 2
    return taken_s


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_process_is_left_when_the_driver_is_interrupted(tmp_path: Path, number: int):
    """Ten seconds after Ctrl-C or kill no process of the study lives, and the store has what had happened."""

    def interrupt_one() -> float:
        directory = Path(tempfile.mkdtemp(dir=tmp_path))
        with study(directory, TEST_MODES="endless,endless", TEST_SCHEDULER="1") as run:
            taken_s = interrupt(run, number)
            provenance = connect(run.store)
            assert set(provenance.trials("study")["status"]) == {"stopped"}
            assert provenance.studies()["status"].tolist() == ["stopped"]
            assert (run.results / "trials.csv").is_file()
            return taken_s

    assert least_of(interrupt_one, 10, attempts=3) < 10


def test_next_study_cleans_up_after_a_killed_one(tmp_path: Path):
    """Ten seconds after kill -9 no process lives; the temporary directory goes when the next study starts."""
    with study(tmp_path / "first", TEST_MODES="endless,endless", TEST_SCHEDULER="1") as killed:
        assert interrupt(killed, signal.SIGKILL) < 10
        assert [path.name for path in killed.temporary.iterdir() if path.name.startswith("optiprov-")] != []
        with study(tmp_path / "second", TEST_MODES="fine", TMPDIR=str(killed.temporary)) as following:
            assert following.wait() == 0, following.text()
        assert [path.name for path in killed.temporary.iterdir()] == []


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        pytest.param("work/results/study", signal.SIGTERM, id="service"),
        pytest.param("work/results/study/provenance.duckdb.service.json", signal.SIGINT, id="search"),
        pytest.param("temporary/optiprov-[0-9]*", signal.SIGTERM, id="ray"),
        pytest.param(
            "temporary/optiprov-*/session_*/logs/python-core-driver-*", signal.SIGINT, id="core-worker"
        ),
    ],
)
def test_no_process_is_left_when_interrupted_while_starting(tmp_path: Path, pattern: str, number: int):
    """Ctrl-C as the service or Ray start leaves no process, no crash, and no directory of an empty study."""
    with study(tmp_path, TEST_MODES="endless", TEST_SCHEDULER="1") as run:
        (tmp_path / "temporary").symlink_to(run.temporary)
        run.wait_until(lambda: any(tmp_path.glob(pattern)))
        run.signal(number)
        assert run.wait() == 130, run.text()
        run.wait_gone()
        if run.results.exists():
            assert connect(run.store).studies()["status"].tolist() == ["stopped"]
