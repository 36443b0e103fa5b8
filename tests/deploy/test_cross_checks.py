"""What the files of a scenario name in each other and in the artifacts."""

import re

import pytest

from optiprov.deploy import check_scenario, load_scenario

from .conftest import LAYERS
from .test_scenario_files import problems_of


def play(*tasks, depends="", stage="launch"):
    """A workflow with one play for `edge`, whose first task stands in line 3 (5 with dependencies)."""
    listed = "".join(f"    - {task}\n" for task in tasks)
    return f"- hosts: edge\n{depends}  {stage}:\n{listed}"


DEPENDS = "  depends_on:\n    - {service_selector: cloud, prefix: server}\n"


@pytest.fixture
def artifacts(write_scenario):
    """Writes a scenario with a folder of artifacts."""

    def write(workflow, files=("client.py",), **others):
        directory = write_scenario(workflow, **others)
        for name in files:
            path = directory / "artifacts" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        return directory

    return write


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            "copy: {src: clint.py, dest: /tmp/}",
            "copy.src: got 'clint.py', which does not exist. Did you mean 'cl",
        ),
        ("copy: src=clint.py dest=/tmp/", "launch.copy: got 'clint.py', which does not exist."),
        (
            "ansible.builtin.copy: src=no/a.py dest=/tmp/",
            "launch.ansible.builtin.copy: got 'no/a.py', which do",
        ),
        ("copy: {src: '{{ artifacts_dir }}/clint.py', dest: a}", "copy.src: got '"),
        ("copy: {src: '{{ working_dir }}/clint.py', dest: a}", "copy.src: got '"),
        ("template: {src: a.j2, dest: a}", "template.src: got 'a.j2', which does not exist."),
    ],
)
def test_artifacts_are_told_when_they_are_missing(artifacts, task, expected):
    """In each form of a task, by each variable for a directory."""
    (problem,) = problems_of(artifacts(play(task, stage="launch")))
    assert problem.startswith(f"workflow.yaml:3: {expected}")
    assert re.search(r"Looked in '(\S+/)?artifacts' and '\S+'\.$", problem)


@pytest.mark.parametrize(
    "task",
    [
        "copy: {src: client.py, dest: a}",
        "copy: src=workflow.yaml dest=a",
        "copy: {src: '{{ working_dir }}/client.py', dest: a}",
        "copy: {src: '{{ scenario_dir }}/workflow.yaml', dest: a}",
        "copy: {src: '{{ optimization_config.file }}', dest: a}",
        "copy: {content: hello, dest: a}",
        "copy: {src: ~/data.csv, dest: a}",
    ],
)
def test_artifacts_are_not_told_when_they_are_there_or_cannot_be_known(artifacts, task):
    """Artifacts, files of the scenario, and paths that a trial makes."""
    load_scenario(artifacts(play(task)))


def test_dataflow_specification_is_sought_in_the_artifacts(artifacts):
    """The one that `provenance` names."""
    layers = "provenance: {dataflow_spec: clientt.py}\n" + LAYERS
    (problem,) = problems_of(artifacts("[]\n", layers=layers))
    assert problem.startswith(
        "layers_services.yaml:1: provenance.dataflow_spec: got 'clientt.py', which does not"
    )
    assert "Did you mean 'client.py'?" in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ sever.url }}", "a template uses 'sever', a variable that is not there. Did you mean 'server'?"),
        (
            "{{ server.urll }}",
            "a template uses 'server.urll', a key that is not there. Did you mean 'server.url'?",
        ),
        ("{{ server['urll'] }}", "a template uses 'server.urll', a key that is not there."),
        (
            "{{ _self.messagges }}",
            "a template uses '_self.messagges', a key that is not there. Did you mean '_se",
        ),
        (
            "{{ optimisation_config.x }}",
            "a template uses 'optimisation_config', a variable that is not there. D",
        ),
        (
            "{{ env_round }}",
            "a template uses 'env_round', a variable that is not there. Did you mean 'env_rounds'?",
        ),
        ("{% for x in xs %}{{ x }}{% endfor %}", "a template uses 'xs', a variable that is not there."),
    ],
)
def test_variables_are_told_when_nobody_gives_them(write_scenario, text, expected):
    """Names and keys, with the likely meant spelling."""
    layers = LAYERS + "        messages: 3\n"
    workflow = play(f'shell: "echo {text}"', depends=DEPENDS)
    (problem,) = problems_of(write_scenario(workflow, layers, workflow_env="small: {rounds: 3}\n"))
    assert problem.startswith(f"workflow.yaml:5: launch.shell: {expected}")


