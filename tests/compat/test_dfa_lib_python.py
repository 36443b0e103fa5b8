"""Scripts written for dfa_lib_python, run unmodified against a real service."""

from pathlib import Path

import pytest

import optiprov
from optiprov.store.remote import RemoteProvenance

COMPAT = Path(optiprov.__file__).parent / "compat"
MODULES = sorted(path.stem for path in (COMPAT / "dfa_lib_python").glob("[a-z]*.py"))

SPECIFICATION = """
from dfa_lib_python.dataflow import Dataflow
from dfa_lib_python.transformation import Transformation
from dfa_lib_python.attribute import Attribute
from dfa_lib_python.attribute_type import AttributeType
from dfa_lib_python.program import Program
from dfa_lib_python.set import Set
from dfa_lib_python.set_type import SetType

tag = "{dataflow}"
df = Dataflow(tag)
tf1 = Transformation("Extract")
tf1_input = Set("iExtract", SetType.INPUT, [Attribute("SOURCE", AttributeType.FILE)])
tf1_output = Set("oExtract", SetType.OUTPUT,
    [Attribute("FIRST", AttributeType.NUMERIC), Attribute("SECOND", AttributeType.NUMERIC)])
tf1.set_sets([tf1_input, tf1_output])
df.add_transformation(tf1)

tf2 = Transformation("Sum")
tf1_output.set_type(SetType.INPUT)
tf1_output.dependency = tf1._tag
tf2_output = Set("oSum", SetType.OUTPUT, [Attribute("RESULT", AttributeType.NUMERIC)])
tf2.set_sets([tf1_output, tf2_output])
tf2.add_program(Program("sum", "/bin/sum"))
df.add_transformation(tf2)
df.save()
"""
TASKS = """
from dfa_lib_python.task import Task
from dfa_lib_python.dataset import DataSet
from dfa_lib_python.element import Element

t1 = Task(1, "{dataflow}", "Extract")
t1.add_dataset(DataSet("iExtract", [Element(["/data/numbers"])]))
t1.begin()
t1.add_dataset(DataSet("oExtract", [Element([5, 1.5]), Element(["6", "2"])]))
t1.end()
t2 = Task(2, "{dataflow}", "Sum", dependency=t1)
t2.begin()
t2.add_dataset(DataSet("oSum", [Element([6.5])]))
t2.end()
"""


@pytest.fixture
def run_script(run_python, shared_service):
    """Runs a script with ours in place of dfa_lib_python, sending to the service."""

    def run(script, **options):
        return run_python(script, path=[COMPAT], OPTIPROV_BROKER=shared_service.mqtt, **options)

    return run


@pytest.fixture
def provenance(shared_service):
    """What the service has stored."""
    return RemoteProvenance(shared_service.http)


def rows(provenance, sql, *parameters):
    """Return the rows of a query."""
    return [tuple(row) for row in provenance.sql(sql, parameters).itertuples(index=False)]


@pytest.mark.parametrize("order", ["specification first", "tasks first", "two processes"])
def test_script_gives_dfanalyzers_tables_to_join(run_script, provenance, order):
    """Values in order, the file's path, and the tasks of both transformations on what one hands the other."""
    dataflow = order.replace(" ", "-")
    specification, tasks = SPECIFICATION.format(dataflow=dataflow), TASKS.format(dataflow=dataflow)
    if order == "two processes":
        run_script(specification)
        run_script(tasks)
    else:
        run_script(
            "\n".join([specification, tasks] if order == "specification first" else [tasks, specification])
        )
    schema = f'"{dataflow}"'
    joined = """SELECT i.SOURCE, o.FIRST, o.SECOND FROM SCHEMA.iExtract i
                JOIN SCHEMA.oExtract o ON i.Extract_task_id = o.Extract_task_id ORDER BY o.FIRST"""
    joined = joined.replace("SCHEMA", schema)
    assert rows(provenance, joined) == [("/data/numbers", 5, 1.5), ("/data/numbers", 6, 2.0)]
    assert rows(provenance, "SELECT RESULT FROM SCHEMA.oSum".replace("SCHEMA", schema)) == [(6.5,)]
    tasks = "SELECT task_id, transformation, status FROM prov.task WHERE dataflow = ? ORDER BY task_id"
    assert rows(provenance, tasks, dataflow) == [("1", "Extract", "finished"), ("2", "Sum", "finished")]
    waited = """SELECT b.task_id FROM prov.dependency d JOIN prov.task a ON a.task = d.task
                JOIN prov.task b ON b.task = d.depends_on WHERE a.dataflow = ? AND a.task_id = '2'"""
    assert rows(provenance, waited, dataflow) == [("1",)]
    runs = "SELECT status FROM prov.run WHERE dataflow = ?"
    assert rows(provenance, runs, dataflow) == [("finished",)]
    program = "SELECT transformation, program, path FROM prov.program WHERE dataflow = ?"
    assert rows(provenance, program, dataflow) == [("Sum", "sum", "/bin/sum")]
    files = "SELECT f.path, f.role FROM prov.file f JOIN SCHEMA.iExtract i ON i.item = f.item"
    assert rows(provenance, files.replace("SCHEMA", schema)) == [("/data/numbers", "SOURCE")]


