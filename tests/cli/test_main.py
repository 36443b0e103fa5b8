"""Exit statuses: wrong input is told without a traceback."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from optiprov.cli import main as cli_main
from optiprov.errors import DeploymentError, QueryError, StudyInterrupted


def test_help_of_all_commands_is_given():
    """`-h` and `--help` exit 0; every command is listed, and the exit statuses are."""
    runner = CliRunner()
    for option in ("-h", "--help"):
        result = runner.invoke(cli_main.cli, [option])
        assert result.exit_code == 0
        assert [name for name in cli_main.COMMANDS if f"\n  {name} " not in result.output] == []
        assert "130 interrupted" in " ".join(result.output.split())


@pytest.mark.parametrize("name", cli_main.COMMANDS)
def test_help_of_a_command_is_given(name):
    """Each command has its own help, with examples of itself."""
    result = CliRunner().invoke(cli_main.cli, [name, "--help"])
    assert result.exit_code == 0
    assert f"optiprov {name} " in result.output.partition("Examples:")[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nothing"], "No such option '--nothing'"),
        (["check"], "Missing argument 'SCENARIO'"),
        (["check", "/no/scenario"], "/no/scenario: is not a directory"),
        (["doctor", "extra"], "unexpected extra argument"),
        (["query"], "Which store?"),
        (["query", "--store", "ftp://x"], "'ftp://x' is no store"),
        (["query", "--store", "x", "--where", "accuracy"], "write FIELD OPERATOR VALUE"),
        (["query", "--store", "x", "--agg", "accuracy"], "write FUNCTION:FIELD"),
        (["query", "--store", "x", "--limit", "-1"], "-1 is not in the range"),
        (["query", "--store", "x", "--format", "xml"], "'xml' is not one of"),
        (["sql"], "Give one SELECT, or --tables."),
        (["sql", "SELECT 1", "--tables"], "Give one SELECT, or --tables."),
        (["sql", "SELECT 1"], "Which store?"),
        (["sql", "--tables", "--store", "ftp://x"], "'ftp://x' is no store"),
        (["serve", "--store", "ftp://x"], "'ftp://x' is no store"),
        (["serve", "--mqtt-port", "99999"], "99999 is not in the range"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_exits_2_without_a_traceback(optiprov, arguments, message):
    """The message says what was got; nothing goes to standard output."""
    status, output, errors = optiprov(*arguments)
    assert (status, output) == (2, "")
    assert message in errors
    assert "Traceback" not in errors


def test_scenario_problems_are_told_with_file_line_and_key(optiprov, tmp_path):
    """`check` prints every problem as file:line: key."""
    (tmp_path / "layers_services.yaml").write_text(
        "environment: {local: }\nlayers:\n- name: cloud\n  services:\n  - name: M\n    quantity: none\n"
    )
    (tmp_path / "workflow.yaml").write_text("- hosts: fog\n")
    status, _, errors = optiprov("check", tmp_path)
    assert status == 2
    assert f"{tmp_path}/layers_services.yaml:6: services.quantity: got 'none'" in errors
    assert f"{tmp_path}/workflow.yaml:1: hosts: got 'fog'" in errors


def test_scenario_that_is_fine_is_told_with_its_hosts(optiprov, tmp_path):
    """`check` lists the hosts that there would be."""
    (tmp_path / "layers_services.yaml").write_text(
        "environment: {local: }\nlayers:\n- name: cloud\n  services:\n  - {name: M, quantity: 2}\n"
    )
    (tmp_path / "workflow.yaml").write_text("[]\n")
    status, output, errors = optiprov("check", tmp_path)
    assert (status, errors) == (0, "")
    assert output == f"{tmp_path}: fine, 2 hosts.\n  cloud.m.1.1 on local\n  cloud.m.1.2 on local\n"


@pytest.mark.parametrize(
    "command", [["query"], ["sql", "--tables"], ["serve", "--mqtt-port", "0", "--http-port", "0"]]
)
@pytest.mark.parametrize("is_what", ["a text file", "a directory"])
def test_what_is_no_store_exits_2(optiprov, tmp_path, command, is_what):
    """Another file, or a directory: which, what it is, and what to give."""
    path = tmp_path / "x"
    path.mkdir() if is_what == "a directory" else path.write_text("no database")
    status, output, errors = optiprov(*command, "--store", path)
    assert (status, output) == (2, "")
    assert str(path) in errors
    assert is_what in errors
    assert "Give the file of a store" in errors


@pytest.mark.parametrize("command", [["query"], ["sql", "--tables"]])
def test_store_that_does_not_exist_exits_2(optiprov, tmp_path, command):
    """It is named, and what to do to have one is told."""
    status, output, errors = optiprov(*command, "--store", tmp_path / "nowhere")
    assert (status, output) == (2, "")
    assert f"Error: {tmp_path}/nowhere: there is no such store." in errors


def test_unknown_command_exits_2(optiprov):
    """The word that is no command is told."""
    status, output, errors = optiprov("qurey")
    assert (status, output) == (2, "")
    assert "No such command 'qurey'" in errors


def test_unknown_command_is_told_with_the_one_probably_meant(optiprov):
    """A misspelled command comes with a suggestion."""
    assert "query" in optiprov("qurey")[2]


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (StudyInterrupted("3 of 9 trials"), 130, "Interrupted: 3 of 9 trials"),
        (DeploymentError("task failed"), 1, "Error: task failed"),
        (QueryError("no such field"), 2, "Error: no such field"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_become_exit_statuses(optiprov, monkeypatch, error, status, message):
    """What a command raises is told in a line, and decides the exit status."""

    def fail(**_):
        raise error

    monkeypatch.setattr("optiprov.cli.check.command.callback", fail)
    got, output, errors = optiprov("check", "x")
    assert (got, output, errors.strip()) == (status, "", message)


def test_optimize_exits_2_when_there_is_no_such_file(clean_environment, tmp_path):
    """In a process of its own, for `optimize` sets the environment of the one it runs in."""
    done = subprocess.run(
        [sys.executable, "-m", "optiprov.cli", "optimize", "nothing.py"],
        cwd=tmp_path,
        env=clean_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing.py: there is no such file" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