@pytest.mark.parametrize(
    "text",
    [
        "{{ server.url }} {{ server.metadata }} {{ server.flavour }} {{ _self.layer_id }}",
        "{{ optimization_config.anything.at['all'] }} {{ app_conf }} {{ env_rounds }} {{ current_repeat }}",
        "{{ nowhere | default(1) }} {{ _self.nowhere | default('') }} {{ server.x is defined }}",
        "{% if nowhere is defined %}{{ nowhere.x }}{% endif %}",
        "{% set a = 1 %}{% for b in [a] %}{{ a + b + loop.index }}{% endfor %}",
        "{{ hostvars[inventory_hostname] }} {{ ansible_hostname }} {{ lookup('env', 'HOME') }}",
        "{{ _self.items() }}",
        "{{ broken",
    ],
)
def test_variables_are_not_told_when_they_are_given_or_optional(write_scenario, text):
    """What there is, what a template asks for first, and what Jinja2 and Ansible give."""
    layers = LAYERS.replace("name: Master\n", "name: Master\n        flavour: big\n")
    workflow = play(f'shell: "echo {text}"', depends=DEPENDS)
    checked = check_scenario(write_scenario(workflow, layers, workflow_env="small: {rounds: 3}\n"))
    assert [problem for problem in checked.problems if "a template uses" in problem.message] == []


def test_variables_that_a_block_asks_for_are_optional_in_its_tasks(write_scenario):
    """Its condition is one of theirs; a variable that nobody asks for is told in a block as well."""
    tasks = "[{shell: 'echo {{ nowhere }}'}, {shell: 'echo {{ neither }}'}]"
    (problem,) = problems_of(write_scenario(play(f"block: {tasks}\n      when: nowhere is defined")))
    assert problem.startswith("workflow.yaml:3: block.shell: a template uses 'neither'")


def test_aggregated_services_are_known_one_by_one(write_scenario):
    """One variable for each host that the selector has, and no more."""
    depends = "  depends_on:\n    - {service_selector: cloud, prefix: s, grouping: aggregate}\n"
    workflow = play("shell: echo {{ s1_1.url }} {{ s | length }} {{ s1_2.url }}", depends=depends)
    (problem,) = problems_of(write_scenario(workflow))
    assert "a template uses 's1_2', a variable that is not there. Did you mean 's1_1'?" in problem


def test_aggregated_services_of_several_layers_keep_apart(write_scenario):
    """Where E2Clab's names would be the same, they have the number of the layer too."""
    depends = "  depends_on:\n    - {service_selector: all, prefix: s, grouping: aggregate}\n"
    load_scenario(write_scenario(play("shell: echo {{ s1_1_1.url }} {{ s2_1_1.url }}", depends=depends)))
    (problem,) = problems_of(write_scenario(play("shell: echo {{ s1_1.url }}", depends=depends)))
    assert "a template uses 's1_1', a variable that is not there. Did you mean 's" in problem


def test_prefixes_are_refused_when_a_play_has_them_twice(write_scenario):
    """The second would hide the first."""
    one = "{service_selector: cloud, prefix: s}"
    for depends in (f"  depends_on: [{one}, {one}]\n", f"  depends_on:\n    - {one}\n    - {one}\n"):
        (problem,) = problems_of(write_scenario(play(depends=depends)))
        assert "depends_on.prefix: the prefix 's' is there twice, first in line" in problem


def test_environments_of_services_are_checked(write_scenario):
    """`env` has what a host knows of itself, and nothing of plays."""
    layers = LAYERS + '        env: {A: "{{ _self.port }}", B: "{{ server.url }}"}\n'
    (problem,) = problems_of(write_scenario(layers=layers))
    assert problem.startswith(
        "layers_services.yaml:11: env.B: a template uses 'server', a variable that is not"
    )


