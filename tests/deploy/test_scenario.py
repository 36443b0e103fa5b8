import pytest

from optiprov.deploy import load_scenario
from optiprov.errors import ScenarioError

from .conftest import LAYERS, SCENARIOS


def problems_of(directory):
    """The lines of the ScenarioError that loading gives, without the directory."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(directory)
    return str(caught.value).replace(f"{directory}/", "").splitlines()


def service(text):
    """A layers_services.yaml with one service, whose first key stands in line 7."""
    head = "environment:\n  local:\nlayers:\n  - name: edge\n    services:\n      - name: Worker\n"
    return f"{head}        {text}\n"


def test_scenario_has_its_parts_when_right():
    """A right scenario gives hosts with ids, plays with tasks and sets of variables."""
    scenario = load_scenario(SCENARIOS / "two_hosts")
    assert [placement.id for placement in scenario.placements] == ["cloud.master.1.1", "edge.worker.1.1"]
    assert scenario.placements[0].metadata == {"flavour": "big"}
    assert [len(play.tasks["prepare"]) for play in scenario.plays] == [1, 2]
    assert scenario.app_confs["large"] == {"size": 1000}
    assert scenario.artifacts_dir == SCENARIOS / "two_hosts" / "artifacts"


def test_ids_count_services_of_a_layer_when_repeated(write_scenario):
    """Service ids are positions in the layer, copies made by repeat come last (as E2Clab has it)."""
    layers = LAYERS + "        quantity: 2\n        repeat: 1\n      - name: Probe\n"
    scenario = load_scenario(write_scenario(layers=layers))
    ids = [placement.id for placement in scenario.placements if placement.layer == "edge"]
    assert ids == [
        "edge.worker.1.1",
        "edge.worker.1.2",
        "edge.probe.2.1",
        "edge.worker.3.1",
        "edge.worker.3.2",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("quantity: -1", "layers_services.yaml:7: services.quantity: got -1, expected a whole number >= 1."),
        (
            "quantity: 1.5",
            "layers_services.yaml:7: services.quantity: got 1.5, expected a whole number >= 1.",
        ),
        ("repeat: 1.5", "layers_services.yaml:7: services.repeat: got 1.5, expected a whole number >= 0."),
        ("repeat: true", "layers_services.yaml:7: services.repeat: got True, expected a whole number >= 0."),
        ("roles: client", "layers_services.yaml:7: services.roles: got 'client', expected a list."),
        ("env: [a]", "layers_services.yaml:7: services.env: got ['a'], expected a mapping."),
        (
            "quantitty: 2",
            "layers_services.yaml:7: services.quantitty: unknown key 'quantitty'. Did you mean 'quant",
        ),
        ("url: x", "layers_services.yaml:7: services.url: 'url' is set by optiprov in _self."),
        (
            "servers: [a, b]\n        quantity: 3",
            "layers_services.yaml:8: services.quantity: got 3, but serv",
        ),
        (
            "environment: locl",
            "layers_services.yaml:7: services.environment: got 'locl'. Did you mean 'local'?",
        ),
    ],
)
def test_services_are_refused_when_a_key_is_wrong(write_scenario, line, expected):
    """Each wrong key of a service is told with file, line, key, value and what is allowed."""
    problems = problems_of(write_scenario(layers=service(line)))
    assert len(problems) == 1
    assert problems[0].startswith(expected)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            "walltime: 10:00:00",
            "layers_services.yaml:3: environment.walltime: got 36000, a number: YAML turned",
        ),
        (
            "walltime: soon",
            "layers_services.yaml:3: environment.walltime: got 'soon', expected hours:minutes:sec",
        ),
        (
            "jobname: x",
            "layers_services.yaml:3: environment.jobname: unknown key 'jobname'. Did you mean 'job_n",
        ),
        (
            "g5k: {clutser: a}",
            "layers_services.yaml:3: g5k.clutser: unknown key 'clutser'. Did you mean 'cluster'?",
        ),
        ("job_name: 5", "layers_services.yaml:3: environment.job_name: got 5, expected a text."),
        ("job_name: a: b", "layers_services.yaml:3: is not YAML: mapping values are not allowed"),
        ("\tjob_name: a", "layers_services.yaml:3: is not YAML: a tab in the indentation. Indent with spac"),
    ],
)
def test_environment_is_refused_when_a_key_is_wrong(write_scenario, environment, expected):
    """Each wrong key of `environment` is told with file, line and key."""
    layers = LAYERS.replace("  job_name: test\n", "").replace("  local:\n", f"  local:\n  {environment}\n")
    assert problems_of(write_scenario(layers=layers))[0].startswith(expected)


def test_names_are_refused_when_given_twice(write_scenario):
    """Layers twice, services twice (in any case) and keys twice are told with both lines."""
    layers = (
        LAYERS
        + "      - name: worker\n  - name: Cloud\n    services: [{name: A}]\n    services: [{name: B}]\n"
    )
    problems = problems_of(write_scenario(layers=layers))
    assert [problem.split(": ")[0] for problem in problems] == [
        f"layers_services.yaml:{n}" for n in (11, 12, 14)
    ]
    assert "is there twice, first in line 10" in problems[0]
    assert "first in line 5" in problems[1]
    assert "services: is given twice, first in line 13" in problems[2]


@pytest.mark.parametrize(
    ("play", "expected"),
    [
        (
            "hosts: clod.*",
            "workflow.yaml:1: hosts: got 'clod.*', which matches no service. Did you mean 'cloud'?",
        ),
        ("hosts: edge.worker.2", "workflow.yaml:1: hosts: got 'edge.worker.2', which matches no service."),
        ("{}", "workflow.yaml:1: hosts: the key 'hosts' is missing."),
        ("hosts: '*'\n  becom: true", "workflow.yaml:2: becom: unknown key 'becom'. Did you mean 'become'?"),
        ("hosts: '*'\n  tasks: []", "workflow.yaml:2: tasks: unknown key 'tasks'. Tasks stand in the stages"),
        ("hosts: '*'\n  lanch: []", "workflow.yaml:2: lanch: unknown key 'lanch'. Did you mean 'launch'?"),
        ("hosts: '*'\n  depends_on: {}", "workflow.yaml:2: depends_on: got {}, expected a list: write"),
        ("hosts: '*'\n  launch: ls", "workflow.yaml:2: launch: got 'ls', expected a list."),
        ("ls", "workflow.yaml:1: got 'ls', expected a mapping."),
    ],
)
def test_plays_are_refused_when_a_key_is_wrong(write_scenario, play, expected):
    """Each wrong key of a play is told with file, line and key."""
    assert problems_of(write_scenario(f"- {play}\n"))[0].startswith(expected)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            "shel: ls",
            "launch.shel: unknown module 'shel'. Did you mean 'shell'? Modules there are: command, copy",
        ),
        ("shell: ls\n      when: x ==", "launch.when: not a Jinja2 template: "),
        ("shell: ls {{ x | lowr }}", "launch.shell: unknown filter 'lowr'."),
        ("shell: ls\n      loop: x", "launch.loop: got 'x', expected a list, or a template that gives one."),
        ("shell: ls\n      register: a-b", "launch.register: got 'a-b', expected a variable name"),
        ("shell: ls\n      ignore_errors: perhaps", "launch.ignore_errors: got 'perhaps', expected true or"),
        ("file: {path: x, state: dir}", "launch.file: state: got 'dir'. Allowed: absent, directory, file"),
        ("debug: {msg: x, var: y}", "launch.debug: debug takes either 'msg' or 'var'."),
        ("shell: ls\n      nmae: x", "launch.nmae: unknown key 'nmae'. Did you mean 'name'?"),
        ("copy: src=a", "launch.copy: copy needs the argument 'dest'."),
        ("copy: dest=a", "launch.copy: copy needs either 'src' or 'content'."),
        ("copy: {src: a, dst: b}", "copy.dst: unknown key 'dst'. Did you mean 'dest'?"),
        ("shell: {cmd: ls, crates: x}", "shell.crates: unknown key 'crates'. Did you mean 'creates'?"),
        (
            "shell: echo {{ a",
            (
                "launch.shell: not a Jinja2 template: unexpected end of template, expected 'end of print"
                " statement'. Got 'echo {{ a'."
            ),
        ),
        (
            "shell: ls\n      async: soon",
            "launch.async: got 'soon', expected a whole number of seconds >= 0.",
        ),
        ("name: nothing", "launch: a task without a module."),
        ("ls", "launch: got 'ls', expected a task"),
    ],
)
def test_tasks_are_refused_when_wrong(write_scenario, task, expected):
    """Each wrong task is told with file, line and key."""
    problems = problems_of(write_scenario(f"- hosts: all\n  launch:\n    - {task}\n"))
    line = 4 if "\n" in task else 3
    assert any(problem.startswith(f"workflow.yaml:{line}: {expected}") for problem in problems), problems


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("grouping: robin", "workflow.yaml:5: depends_on.grouping: got 'robin'. Did you mean 'round_robin'?"),
        (
            "array_info: ipv6_hostnam",
            "workflow.yaml:5: depends_on.array_info: got 'ipv6_hostnam'. Did you mean 'g5k_ipv6_hostname'?",
        ),
        ("prefixx: m", "workflow.yaml:5: depends_on.prefixx: unknown key 'prefixx'. Did you mean 'prefix'?"),
    ],
)
def test_dependencies_are_refused_when_a_key_is_wrong(write_scenario, entry, expected):
    """Each wrong key of `depends_on` is told with file, line and key."""
    head = "- hosts: all\n  depends_on:\n    - service_selector: cloud\n      prefix: m\n"
    assert problems_of(write_scenario(f"{head}      {entry}\n"))[0].startswith(expected)


def test_prefix_is_refused_when_it_hides_a_variable(write_scenario):
    """A prefix named like a variable that every task has is an error."""
    workflow = "- hosts: all\n  depends_on:\n    - {service_selector: cloud, prefix: _self}\n"
    assert problems_of(write_scenario(workflow))[0].startswith(
        "workflow.yaml:3: depends_on.prefix: got '_self'"
    )


def test_all_problems_are_told_at_once_when_files_have_several(write_scenario):
    """Problems of every file come together, a line each, also across a file that has some itself."""
    directory = write_scenario(
        "- hosts: nowhere\n  launch:\n    - frobnicate: x\n",
        LAYERS + "        quantity: 0\n",
        network="networks:\n  - src: cloud\n    dst: edge\n    loss: 1%\n    dealy: 5ms\n",
        workflow_env="small: 5\n",
    )
    places = [problem.split(": ")[:2] for problem in problems_of(directory)]
    assert places == [
        ["layers_services.yaml:11", "services.quantity"],
        ["network.yaml:5", "networks.dealy"],
        ["workflow.yaml:1", "hosts"],
        ["workflow.yaml:3", "launch.frobnicate"],
        ["workflow_env.yaml:1", "small"],
    ]


def test_network_patterns_are_refused_when_they_match_nothing(write_scenario):
    """network.yaml is checked against the services."""
    directory = write_scenario(network="networks:\n  - src: cloud\n    dst: fog\n    delay: 1ms\n")
    assert problems_of(directory)[0].startswith("network.yaml:3: networks.dst: got 'fog', which matches no")


def test_missing_files_are_told_with_the_misspelled_one(tmp_path):
    """A file that is not there is told, with the file that was probably meant."""
    (tmp_path / "layers_service.yaml").write_text(LAYERS)
    problems = problems_of(tmp_path)
    assert problems[0].startswith("layers_services.yaml:1: is missing. Did you mean 'layers_service.yaml'?")
    assert problems[1].startswith("workflow.yaml:1: is missing.")


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    """The scenario's directory itself has to exist."""
    with pytest.raises(ScenarioError, match="is not a directory"):
        load_scenario(tmp_path / "nowhere")


def test_parallelism_of_the_provenance_service_is_read(write_scenario):
    """Beside E2Clab's other keys; one lane where nothing is said."""
    said = "provenance:\n  provider: g5k\n  ipv: 4\n  parallelism: 3\n"
    scenario = load_scenario(write_scenario(layers=said + LAYERS))
    assert scenario.lanes == 3
    assert load_scenario(write_scenario(layers=LAYERS)).lanes == 1


def test_parallelism_is_refused_when_it_is_no_number_of_lanes(write_scenario):
    """With file, line and key."""
    directory = write_scenario(layers="provenance:\n  parallelism: 99\n" + LAYERS)
    (problem,) = problems_of(directory)
    assert problem.startswith("layers_services.yaml:2: provenance.parallelism: got 99")
