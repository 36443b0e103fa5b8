"""Studies whose drivers have died are closed, on each engine."""

import datetime

from optiprov.records import Status, StudyBegin, StudyEnd, TrialBegin, TrialEnd
from optiprov.store.closing import close_study

NOON = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc).replace(tzinfo=None)


def test_open_study_stops_with_its_open_trials(store):
    """What has ended stays as it is, other studies too, and closing again changes nothing."""
    store.commit(
        *(StudyBegin(name, 1, None, "m", "max", {}, {}) for name in ("s", "ended", "other")),
        *(TrialBegin(name, f"{name}-{n}", 2, {"x": n}) for name in ("s", "other") for n in (1, 2)),
        TrialEnd("s", "s-1", 3, Status.FINISHED, 0.5, {"m": 0.5}, None),
        StudyEnd("ended", 4, Status.FINISHED, None),
    )
    for _ in range(2):
        for study in ("s", "ended", "nowhere"):
            close_study(store.backend, study, "its driver died", NOON)
    studies = store.ask.studies().set_index("study")
    assert studies["status"].to_dict() == {"s": "stopped", "ended": "finished", "other": "running"}
    assert (studies["reason"]["s"], studies["ended_at"]["s"]) == ("its driver died", NOON)
    ended = store.ask.trials("s").set_index("trial_id")
    assert ended["status"].to_dict() == {"s-1": "finished", "s-2": "stopped"}
    assert set(store.ask.trials("other")["status"]) == {"running"}