def test_template_files_are_checked_where_they_stand(artifacts):
    """The problem is in the line of the file that the task renders."""
    directory = artifacts(play("template: {src: a.conf.j2, dest: a}"))
    (directory / "artifacts" / "a.conf.j2").write_text("host={{ _self.url }}\nport={{ prt }}\n")
    (problem,) = problems_of(directory)
    assert problem.startswith("artifacts/a.conf.j2:2: a template uses 'prt', a variable that is not there.")


def test_chosen_sets_are_refused_when_they_do_not_exist(write_scenario):
    """With the likely meant spelling, all of them, and with a file or without."""
    directory = write_scenario(workflow_env="small: {}\nlarge: {}\n")
    assert problems_of(directory, app_confs=["smal", "x"]) == [
        "workflow_env.yaml:1: has no set 'smal'. Did you mean 'small'? There are: small, large.",
        "workflow_env.yaml:1: has no set 'x'. There are: small, large.",
    ]
    (directory / "workflow_env.yaml").unlink()
    (problem,) = problems_of(directory, app_confs=["small"])
    assert problem.startswith("workflow_env.yaml:1: is missing, and the set 'small' is asked for. Write")


def test_variables_of_chosen_sets_are_needed_in_each(write_scenario):
    """Without a choice it suffices that one set has the variable."""
    workflow_env = "small: {rounds: 3}\nlarge: {}\n"
    directory = write_scenario(play("shell: echo {{ env_rounds }}"), workflow_env=workflow_env)
    load_scenario(directory)
    load_scenario(directory, app_confs=["small"])
    (problem,) = problems_of(directory, app_confs=["small", "large"])
    assert "a template uses 'env_rounds'" in problem


def test_variables_of_chosen_sets_are_not_there_in_prepare(write_scenario):
    """That stage is done once, for all of the sets."""
    directory = write_scenario(
        play("shell: echo {{ env_rounds }} {{ app_conf }}", stage="prepare"),
        workflow_env="small: {rounds: 3}\n",
    )
    load_scenario(directory)
    problems = problems_of(directory, app_confs=["small"])
    assert [problem.split("'")[1] for problem in problems] == ["app_conf", "env_rounds"]


def test_profiles_are_those_of_monitoring_iotlab(write_scenario):
    """A service's `profile` is one that is defined."""
    head = "monitoring_iotlab: {profiles: [{name: power, archi: m3}]}\n"
    (problem,) = problems_of(write_scenario(layers=head + LAYERS + "        profile: powr\n"))
    assert problem.startswith("layers_services.yaml:12: services.profile: got 'powr'. Did you mean 'power'?")


@pytest.mark.parametrize(
    ("workflow", "where"),
    [
        ("- hosts: clod\n", "workflow.yaml:1: hosts"),
        (
            "- hosts: edge\n  depends_on:\n    - service_selector: clod\n      prefix: a\n",
            "workflow.yaml:3: depends_on.service_selector",
        ),
        ("- hosts: clod\n  launch:\n    - debug: {msg: '{{ _self.messages }}'}\n", "workflow.yaml:1: hosts"),
        (
            (
                "- hosts: edge\n  depends_on:\n    - {service_selector: clod, prefix: a}\n"
                "  launch:\n    - debug: {msg: '{{ a.messages }}'}\n"
            ),
            "workflow.yaml:3: depends_on.service_selector",
        ),
        (
            (
                "- hosts: edge\n  depends_on:\n"
                "    - {service_selector: clod, prefix: a, grouping: aggregate}\n"
                "  launch:\n    - debug: {msg: '{{ a1_1.messages }}'}\n"
            ),
            "workflow.yaml:3: depends_on.service_selector",
        ),
    ],
)
def test_patterns_are_told_when_they_select_nothing(write_scenario, workflow, where):
    """Of a play and of what it depends on, with the likely meant spelling and what there is; that alone."""
    layers = LAYERS.replace("name: Master\n", "name: Master\n        messages: 20\n")
    (problem,) = problems_of(write_scenario(workflow, layers))
    assert problem.startswith(f"{where}: got 'clod', which matches no service. Did you mean 'cloud'? There")
    load_scenario(write_scenario(workflow.replace("clod", "cloud"), layers))
