"""The client of a process: what ProvLight's scripts do, and every way a process can end."""

import datetime
import json
import os
import pickle
import signal
import threading
import time
from pathlib import Path

import pytest

import optiprov
from optiprov.capture import Client, Data, File, Settings, Task, Workflow, send_leftovers, spool_heads
from optiprov.capture.spool import NO_ROOM
from optiprov.capture.spool_reader import SpoolReader
from optiprov.records import Annotation, Lost, RunBegin, RunEnd, TaskBegin, TaskEnd, qualify_dependency
from optiprov.wire import (
    BrokerAddress,
    Header,
    decode_batch,
    decode_record,
    encode_batch,
    expand,
    unpack,
)
from tests.waiting import PATIENCE_S, least_of

COMPAT = Path(optiprov.__file__).parent / "compat"
NOBODY = BrokerAddress("127.0.0.1", 9)
HEADER = Header("c", 1, 1, "host", 1, "user", None, None, None)


def spooled(root):
    """Return the decoded records of every client below a spool directory, by client."""
    found = {}
    for directory in sorted(root.glob("*/client.json")):
        reader = SpoolReader(directory.parent)
        records = []
        while (chunk := reader.read(1000, 1 << 20)).records:
            batch = decode_batch(encode_batch(HEADER, chunk.records, reader.shapes, chunk.slots))
            records += [decoded(directory.parent.name, batch, index) for index in range(len(batch.records))]
        reader.close()
        found[directory.parent.name] = records
    return found


def decoded(client, batch, index):
    """Return a record of a batch, be it a row of a shape, packed or not."""
    payload = batch.records[index]
    if payload is None:
        slot = batch.slot(index)
        shape = batch.shapes[int.from_bytes(slot[-8:], "little")]
        return expand(shape, unpack(shape, slot), client)
    row = json.loads(payload)
    return decode_record(payload) if isinstance(row[0], str) else expand(batch.shapes[row[0]], row, client)


def only(found):
    """Return the records of the only client."""
    (records,) = found.values()
    return records


def test_tutorial_is_recorded_with_provlights_positional_signatures(run_python, tmp_path):
    """The forms of ProvLight's examples: a single dependency, lists, one Data or several."""
    code = """
from provlight.workflow import Workflow
from provlight.task import Task
from provlight.data import Data
wf = Workflow(1)
wf.begin()
first = Task(int(str(7) + str(1)), wf, 0, dependencies=[])
data_in = Data("in1", 1, [], {"lr": [0.1]})
first.begin([data_in])
data_out = Data("out1", 1, data_in.id, {"acc": [0.9], "label": ["\u00e9"]})
first.end([data_out])
second = Task(72, wf, 1, [first])
second.begin(data_out)
second.end()
wf.end()
"""
    run_python(code, path=[COMPAT])
    run, begin, end, second, _, last = only(spooled(tmp_path / "spool"))
    assert isinstance(run, RunBegin)
    assert run.dataflow == "1"
    assert (begin.task_id, begin.transformation, begin.dependencies) == ("71", "0", [])
    assert begin.used[0].attributes == {"lr": [0.1]}
    assert end.generated[0].derived_from == [begin.used[0].item_id]
    assert second.dependencies == [qualify_dependency("0", "71")]
    assert second.used[0].item_id == end.generated[0].item_id
    assert isinstance(last, RunEnd)
    assert last.record_count == 6


def test_item_given_to_two_tasks_is_sent_once(offline):
    """The second time it is a reference: same id, no values."""
    wf = Workflow("f")
    data = Data("d", "f", [], {"x": [1]})
    for number in (1, 2):
        Task(number, wf, "t").begin(data)
    first, second = only(spooled(offline))
    assert first.used[0].attributes == {"x": [1]}
    assert second.used[0].attributes is None
    assert first.used[0].item_id == second.used[0].item_id


@pytest.mark.parametrize("form", [list, tuple, iter, lambda items: items[0], lambda items: items[0].id])
def test_derivations_are_kept_in_each_form(offline, form):
    """Data objects or ids, one or several."""
    source = Data("d", "f", [], {"x": [1]})
    derived = Data("e", "f", form([source]), {"y": [2]})
    Task(1, Workflow("f"), "t").end(derived)
    assert only(spooled(offline))[0].generated[0].derived_from == [source.id]


def test_none_is_nothing_where_a_list_is_usual(offline):
    """No dependency or derivation is invented of it."""
    task = Task(1, Workflow("f"), "t", None)
    task.begin(Data("d", "f", None, None))
    record = only(spooled(offline))[0]
    assert (record.dependencies, record.used[0].derived_from, record.used[0].attributes) == ([], [], {})


