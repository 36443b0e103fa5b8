"""`optiprov check`: what it prints, in which form, and how little it needs for that."""

import json
import subprocess
import sys

import pytest

LAYERS = """\
environment:
  chameleonedge:
layers:
  - name: edge
    services:
      - {name: Client, roles: [sensor], messages: 3}
"""


@pytest.fixture
def scenario(tmp_path):
    """A scenario for Chameleon with a set of variables."""
    (tmp_path / "layers_services.yaml").write_text(LAYERS)
    (tmp_path / "workflow.yaml").write_text("- hosts: edge\n  launch:\n    - shell: echo {{ env_rounds }}\n")
    (tmp_path / "workflow_env.yaml").write_text("small: {rounds: 3}\n")
    return tmp_path


def test_what_deploying_would_refuse_is_told(optiprov, scenario):
    """The scenario is right all the same."""
    status, output, errors = optiprov("check", scenario)
    assert (status, errors) == (0, "")
    lines = output.splitlines()
    assert lines[:3] == [
        *(
            f"{scenario}: fine, 1 host.",
            "  edge.client.1.1 on chameleonedge",
            "Deploying it would be refused:",
        ),
    ]
    assert lines[3].startswith(
        f"  {scenario}/layers_services.yaml:2: environment.chameleonedge: hosts of 'chameleonedge' cannot"
    )


def test_provider_replaces_testbeds(optiprov, scenario):
    """What the scenario named is told beside it."""
    status, output, _ = optiprov("check", scenario, "--provider", "local")
    assert status == 0
    assert output == f"{scenario}: fine, 1 host.\n  edge.client.1.1 on local, for chameleonedge\n"


def test_sets_that_are_not_there_are_told(optiprov, scenario):
    """Each of those given, separated by commas."""
    status, output, errors = optiprov("check", scenario, "--app-conf", "small, smal")
    assert (status, output) == (2, "")
    assert "workflow_env.yaml:1: has no set 'smal'. Did you mean 'small'?" in errors
    for option in ("--app-conf", "--app_conf"):  # the second is E2Clab's spelling
        assert optiprov("check", scenario, option, "small")[0] == 0


def test_what_would_have_no_effect_is_told(optiprov, scenario):
    """A rule of network.yaml in whose place another one holds; as text and for programs."""
    rules = "- {src: edge, dst: edge, delay: 28ms}\n- {src: edge, dst: edge, delay: 5ms}\n"
    (scenario / "network.yaml").write_text(f"networks:\n{rules}")
    layers = scenario / "layers_services.yaml"
    layers.write_text(layers.read_text().replace("name: Client", "name: Client, quantity: 2"))
    _, output, _ = optiprov("check", scenario, "--provider", "local")
    said = "holds for 2 pairs of hosts in place of that of line 2."
    assert output.splitlines()[-2:] == [
        "Deployed, it would lack:",
        f"  {scenario}/network.yaml:3: networks.delay: {said}",
    ]
    (notice,) = json.loads(optiprov("check", scenario, "--format", "json")[1])["notices"]
    assert (notice["line"], notice["message"]) == (3, said)


def test_json_has_hosts_problems_and_obstacles(optiprov, scenario):
    """For programs: the same, with its parts apart."""
    told = json.loads(optiprov("check", scenario, "--format", "json")[1])
    assert told["hosts"] == [
        {
            "id": "edge.client.1.1",
            "environment": "chameleonedge",
            "testbed": "chameleonedge",
            "roles": ["sensor"],
            "metadata": {"messages": 3},
            "deployed_by": None,
        }
    ]
    assert (told["problems"], told["obstacles"][0]["key"]) == ([], "environment.chameleonedge")
    (scenario / "workflow.yaml").write_text("- hosts: cloud\n")
    status, output, _ = optiprov("check", scenario, "--format", "json")
    (problem,) = json.loads(output)["problems"]
    assert status == 2
    assert (problem["file"], problem["line"], problem["key"]) == (f"{scenario}/workflow.yaml", 1, "hosts")


def test_schema_is_printed_without_a_scenario(optiprov):
    """Of each file; another name is refused."""
    status, output, _ = optiprov("check", "--schema", "network")
    assert status == 0
    assert json.loads(output)["title"] == "optiprov: network.yaml"
    assert optiprov("check", "--schema", "netwrk")[0] == 2


def test_check_needs_neither_what_deploys_nor_heavy_libraries(scenario, clean_environment):
    """It ends before these would have been imported."""
    code = (
        "import sys; sys.argv = ['optiprov', 'check', '.']\n"
        "from optiprov.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=scenario,
        env=clean_environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith(".: fine, 1 host.")
    loaded = set(done.stderr.split())
    heavy = {"pydantic", "numpy", "pandas", "ray", "duckdb", "ansible", "paho", "psutil"}
    assert loaded & (heavy | {"optiprov.deploy.deployment", "optiprov.deploy.execution"}) == set()
