"""The documentation says what is so: pages run as printed, and references are what the code says."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import optiprov
from optiprov import errors
from optiprov.capture import settings
from optiprov.cli import main
from optiprov.deploy import load_scenario, models
from optiprov.deploy.modules import MODULES
from optiprov.deploy.task_keywords import KEYWORDS, LOOP_CONTROL
from optiprov.deploy.variable_names import RESERVED, SELF_KEYS
from optiprov.optimize.schedulers import SCHEDULERS
from optiprov.optimize.searchers.registry import SEARCHERS
from optiprov.optimize.space_file import COMMON_KEYS, KIND_KEYS, TOP_KEYS
from optiprov.store import query
from optiprov.store.schema import TABLES, VIEWS
from optiprov.telemetry.resources import RESOURCES
from optiprov.telemetry.sampler import Sampler
from tests.docs.pages import DOCS, ROOT, anchors, blocks, invoke, links, run_page

README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("experiments/*/README.md")),
    *sorted(DOCS.glob("*.md")),
]
COMPAT = str(Path(optiprov.__file__).parent / "compat")
READMES_STORE = "results/<study>/provenance.duckdb"
EMIT_TRAINING = """
from optiprov import Data, Task, Workflow
with Workflow("digits") as workflow:
    for number, accuracy in enumerate([0.85, 0.95]):
        task = Task(number, workflow, "training")
        names = ("kernel_size", "num_kernels", "length_of_strides", "pooling_size")
        task.begin([Data("training_input", "digits", [], {name: [number] for name in names})])
        task.end([Data("training_output", "digits", [], {"accuracy": [accuracy]})])
"""


@pytest.fixture
def environment(tmp_path, clean_environment):
    """A newcomer's environment: nothing is set but where the spool is."""
    newcomers = {**clean_environment, "OPTIPROV_SPOOL": str(tmp_path / "spool")}
    newcomers.pop("OPTIPROV_ENVIRONMENT")
    return newcomers


@pytest.fixture
def page_dir(tmp_path):
    """The empty folder in which a page begins."""
    (tmp_path / "page").mkdir()
    return tmp_path / "page"


# Pages that run.


@pytest.mark.slow
def test_tutorial_works_as_printed(page_dir, environment):
    """Its files, put into an empty folder, make every one of its commands and its Python work."""
    check, optimize, asked, sql, tables, _ = run_page(DOCS / "tutorial.md", page_dir, environment)
    assert "fine, 1 host" in check
    assert "Which levels kept the delay under 0.4 s?" in optimize
    assert "(4 rows)" in asked
    assert "(4 rows)" in sql
    assert "compress_output" in tables


def test_scenario_example_works_as_printed(page_dir, environment):
    """The example of scenario.md is deployed, and its hosts answer what the page says."""
    assert len(run_page(DOCS / "scenario.md", page_dir, environment, in_process=True)) == 2


def test_services_example_works_as_printed(page_dir, environment):
    """The example of services.md is checked and deployed, and its reader reads what the page says."""
    assert len(run_page(DOCS / "services.md", page_dir, environment)) == 2


@pytest.mark.slow
def test_running_works_as_printed(page_dir, environment):
    """What init writes is deployed in one go and step by step, and its provenance is asked."""
    outputs = run_page(DOCS / "running.md", page_dir, environment)
    assert "query it: optiprov query --store" in outputs[1]
    assert "destroyed; results, logs and provenance stay there." in outputs[-1]
    assert len(list((page_dir / "squares").glob("2*/provenance-data/provenance_database.sql"))) == 2


def test_search_space_examples_work_as_printed(page_dir, environment):
    """The files and the Python of search-space.md give what the page says."""
    assert len(run_page(DOCS / "search-space.md", page_dir, environment)) == 3


def test_searching_example_works_as_printed(page_dir, environment):
    """The class of searching.md is Python, and the recommendation what the page says."""
    assert len(run_page(DOCS / "searching.md", page_dir, environment)) == 1
    compile((page_dir / "optimization.py").read_text(encoding="utf-8"), "optimization.py", "exec")


