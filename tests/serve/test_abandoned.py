"""Services whose study has lost its driver say so in the store."""

import os
import signal
import sys
from pathlib import Path

import pytest

from optiprov import connect
from optiprov.capture import Client, Settings
from optiprov.records import Status, StudyBegin, StudyEnd, TrialBegin, TrialEnd
from optiprov.store.closing import SERVED_STUDY
from optiprov.wire import BrokerAddress
from tests.conftest import RunningService
from tests.waiting import PATIENCE_S, wait_until

DRIVER = (sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])")


@pytest.fixture
def driven(tmp_path, monkeypatch):
    """A service that a driver has started for the study `s`."""
    monkeypatch.setenv(SERVED_STUDY, "s")
    service = RunningService(tmp_path / "p.duckdb", wrapper=DRIVER)
    yield service
    service.kill()
    end(service, signal.SIGKILL)


def end(service, number):
    """Signal the service itself, not its driver, and wait for its end."""
    pid = service.addresses["pid"]
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def emit(service, *records):
    """Have records stored."""
    client = Client(Settings(service.store.parent / "spool", BrokerAddress.parse(service.mqtt)))
    for record in records:
        client.emit(record)
    assert client.flush(PATIENCE_S)
    client.close()


def test_study_stops_when_its_driver_was_killed(driven):
    """With the trials that were open; what had ended stays, and other studies are others'."""
    emit(
        driven,
        *(StudyBegin(name, 1, None, "m", "max", {}, {}) for name in ("s", "other")),
        *(TrialBegin("s", f"s-{n}", 2, {"x": n}) for n in (1, 2)),
        TrialEnd("s", "s-1", 3, Status.FINISHED, 0.5, {"m": 0.5}, None),
    )
    driven.kill()
    end(driven, signal.SIGTERM)
    provenance = connect(driven.store)
    studies = provenance.studies().set_index("study")
    assert studies["status"].to_dict() == {"s": "stopped", "other": "running"}
    assert studies["reason"]["s"] == "its driver died without a word"
    trials = provenance.trials("s").set_index("trial_id")
    assert trials["status"].to_dict() == {"s-1": "finished", "s-2": "stopped"}


def test_study_that_has_ended_or_has_its_driver_is_left_alone(driven, tmp_path):
    """A driver may stop its service, or see it end, and says itself how the study went."""
    emit(driven, StudyBegin("s", 1, None, "m", "max", {}, {}))
    end(driven, signal.SIGTERM)
    assert connect(driven.store).studies()["status"].tolist() == ["running"]
    again = RunningService(tmp_path / "p.duckdb", wrapper=DRIVER)
    try:
        emit(again, StudyEnd("s", 2, Status.FINISHED, None))
    finally:
        again.kill()
        end(again, signal.SIGTERM)
    assert connect(again.store).studies()["status"].tolist() == ["finished"]