def test_item_of_another_process_is_a_reference_by_id(offline):
    """An id and no values refer; nothing is repeated."""
    Task(1, Workflow("f"), "t").begin([Data("d", "f", [], {}, id="other:1"), File("/x", id="other:2")])
    used = only(spooled(offline))[0].used
    assert [(item.item_id, item.attributes, item.file) for item in used] == [
        ("other:1", None, None),
        ("other:2", None, None),
    ]


def test_file_is_recorded_with_its_state(offline, tmp_path):
    """Path, role, size and time; an absent file costs these, not the record."""
    (tmp_path / "f").write_text("four")
    Task(1, Workflow("f"), "t").end([File(tmp_path / "f", "model"), File(tmp_path / "absent")])
    there, absent = only(spooled(offline))[0].generated
    assert (there.dataset, there.file["size_bytes"], there.file["role"]) == ("model", 4, "model")
    assert absent.file["size_bytes"] is None


def test_failing_with_block_is_a_failed_task_and_run(offline):
    """The error is recorded with its traceback, and raised on."""
    with pytest.raises(ZeroDivisionError), Workflow("f") as wf, Task(1, wf, "t"):
        _ = 1 / 0
    _, _, end, run_end = only(spooled(offline))
    assert (end.status, run_end.status) == ("failed", "failed")
    assert "ZeroDivisionError" in end.error
    assert "test_client.py" in end.error


def test_given_times_are_kept_and_wrong_ones_replaced(offline):
    """Datetimes and seconds are taken; what is no time never raises."""
    aware = datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc)
    for started_at in (aware, aware.timestamp(), "yesterday", float("nan"), float("inf")):
        Task(1, Workflow("f"), "t", started_at=started_at).begin()
    times = [record.started_us for record in only(spooled(offline))]
    assert times[0] == times[1] == 1704153600 * 10**6
    assert all(abs(time_us - time.time() * 1e6) < 60e6 for time_us in times[2:])


def test_process_joins_the_run_of_its_environment(run_python, tmp_path):
    """OPTIPROV_RUN_ID; trial, study and campaign are on the client."""
    code = "from optiprov import Workflow; wf = Workflow('f'); wf.begin()"
    run_python(code, OPTIPROV_RUN_ID="joined", OPTIPROV_TRIAL_ID="t1", OPTIPROV_CAMPAIGN="c")
    assert only(spooled(tmp_path / "spool"))[0].run_id == "joined"
    identity = json.loads(next((tmp_path / "spool").glob("*/client.json")).read_text())
    assert (identity["trial"], identity["campaign"]) == ("t1", "c")


def test_threads_get_ids_of_their_own(offline):
    """Ids of items are unique, and the count of the run is right, however many threads emit."""
    wf = Workflow("f")

    def work(name):
        for number in range(200):
            Task(f"{name}-{number}", wf, "t").end(Data("d", "f", [], {"x": [number]}))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wf.end()
    *ends, run_end = only(spooled(offline))
    assert len({end.generated[0].item_id for end in ends}) == 1000
    assert run_end.record_count == 1001


def test_fork_gives_the_child_an_identity_of_its_own(run_python, tmp_path):
    """Parent and child go on in spools of their own, each with all of its records."""
    code = """
import os
from optiprov import Workflow, Task, Data
wf = Workflow("f"); wf.begin()
data = Data("d", "f", [], {"x": [1]})
Task("before", wf, "t").begin(data)
child = os.fork()
for n in range(50):
    Task(f"{'parent' if child else 'child'}{n}", wf, "t").begin(data)
if child:
    os.waitpid(child, 0)
wf.end()
os._exit(0)
"""
    run_python(code)
    found = spooled(tmp_path / "spool")
    parent, child = sorted(found.values(), key=len, reverse=True)
    assert [r.task_id for r in parent if isinstance(r, TaskBegin)] == [
        "before",
        *(f"parent{n}" for n in range(50)),
    ]
    assert [r.task_id for r in child if isinstance(r, TaskBegin)] == [f"child{n}" for n in range(50)]
    assert (parent[-1].record_count, child[-1].record_count) == (53, 51)


def test_workflow_and_task_can_be_pickled(offline):
    """Ray and multiprocessing send them to other processes, where they go on in the same run."""
    wf = Workflow("f")
    wf.begin()
    task, data = pickle.loads(pickle.dumps((Task(1, wf, "t"), Data("d", "f", [], {"x": [1]}))))  # noqa: S301
    task.begin(data)
    assert task.workflow.run_id == wf.run_id
    assert isinstance(only(spooled(offline))[-1], TaskBegin)