def test_provenance_examples_work_as_printed(page_dir, environment, start_service):
    """The applications of provenance.md record, and its questions get the answers of the page."""
    service = start_service(store=page_dir / "provenance.duckdb")
    given = {**environment, "PROVLIGHT_SERVER_URL": service.mqtt.removeprefix("mqtt://")}
    outputs = run_page(DOCS / "provenance.md", page_dir, given, in_process=True)
    grouped, incomplete, rejected = outputs[5], *outputs[-2:]
    assert "train " in grouped
    assert "(0 rows)" in incomplete
    assert "(0 rows)" in rejected
    assert len(outputs) == 12


def test_every_metric_of_telemetry_is_documented():
    """Each resource, and each metric that a sample has here, is in provenance.md."""
    text = (DOCS / "provenance.md").read_text(encoding="utf-8")
    metrics = set(Sampler(RESOURCES).sample())
    assert set(re.findall(r"`((?:process|host)\.\w+)`", text)) >= metrics
    assert [name for name in RESOURCES if f"| `{name}` |" not in text] == []


def test_readme_instruments_and_asks_as_printed(shared_service, run_python, environment):
    """The README's application records under ProvLight's names, and its first query answers its question."""
    (application,) = (text for _, _, text in blocks(README) if "provlight" in text)
    address = shared_service.mqtt.removeprefix("mqtt://")
    run_python(application, path=[COMPAT], PROVLIGHT_SERVER_URL=address)
    run_python(EMIT_TRAINING, PROVLIGHT_SERVER_URL=address)
    commands = [line.replace(READMES_STORE, shared_service.http) for line in _indented_lines(README)]
    (asked,) = (line for line in commands if line.startswith("optiprov query") and "--where" in line)
    (sql,) = (line for line in commands if line.startswith("optiprov sql"))
    answer = invoke(asked, environment)
    assert "0.95" in answer
    assert "0.85" not in answer
    assert "(1 row)" in answer
    assert "0.85" in invoke(sql, environment)


def test_readme_optimization_compiles():
    """The README's class is Python, and what it imports is there."""
    (text,) = (text for _, _, text in blocks(README) if "class Tuning" in text)
    namespace: dict[str, object] = {"__name__": "readme", "__file__": str(README)}
    exec(compile(text, str(README), "exec"), namespace)  # noqa: S102 - our own page
    assert "Tuning" in namespace


def _indented_lines(page):
    """The lines of the indented blocks of a page; those that end with a backslash are joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


# Snippets and references that agree with the code.


def test_scenario_snippets_are_accepted(page_dir):
    """Each piece of YAML in scenario.md is a file that is right beside the page's own example."""
    pieces = list(blocks(DOCS / "scenario.md"))
    for _, info, text in pieces:
        if info.startswith("title="):
            path = page_dir / info.removeprefix("title=")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    load_scenario(page_dir)
    others = [text for language, info, text in pieces if language == "yaml" and not info]
    assert len(others) >= 4
    for number, text in enumerate(others):
        directory = page_dir.with_name(f"snippet-{number}")
        shutil.copytree(page_dir, directory)
        name = "workflow.yaml" if isinstance(yaml.safe_load(text), list) else "network.yaml"
        (directory / name).write_text(text, encoding="utf-8")
        load_scenario(directory)


def test_every_key_of_a_scenario_is_documented():
    """Each key that a file of a scenario may have, and each argument of a module, is in scenario.md."""
    text = (DOCS / "scenario.md").read_text(encoding="utf-8")
    parts = (
        *(models.LayersServices, models.Environment, models.Layer, models.Service, models.Network),
        *(models.NetworkFile, models.Dependency, models.PlayModel, models.ProvenanceService),
    )
    keys = {key for part in parts for key in part.known_keys()}
    keys |= {argument for module in MODULES.values() for argument in module.arguments}
    keys |= {*KEYWORDS, *LOOP_CONTROL, *RESERVED, *SELF_KEYS, *MODULES}
    assert sorted(key for key in keys if f"`{key}`" not in text) == []


