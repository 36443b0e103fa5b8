"""That the demo on MonetDB fails where the study and the database differ."""

import pytest

from tests.monetdb.demo import TRIALS, differences

TRIAL_ROWS = [
    {"trial_id": f"t{n}", "status": "stopped" if n % 2 else "finished", "value": f"0.{n}5", "reason": ""}
    for n in range(TRIALS)
]
STORED = [
    {"trial_id": f"t{n}", "source": source, "accuracy": float(f"0.{n}5") + more}
    for n in range(TRIALS)
    for source, more in (("epoch_output", 0), ("epoch_output", -1), ("training_output", n % 2))
]


def test_study_that_the_database_agrees_with_passes():
    """Finished trials have the result of their training, stopped ones that of an epoch."""
    assert differences(TRIAL_ROWS, STORED) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": "0.9"}, "t0, finished: trials.csv has 0.9, MonetDB [0.05]"),
        ({"value": ""}, "t0, finished: trials.csv has nothing"),
        ({"value": "-0.95"}, "t0, finished: trials.csv has -0.95"),
        ({"status": "failed", "reason": "no host"}, "t0 is failed: no host"),
        ({"status": "running"}, "t0 is running"),
        ({"trial_id": "other"}, "other, finished: trials.csv has 0.05, MonetDB []"),
    ],
)
def test_trial_that_the_database_knows_otherwise_is_told(change, message):
    """With both values; a trial that failed, too."""
    (wrong,) = differences([{**TRIAL_ROWS[0], **change}, *TRIAL_ROWS[1:]], STORED)
    assert wrong.startswith(message)


def test_missing_trial_and_missing_result_are_told():
    """All trials are there, with one result of a training each."""
    assert differences(TRIAL_ROWS[1:], STORED) == [f"trials.csv has {TRIALS - 1} trials of {TRIALS}"]
    twice = [one for one in STORED if one["source"] == "training_output"][:1]
    assert differences(TRIAL_ROWS, STORED + twice) == ["t0: MonetDB has 2 results of its training"]
