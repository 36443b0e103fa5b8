import json
from pathlib import Path

import pytest
import yaml

from optiprov.deploy import Deployment, load_scenario

from .ssh_machines import SshMachines, require_machines
from .task_table import EXPRESSIONS, PAGE, PROGRAM, TASKS

HOST = "environment: {local: }\nlayers:\n- {name: edge, services: [{name: Worker}]}\n"
WITH_ANSIBLE = {"name": "have ansible run it", "meta": "noop"}


def table_workflow(runner):
    """A workflow that runs the whole table, and leaves what was registered in a file."""
    tasks = []
    for name, (text, _) in TASKS.items():
        task = {"name": name, **yaml.safe_load(text), "register": "case", "ignore_errors": True}
        tasks += [task, {"name": f"keep {name}", "debug": {"msg": "{{ case }}"}}]
    content = "{{ {" + ", ".join(f"'e{n}': {text}" for n, text in enumerate(EXPRESSIONS)) + "} | to_json }}"
    tasks.append({"name": "expressions", "debug": {"msg": content}})
    tasks += [WITH_ANSIBLE] if runner == "ansible" else []
    return [{"hosts": "edge", "prepare": tasks}]


def run_table(directory, runner, layers=HOST):
    """What each task of the table registered, by its name, and the values of the expressions."""
    scenario = directory / "scenario"
    (scenario / "artifacts").mkdir(parents=True)
    (scenario / "layers_services.yaml").write_text(layers)
    (scenario / "workflow.yaml").write_text(yaml.safe_dump(table_workflow(runner), sort_keys=False))
    (scenario / "artifacts" / "page.j2").write_text(PAGE)
    (scenario / "artifacts" / "program.sh").write_text(PROGRAM)
    deployment = Deployment(load_scenario(scenario), directory / "deployment")
    try:
        deployment.prepare()
    finally:
        deployment.finalize()
    plays = yaml.safe_load_all((deployment.directory / "workflow-validate.out").read_text())
    play = max(plays, key=lambda play: len(play["tasks"]))  # background tasks have documents of their own
    outputs = {task["task"]: Path(task["stdout"]).read_text() for task in play["tasks"] if "debug" in task}
    return {name.removeprefix("keep "): json.loads(text) for name, text in outputs.items() if text[0] in "[{"}


@pytest.fixture(scope="module", params=["optiprov", "ansible", "optiprov by ssh"])
def table(request, tmp_path_factory):
    """The table as optiprov and as ansible-core run it, and as optiprov does on a host reached by SSH."""
    runner, _, place = request.param.partition(" by ")
    if runner == "ansible":
        pytest.importorskip("ansible", reason="ansible-core, the extra `ansible`, is not installed")
    directory = tmp_path_factory.mktemp(runner)
    if not place:
        return run_table(directory, runner)
    require_machines()
    machines = SshMachines(tmp_path_factory.mktemp("machines"))
    try:
        environment = {"static": machines.testbed(machines.make())}
        layers = {"environment": environment, "layers": yaml.safe_load(HOST)["layers"]}
        return run_table(directory, runner, yaml.safe_dump(layers))
    finally:
        machines.remove()


def holds(expected, got):
    """Whether what was got is what was expected, with more keys of mappings allowed."""
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(
            key in got and holds(value, got[key]) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(got, list)
            and len(got) == len(expected)
            and all(holds(one, other) for one, other in zip(expected, got, strict=True))
        )
    return type(expected) is type(got) and expected == got


@pytest.mark.parametrize("name", TASKS)
def test_task_registers_what_ansible_registers(table, name):
    """The table is the same for optiprov and for ansible-core."""
    expected = TASKS[name][1]
    assert holds(expected, table[name]), f"expected {expected}, got {table[name]}"


@pytest.mark.parametrize("number", range(len(EXPRESSIONS)), ids=list(EXPRESSIONS))
def test_expression_has_the_value_that_ansible_gives(table, number):
    """Filters and tests are Ansible's."""
    expected = list(EXPRESSIONS.values())[number]
    assert table["expressions"][f"e{number}"] == expected
