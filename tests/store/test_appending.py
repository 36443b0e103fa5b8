"""Ingest only appends: what is stored of an event is never changed, nor removed."""

import re
from typing import get_args

from optiprov import records
from optiprov.records import Record
from optiprov.wire import BEGIN, END, decode_batch
from tests.serve.fuzzing import good_messages
from tests.store.conftest import begin, end, item, run

_EVERY = [
    records.Specification("f", 1, {"train": {"used": {"in": None}}}, {"in": [["x", "NUMERIC"]]}),
    records.StudyBegin("s", 1, None, "accuracy", "max", {}, {}),
    records.TrialBegin("s", "s-1", 1, {"x": 1}),
    records.Environment(1, {"os": "Linux"}, {"duckdb": "1"}, {"LANG": "C"}),
    run(),
    begin("1", item("in", x=1), depends_on=["0"]),
    records.TaskData("r", "1", "train", "f", "used", "i", "in", [], {"x": 2}),
    records.Telemetry("r", "1", "train", "begin", 1, {"process_cpu_s": 1.0}),
    end("1", item(accuracy=0.5)),
    records.Annotation("run", "r", "", "k", 1, 1, None),
    records.Lost(3, "full"),
    records.RunEnd("r", 3, "finished", 5),
    records.TrialReport("s", "s-1", 1, 1, 0.5),
    records.TrialClose("s-1", 3, "stopped", "early"),
    records.TrialEnd("s", "s-1", 3, "finished", 0.5, {}, None),
    records.StudyEnd("s", 4, "finished", None),
]
"""A record of each kind."""

CATALOG = "UPDATE prov.dataset"
"""Of the catalog, which says what a dataset is now: its version, once there is another specification."""


def test_no_statement_changes_what_is_stored(store, monkeypatch):
    """Every kind of record, rows in JSON and packed, again, late, ahead, rejected, counted and closed."""
    assert {type(one) for one in _EVERY} == set(get_args(Record))
    executed = []
    execute = store.backend.execute

    def note(sql, parameters=()):
        executed.append(sql)
        execute(sql, parameters)

    monkeypatch.setattr(store.backend, "execute", note)
    store.commit(*_EVERY, b"garbage", trial="s-1")
    store.commit(*_EVERY, trial="s-1", first=1)
    store.commit(end("2", item(accuracy=0.25)), begin("2", item("in", x=3)), run("open"), client="other")
    store.commit(run("late"), client="other", first=9)
    store.writer.count_missing(["other"], "silent")
    store.commit(*[begin(str(n), item("in", x=n)) for n in range(3, 9)], client="other", first=4)
    shapes = set()
    for message in good_messages():
        batch = decode_batch(message)
        shapes |= {shape.kind for shape in batch.shapes.values()}
        store.writer.commit([batch])
    assert shapes == {BEGIN, END}
    assert store.rows("SELECT count(*) FROM prov.task_end WHERE run_id IN ('fr', 'fp')") == [(40,)]
    changing = {one for one in executed if re.search(r"\b(UPDATE|DELETE|MERGE|TRUNCATE)\b", one)}
    assert {one.partition(" SET ")[0] for one in changing} == {CATALOG}, changing
    assert any("INSERT INTO prov.run_end" in one for one in executed), "nothing was noted"