def test_unwritable_spool_falls_back_and_warns(run_python, tmp_path):
    """Nothing is raised; a warning says where it cannot write, and records go to a place that works."""
    (tmp_path / "file").write_text("")
    (tmp_path / "tmp").mkdir()
    code = "from optiprov import Workflow; wf = Workflow('f'); wf.begin(); wf.end(); print('on')"
    place = {"OPTIPROV_SPOOL": str(tmp_path / "file" / "spool"), "TMPDIR": str(tmp_path / "tmp")}
    output, errors = run_python(code, **place)
    assert output == "on\n"
    assert "no spool can be made" in errors
    assert len(only(spooled(next((tmp_path / "tmp").glob("optiprov-spool-*"))))) == 2


def test_program_without_a_broker_says_once_where_its_provenance_is(run_python, tmp_path):
    """It may have been forgotten; whoever names a spool, as a deployment does, need not be told."""
    code = "from optiprov import Workflow\nfor n in range(2): wf = Workflow('f'); wf.begin(); wf.end()"
    _, errors = run_python(code, OPTIPROV_SPOOL="", XDG_STATE_HOME=str(tmp_path))
    spool = tmp_path / "optiprov" / "spool"
    where = f"provenance is kept in {spool}, not sent"
    assert errors == f"optiprov: no broker is set (PROVLIGHT_SERVER_URL): {where}\n"
    assert len(only(spooled(spool))) == 4
    assert run_python(code) == ("", "")


def test_no_place_for_a_spool_is_a_warning(run_python, tmp_path):
    """Where nothing can be written, the application still runs."""
    (tmp_path / "file").write_text("")
    code = """
import sys, tempfile; tempfile.tempdir = sys.argv[1]
from optiprov import Workflow
from optiprov.capture import get_client
wf = Workflow('f'); wf.begin(); wf.end(); print(get_client().lost)
"""
    output, errors = run_python(
        code, tmp_path / "file" / "tmp", OPTIPROV_SPOOL=str(tmp_path / "file" / "spool")
    )
    assert output == "2\n"
    assert "is lost; set OPTIPROV_SPOOL" in errors


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no such host:1", "http://wrong", "host.invalid"])
def test_broker_that_does_not_answer_never_blocks(run_python, tmp_path, address):
    """The application ends in time, and all is in the spool."""
    code = """
import time
from optiprov import Workflow
begun = time.monotonic()
wf = Workflow('f'); wf.begin(); wf.end()
print(time.monotonic() - begun)
"""

    def run():
        output, _ = run_python(code, PROVLIGHT_SERVER_URL=address, OPTIPROV_FLUSH_TIMEOUT_S="1")
        return float(output)

    assert least_of(run, 2, attempts=5) < 2
    assert {len(records) for records in spooled(tmp_path / "spool").values()} == {2}


def test_kill_loses_nothing_that_returned(start_python, tmp_path):
    """SIGKILL of an emitting application, its broker away."""
    code = """
import os
from optiprov import Workflow, Task
wf = Workflow('f'); wf.begin(); n = 0
while True:
    Task(n, wf, 't').begin()
    os.write(1, b"%d\\n" % n)
    n += 1
"""
    process = start_python(code, PROVLIGHT_SERVER_URL="127.0.0.1:9")
    for _ in range(500):
        process.stdout.readline()
    process.kill()
    last = int(("499\n" + process.stdout.read()).split("\n")[-2])
    tasks = [record.task_id for record in only(spooled(tmp_path / "spool")) if isinstance(record, TaskBegin)]
    assert tasks[: last + 1] == [str(n) for n in range(last + 1)]
    assert len(tasks) <= last + 2


def test_sigterm_flushes_and_ends(start_service, start_python, tmp_path):
    """The process dies of the signal, after the service has all of it: the spool is empty."""
    service = start_service()
    code = "from optiprov import Workflow; wf = Workflow('f'); wf.begin(); print('on', flush=True); input()"
    process = start_python(code, OPTIPROV_BROKER=service.mqtt)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == -signal.SIGTERM
    assert send_leftovers(tmp_path / "spool", BrokerAddress.parse(service.mqtt), timeout_s=0) == []
    assert spool_heads(tmp_path / "spool") == {}
    assert list(optiprov.connect(service.http).runs()["dataflow"]) == ["f"]


def test_handler_of_the_application_stays(run_python):
    """A SIGTERM handler that was there before is not replaced."""
    code = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