@pytest.mark.parametrize("is_specified", [False, True])
def test_file_is_stored_as_its_path(run_script, provenance, is_specified):
    """As a value, and in prov.file where the specification says that it is one."""
    dataflow = f"files_{is_specified}".lower()
    script = SPECIFICATION.format(dataflow=dataflow) if is_specified else ""
    run_script(
        script
        + f"""
from dfa_lib_python.task import Task
from dfa_lib_python.dataset import DataSet
from dfa_lib_python.element import Element
from dfa_lib_python.file import File
t = Task(1, "{dataflow}", "Extract")
t.add_dataset(DataSet("iExtract", [Element([File("/a/b", "b")])]))
t.begin()
t.end()
"""
    )
    column = "SOURCE" if is_specified else '"values in order"'
    assert rows(provenance, f"SELECT {column} FROM {dataflow}.iExtract") == [("/a/b",)]
    files = f"SELECT f.path, f.role FROM prov.file f JOIN {dataflow}.iExtract i ON i.item = f.item"
    assert rows(provenance, files) == ([("/a/b", "SOURCE")] if is_specified else [])


def test_task_uses_what_the_task_it_waited_for_generated(run_script, provenance):
    """As in DfAnalyzer: the dataset that one hands the other has the ids of both tasks."""
    run_script(SPECIFICATION.format(dataflow="handed") + TASKS.format(dataflow="handed"))
    both = """SELECT e.task_id, s.task_id, o.RESULT FROM handed.oExtract x
              JOIN prov.task e ON e.task = x.Extract_task_id JOIN prov.task s ON s.task = x.Sum_task_id
              JOIN handed.oSum o ON o.Sum_task_id = x.Sum_task_id"""
    assert rows(provenance, both) == [("1", "2", 6.5), ("1", "2", 6.5)]


def test_specification_decides_what_is_used_whenever_it_is_added(run_script, provenance):
    """Inputs added behind the begin are used, outputs added before it generated."""
    script = (
        SPECIFICATION.format(dataflow="late")
        + """
from dfa_lib_python.task import Task
from dfa_lib_python.dataset import DataSet
from dfa_lib_python.element import Element
t = Task(1, "late", "Extract", sub_id=3, resource="edge", error="no luck")
t.add_dataset(DataSet("oExtract", [Element([1, 2])]))
t.begin()
t.save()
t.set_datasets([DataSet("iExtract", [Element(["/a"])])])
t.save()
t.add_dataset(DataSet("oExtract", [Element([3, 4])]))
t.add_dataset(DataSet("iExtract", [Element(["/b"])]))
t.end()
t.end()
"""
    )
    run_script(script)
    used = "SELECT SOURCE FROM late.iExtract i JOIN prov.used u ON u.item = i.item ORDER BY 1"
    assert rows(provenance, used) == [("/a",), ("/b",)]
    generated = "SELECT FIRST FROM late.oExtract o JOIN prov.generated g ON g.item = o.item ORDER BY 1"
    assert rows(provenance, generated) == [(1,), (3,)]
    task = "SELECT task_id, status, host, error FROM prov.task WHERE dataflow = 'late'"
    assert rows(provenance, task) == [("1.3", "failed", "edge", "no luck")]