def test_every_type_of_parameter_is_documented():
    """Each type that a search space may have, and each of its keys, is in search-space.md."""
    text = (DOCS / "search-space.md").read_text(encoding="utf-8")
    keys = {*TOP_KEYS, *COMMON_KEYS, *KIND_KEYS, *(key for keys in KIND_KEYS.values() for key in keys)}
    assert sorted(key for key in keys if f"`{key}`" not in text) == []


def test_every_searcher_and_scheduler_is_documented():
    """Each name that a study may give is in searching.md."""
    text = (DOCS / "searching.md").read_text(encoding="utf-8")
    assert [name for name in (*SEARCHERS, *SCHEDULERS) if f"`{name}`" not in text] == []


def test_every_field_and_operator_of_queries_is_documented():
    """Each field, operator and aggregation that a query may have is in provenance.md."""
    text = (DOCS / "provenance.md").read_text(encoding="utf-8")
    words = {*query.ALIASES, *query._OPERATORS, *query.AGGREGATES, "$and", "$or"}
    words |= {name for names in query.FIELDS.values() for name in names}
    assert sorted(word for word in words if f"`{word}`" not in text) == []


@pytest.mark.parametrize(
    ("page", "script"),
    [
        ("cli.md", "write_cli_reference.py"),
        ("api.md", "write_api_reference.py"),
        ("provenance.md", "write_store_reference.py"),
    ],
)
def test_reference_is_what_the_code_says(page, script):
    """What `make docs` writes, in a process of its own, is what is there."""
    code = f"import runpy, sys; sys.stdout.write(runpy.run_path({str(DOCS / script)!r})['reference']())"
    writer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (DOCS / page).read_text(encoding="utf-8") == writer.stdout, "run `make docs`"


def test_every_table_of_the_store_has_a_meaning():
    """The reference of the store explains each table and view, and no other."""
    assert set(runpy.run_path(str(DOCS / "write_store_reference.py"))["MEANINGS"]) == {*TABLES, *VIEWS}


def test_every_public_name_has_a_reference():
    """Each name of the public surface is in docs/api.md."""
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    names = [name for name in optiprov.__all__ if not name.startswith("__")]
    assert [name for name in names if f"\n### optiprov.{name}\n" not in text] == []


def test_links_lead_somewhere():
    """Each relative link of a page leads to a file that is there, and to a heading that it has."""
    broken = []
    for page in PAGES:
        for link in links(page):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.name}: {link}")
    assert broken == []


def test_every_page_is_linked_from_the_readme():
    """Each page of the documentation can be found from the README."""
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(README)}
    assert [page.name for page in DOCS.glob("*.md") if page.resolve() not in linked] == []


def test_every_command_has_examples():
    """The help of each command ends with examples; that of a group is in its commands."""
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    helps = dict(part.split("\n", 1) for part in text.split("\n## optiprov ")[1:])
    assert {name.split()[0] for name in helps} == set(main.COMMANDS)
    groups = {name.rpartition(" ")[0] for name in helps}
    assert [name for name, text in helps.items() if name not in groups and "xample" not in text] == []


def test_every_setting_is_documented():
    """Each variable that the client reads from its environment is in docs/design.md."""
    source = Path(settings.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r'"((?:OPTIPROV|PROVLIGHT)_\w+)"', source)) | {"OPTIPROV_STORE"}
    documented = (DOCS / "design.md").read_text(encoding="utf-8")
    assert len(names) >= 8
    assert sorted(name for name in names if name not in documented) == []


def test_error_tree_is_drawn_as_it_is():
    """The docstring of optiprov.errors draws every class of the tree, and no other."""
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    drawn = set(
        re.findall(
            r"^[ |`-]*(\w+(?:Error|Timeout|Unavailable|Interrupted))\b", errors.__doc__ or "", re.MULTILINE
        )
    )
    assert drawn == classes


def test_public_names_are_importable():
    """Each name of the public surface can be had from the package, and an unknown one says what there is."""
    assert sorted(optiprov.__all__, key=str.lower) == sorted(set(optiprov.__all__), key=str.lower)
    for name in optiprov.__all__:
        assert getattr(optiprov, name) is not None
    with pytest.raises(AttributeError, match=r"it has .*Optimization"):
        optiprov.Optimisation  # noqa: B018 - the access is what is tested