from optiprov import Workflow
Workflow('f').begin()
os.kill(os.getpid(), signal.SIGTERM)
"""
    assert run_python(code)[0] == "mine\n"


def test_what_exit_handlers_emit_is_kept(run_python, tmp_path):
    """A handler that runs after ours gets a client of its own."""
    code = """
import atexit
from optiprov import Workflow
wf = None
atexit.register(lambda: wf.end())
wf = Workflow('f'); wf.begin()
"""
    run_python(code)
    records = [record for found in spooled(tmp_path / "spool").values() for record in found]
    assert {type(record) for record in records} == {RunBegin, RunEnd}


def test_leftovers_are_sent_once(start_service, run_python, tmp_path):
    """What an offline application left is delivered by another process, and its spool removed."""
    code = """
from optiprov import Workflow, Task
wf = Workflow('f'); wf.begin()
for n in range(3000):
    Task(n, wf, 't').begin(); Task(n, wf, 't').end()
import os; os._exit(1)
"""
    run_python(code, status=1)
    assert list(spool_heads(tmp_path / "spool").values()) == [6001]
    address = BrokerAddress.parse(start_service().mqtt)
    assert send_leftovers(tmp_path / "spool", address) == []
    assert list((tmp_path / "spool").iterdir()) == []
    store = optiprov.connect(tmp_path / "store" / "p.duckdb")
    assert store.sql(
        "SELECT count(*) AS n, count(DISTINCT task) AS d FROM prov.task_end"
    ).to_numpy().tolist() == [[3000, 3000]]


def test_short_program_waits_for_leftovers_to_be_acknowledged(run_python, shared_service, tmp_path):
    """What it has begun to send of another is stored and freed when it ends, however soon that is."""
    leave = "from optiprov import Workflow; Workflow('f').begin(); import os; os._exit(0)"
    send = """
import threading
from optiprov import Workflow
from optiprov.capture import client
client._LEFTOVERS_S = 60  # a loaded machine may take longer than applications are to wait
Workflow('f').begin()
def publishers(): return [one for one in threading.enumerate() if one.name == "optiprov-publisher"]
while client._leftovers.is_alive() and len(publishers()) < 2: pass
"""
    for _ in range(5):
        run_python(leave)
        run_python(send, PROVLIGHT_SERVER_URL=shared_service.mqtt, OPTIPROV_FLUSH_TIMEOUT_S="60")
        assert spool_heads(tmp_path / "spool") == {}


def test_leftovers_are_named_while_nobody_takes_them(run_python, tmp_path):
    """Without a broker they stay; a spool that is damaged and holds no record is removed."""
    run_python("from optiprov import Workflow; Workflow('f').begin(); import os; os._exit(0)")
    (client,) = spool_heads(tmp_path / "spool")
    (tmp_path / "spool" / "broken").mkdir()
    (tmp_path / "spool" / "broken" / "client.json").write_text("{")
    assert send_leftovers(tmp_path / "spool", NOBODY, timeout_s=1) == [client]
    assert not (tmp_path / "spool" / "broken").exists()
    assert spool_heads(tmp_path / "spool") == {client: 1}


def test_leftover_count_of_a_full_disk_becomes_a_tombstone(start_service, tmp_path):
    """The process died before there was room for its tombstone: whoever sends the rest counts it."""
    client = Client(Settings(tmp_path / "spool"))
    client.emit(Annotation("run", "r", "", "k", 1, 1, None))
    client._spool.state.lost = 4
    client._spool.forget()
    service = start_service()
    assert send_leftovers(tmp_path / "spool", BrokerAddress.parse(service.mqtt)) == []
    lost = optiprov.connect(service.http).sql("SELECT record_count, reason FROM prov.lost")
    assert lost.to_numpy().tolist() == [[4, NO_ROOM]]


def test_too_large_record_does_not_stop_the_stream(start_service, tmp_path):
    """It is counted as lost with its size; what follows arrives."""
    service = start_service()
    client = Client(Settings(tmp_path / "spool", BrokerAddress.parse(service.mqtt)))
    client.emit(Annotation("run", "r", "", "big", "x" * (33 << 20), 1, None))
    client.emit(Annotation("run", "r", "", "ten", "y" * (10 << 20), 1, None))
    client.emit(Annotation("run", "r", "", "small", 1, 1, None))
    assert client.flush(PATIENCE_S)
    client.close()
    store = optiprov.connect(service.http)
    assert store.sql(
        "SELECT key, length(value) AS n FROM prov.annotation ORDER BY n"
    ).to_numpy().tolist() == [
        ["small", 1],
        ["ten", (10 << 20) + 2],
    ]
    assert "at most" in store.sql("SELECT reason FROM prov.lost")["reason"][0]


def test_records_are_sent_once_in_an_ordinary_run(start_service, tmp_path, monkeypatch):
    """No rewinds, no duplicates; 4000 records from a client that emits steadily."""
    from optiprov.capture import publisher

    service = start_service()
    sent = []
    encode = publisher.encode_batch
    monkeypatch.setattr(
        publisher, "encode_batch", lambda head, rows, *_: sent.append(len(rows)) or encode(head, rows)
    )
    client = Client(Settings(tmp_path / "spool", BrokerAddress.parse(service.mqtt)))
    for number in range(4000):
        client.emit(Lost(1, str(number)))
    assert client.flush(PATIENCE_S)
    client.close()
    assert 4000 <= sum(sent) <= 4100
    assert not (tmp_path / "spool" / client.id).exists()


def test_steady_emission_is_acknowledged_soon(start_service, tmp_path):
    """A record that comes while the publisher falls asleep is not left to its half-second timer."""
    service = start_service()
    client = Client(Settings(tmp_path / "spool", BrokerAddress.parse(service.mqtt)))
    client.emit(Lost(1, "connect"))
    assert client.flush(PATIENCE_S)

    def median_wait():
        waits = []
        for number in range(61):
            begun = time.monotonic()
            client.emit(Lost(1, str(number)))
            assert client.flush(PATIENCE_S)
            waits.append(time.monotonic() - begun)
        return sorted(waits)[30]

    assert least_of(median_wait, 0.15) < 0.15
    client.close()


def test_client_recovers_where_the_service_has_a_new_store(start_service, tmp_path):
    """The service knows less than the client's mark: what the spool still holds is sent again."""
    service = start_service()
    client = Client(Settings(tmp_path / "spool", BrokerAddress.parse(service.mqtt)))
    client.emit(Annotation("run", "r", "", "a", 1, 1, None))
    assert client.flush(PATIENCE_S)
    service.kill()
    (tmp_path / "other").mkdir()
    other = start_service(store=tmp_path / "other" / "p.duckdb", mqtt_port=service.mqtt_port)
    client.emit(Annotation("run", "r", "", "b", 1, 1, None))
    assert client.flush(PATIENCE_S)
    client.close()
    assert list(optiprov.connect(other.http).sql("SELECT key FROM prov.annotation ORDER BY key")["key"]) == [
        "a",
        "b",
    ]