def test_dependencies_and_performances_are_recorded(run_script, provenance):
    """Dependency names tasks by transformation (in lower case) and id; times come from Performance."""
    run_script("""
from dfa_lib_python.task import Task
from dfa_lib_python.dependency import Dependency
from dfa_lib_python.performance import Performance
for number, tag in enumerate(("Left", "Right")):
    t = Task(number, "deps", tag)
    t.begin()
    t.end()
t = Task(2, "deps", "Join")
t.add_dependency(Dependency(["left", "right"], [0, "1"]))
t.add_performance(Performance("2024-01-31 10:00:00", "2024-01-31 10:00:05"))
t.begin()
t.end()
""")
    given = """SELECT transformation, task_id FROM prov.dependency_given g
               WHERE g.run_id IN (SELECT run_id FROM prov.run WHERE dataflow = 'deps') ORDER BY 1"""
    assert rows(provenance, given) == [("left", "0"), ("right", "1")]
    times = """SELECT CAST(ended_at - started_at AS VARCHAR) FROM prov.task
               WHERE dataflow = 'deps' AND transformation = 'Join'"""
    assert rows(provenance, times) == [("00:00:05",)]


def test_script_that_fails_leaves_a_failed_run_and_task(run_script, provenance):
    """The task was begun and not ended; its process's part of the run has failed."""
    script = """
from dfa_lib_python.task import Task
Task(1, "broken", "Work").begin()
raise SystemError("no more")
"""
    run_script(script, status=1)
    task = "SELECT status FROM prov.task WHERE dataflow = 'broken'"
    assert rows(provenance, task) == [("failed",)]
    assert rows(provenance, "SELECT status FROM prov.run WHERE dataflow = 'broken'") == [("failed",)]


def test_forked_process_has_a_run_of_its_own(run_script, provenance):
    """One run a dataflow and process."""
    run_script("""
import os
from dfa_lib_python.task import Task
from optiprov.capture import get_client
def work(number):
    t = Task(number, "forked", "Work")
    t.begin()
    t.end()
work(1)
get_client().flush(60)
if os.fork() == 0:
    work(2)
    raise SystemExit
os.wait()
""")
    found = rows(
        provenance, "SELECT DISTINCT run_id, task_id, status FROM prov.task WHERE dataflow = 'forked'"
    )
    assert {(task_id, status) for _, task_id, status in found} == {("1", "finished"), ("2", "finished")}
    assert len({run for run, _, _ in found}) == 2


def test_changed_specification_is_a_new_version(run_script, provenance):
    """The script again changes nothing; with one attribute more, the dataset has a second version."""
    script = SPECIFICATION.format(dataflow="versions")
    run_script(script)
    run_script(script)
    run_script(
        script.replace('[Attribute("RESULT"', '[Attribute("UNIT", AttributeType.TEXT), Attribute("RESULT"')
    )
    versions = "SELECT dataset, version FROM prov.dataset WHERE dataflow = 'versions' ORDER BY dataset"
    assert rows(provenance, versions) == [("iExtract", 1), ("oExtract", 1), ("oSum", 2)]
    assert rows(provenance, "SELECT max(version) FROM prov.dataflow WHERE dataflow = 'versions'") == [(2,)]


def test_package_needs_the_standard_library_only(run_python):
    """As provlight: whatever is not of the standard library is blocked."""
    script = """
import importlib, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "optiprov", "dfa_lib_python"}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
for module in sys.argv[1:]:
    importlib.import_module("dfa_lib_python." + module)
from dfa_lib_python.file import File
from dfa_lib_python.task import Task
from dfa_lib_python.task_status import TaskStatus
from dfa_lib_python.dataset import DataSet
from dfa_lib_python.element import Element
t = Task(1, "f", "t")
t.add_dataset(DataSet("d", [Element([File("/a/b", "b")])]))
t.set_status(TaskStatus.RUNNING)
t.save()
print("done")
"""
    assert len(MODULES) >= 14
    output, errors = run_python(script, *MODULES, path=[COMPAT])
    assert output == "done\n"
    assert errors == ""
