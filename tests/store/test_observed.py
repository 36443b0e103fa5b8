"""Telemetry and environments in the store."""

import pytest

from optiprov.records import Environment, Telemetry
from tests.store.conftest import begin, end, run

PROPERTIES = {
    "host": "h",
    "os": "Linux 6.1",
    "cpu_count": 4,
    "memory_bytes": 2**35,
    "command_line": ["python", "it's é.py"],
    "revision": "a" * 40,
    "is_modified": False,
}


def sample(task_id, moment, **values):
    """Return a sample of a task of `begin` and `end`."""
    return Telemetry("r", task_id, "train", moment, 2_000_000, {f"m.{k}": v for k, v in values.items()})


def environment(**properties):
    """Return an environment with two packages and a variable."""
    packages = {"numpy": "2.1", "é": "1"}
    return Environment(1_000_000, {**PROPERTIES, **properties}, packages, {"OMP_NUM_THREADS": "2"})


def test_usage_of_a_task_is_the_difference_of_its_samples(store):
    """A row for each metric; the samples join the task."""
    store.commit(sample("a", "begin", x=1, y=2.5), begin("a"), end("a"), sample("a", "end", x=4, y=2.0))
    store.commit(sample("b", "begin", x=7), begin("b"))
    usage = store.rows(
        "SELECT t.task_id, u.metric, u.begin_value, u.end_value, u.change, u.host FROM prov.task_usage u"
        " JOIN prov.task t ON t.task = u.task ORDER BY u.metric"
    )
    assert usage == [("a", "m.x", 1.0, 4.0, 3.0, "host"), ("a", "m.y", 2.5, 2.0, -0.5, "host")]
    assert store.rows("SELECT count(*) FROM prov.telemetry") == [(5,)]


def test_samples_of_two_processes_have_no_difference(store):
    """A task that begins in one process and ends in another: their counters are not of one."""
    store.commit(sample("a", "begin", x=1), client="one")
    store.commit(sample("a", "end", x=4), client="other")
    assert store.rows("SELECT * FROM prov.task_usage") == []


def test_environment_is_that_of_all_runs_of_its_client(store):
    """Recorded once; each run refers to it by its client, whatever came first."""
    store.commit(run("r1"), environment(), run("r2"), client="one")
    store.commit(run("r2"), environment(host="other"), client="two")
    store.commit(run("r3"), client="three")
    rows = store.rows("SELECT run_id, client_id, host, is_modified FROM prov.run_environment ORDER BY 1, 2")
    assert rows == [("r1", "one", "h", False), ("r2", "one", "h", False), ("r2", "two", "other", False)]
    (row,) = store.ask.environment("r1").to_dict("records")
    assert (row["cpu_count"], row["memory_bytes"], row["revision"]) == (4, 2**35, "a" * 40)
    assert row["command_line"] == '["python", "it\'s \\u00e9.py"]'
    packages = store.rows(
        "SELECT package, version FROM prov.environment_package WHERE client_id = 'one' ORDER BY package"
    )
    assert packages == [("numpy", "2.1"), ("é", "1")]
    assert store.rows("SELECT variable, value FROM prov.environment_variable WHERE client_id = 'two'") == [
        ("OMP_NUM_THREADS", "2")
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (sample("a", "later", x=1), "one of begin, end, sample, got 'later'"),
        (sample("a", "end", x="many"), "the metric m.x is a number, got 'many'"),
        (sample("a", "end", x=True), "the metric m.x is a number, got True"),
        (environment(cpu_count="four"), "the environment's cpu_count is of type integer, got 'four'"),
        (
            environment(memory_bytes=2**63),
            "the environment's memory_bytes has 64 bits, got 9223372036854775808",
        ),
        (sample("a", "end", x=10**400), "int too large to convert to float"),
        (environment(is_modified="no"), "the environment's is_modified is of type boolean, got 'no'"),
    ],
)
def test_what_is_mistyped_is_rejected_with_the_reason(store, record, reason):
    """The record is refused, what follows is stored."""
    outcome = store.commit(record, run())
    assert (outcome.records, outcome.rejected) == (1, 1)
    ((told,),) = store.rows("SELECT reason FROM prov.rejected")
    assert reason in told


def test_unknown_properties_are_left_out(store):
    """Those of a later client; what is absent is NULL."""
    store.commit(Environment(1, {"host": "h", "gpu": "H200"}, {}, {}), run())
    assert store.rows("SELECT host, os FROM prov.environment") == [("h", None)]