def test_end_of_a_task_without_begin_is_emitted(offline):
    """Capture does not judge; the store puts events together."""
    Task(1, Workflow("f"), "t").end()
    assert isinstance(only(spooled(offline))[0], TaskEnd)


ODD = """
from pathlib import Path
from optiprov import Data, Task, Workflow
workflow = Workflow("odd", run_id=RUN)
workflow.begin()
for number in range(20):
    odd = {3: {"host": Path("/x")}, 4: {"agent": {"a": 1}}}
    task = Task(number, workflow, "step", **odd.get(number, {}))
    task.begin([Data("step_input", "odd", [], {"n": [number]})])
    task.end(status="done" if number == 5 else "finished")
one = Data("twice", "odd", [], {"n": [1]})
Task("twice", workflow, "step").begin([one, one])
Task("nothing", workflow, "step").begin([None, 3, "x"])
Task("text", workflow, "step").begin("abc")
bad = [Data("step_input", "odd", [], ["no", "mapping"]), Data("i", "odd", [], {"v": [3]}, id=5)]
Task("bad", workflow, "step").begin(bad)
workflow.end()
"""


def test_what_nobody_expects_costs_at_most_its_own_record(shared_service, run_python):
    """An unknown status, a host that is a path, data that is none: the rest is stored, nothing is raised."""
    run_id = os.urandom(8).hex()
    _, errors = run_python(ODD.replace("RUN", repr(run_id)), OPTIPROV_BROKER=shared_service.mqtt)
    assert "a status is one of" in errors
    assert "got NoneType; it is left out" in errors
    store = optiprov.connect(shared_service.http)
    tasks = store.tasks(run_id)
    assert tasks["task_id"].tolist() == [*map(str, range(20)), "twice", "nothing", "text", "bad"]
    assert tasks["status"].tolist().count("finished") == 19
    assert tasks["host"][3] == "/x"
    reasons = store.sql("SELECT reason FROM prov.rejected")["reason"].tolist()
    assert reasons == ["a status at the end is one of finished, failed, stopped, got 'done'"]
    assert store.sql("SELECT count(*) AS n FROM odd.twice")["n"][0] == 1
