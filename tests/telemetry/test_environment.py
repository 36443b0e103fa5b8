"""The environment of a process: true, and without secrets."""

import json
import platform
import sys
import time
from pathlib import Path

import psutil
import pytest

from optiprov.telemetry.environment import read_environment, safe_variables
from tests.conftest import ROOT

PRINT = (
    "import json; from optiprov.telemetry.environment import read_environment as r; print(json.dumps(r()))"
)


def test_environment_is_what_other_sources_say():
    """Host, system, processors, memory, Python and packages; the time is now."""
    environment = read_environment()
    properties = environment.properties
    assert properties["host"] == platform.node()
    assert properties["os"] == f"{platform.system()} {platform.release()}"
    assert properties["machine"] == platform.machine()
    assert properties["cpu_count"] == psutil.cpu_count()
    assert properties["usable_cpu_count"] == len(psutil.Process().cpu_affinity())
    assert properties["memory_bytes"] == psutil.virtual_memory().total
    assert properties["python"] == f"cpython {platform.python_version()}"
    assert properties["username"] == psutil.Process().username()
    assert environment.packages["duckdb"]
    assert abs(environment.captured_us - time.time() * 1e6) < 60e6
    json.dumps(environment)


def test_command_line_is_the_one_given_and_the_code_that_of_the_program(run_python, tmp_path):
    """The interpreter's own arguments, too; a program without a file has the code of its directory."""
    output, _ = run_python(PRINT, "--lr", "0.1")
    properties = json.loads(output)[1]
    assert properties["command_line"] == [sys.executable, "-c", PRINT, "--lr", "0.1"]
    assert properties["directory"] == str(Path.cwd())
    program = tmp_path / "program.py"
    program.write_text(PRINT)
    output, _ = run_python(f"import runpy, sys; sys.argv = [{str(program)!r}]; runpy.run_path(sys.argv[0])")
    assert json.loads(output)[1]["repository"] is None


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
def test_revision_is_that_of_the_program(run_python):
    """A program in this repository."""
    output, _ = run_python(f"import sys; sys.argv = [{str(ROOT / 'Makefile')!r}]; {PRINT}")
    properties = json.loads(output)[1]
    assert properties["repository"] == str(ROOT)
    assert len(properties["revision"]) == 40


def test_secrets_of_arguments_and_variables_are_nowhere(run_python):
    """In options, in addresses, in variables of ours and of others."""
    secret = "hunter22secret"
    output, _ = run_python(
        PRINT,
        "--password",
        secret,
        f"--token={secret}",
        OPTIPROV_BROKER=f"mqtt://edge:{secret}@broker:1883",
        OPTIPROV_TOKEN=secret,
        PROVLIGHT_PASSWORD=secret,
        AWS_SECRET_ACCESS_KEY=secret,
        HOME_OF_SECRETS=secret,
        OMP_NUM_THREADS="3",
    )
    assert secret not in output
    variables = json.loads(output)[3]
    assert variables["OPTIPROV_BROKER"] == "mqtt://***@broker:1883"
    assert variables["OMP_NUM_THREADS"] == "3"


def test_variables_are_those_of_a_list():
    """Nothing of the environment is recorded unless it is known to be of use."""
    given = {"PATH": "/bin", "OMP_NUM_THREADS": "2", "OPTIPROV_STUDY": "s", "MY_DATA": "x", "TZ": "y" * 5000}
    assert safe_variables(given) == {"OMP_NUM_THREADS": "2", "OPTIPROV_STUDY": "s", "TZ": "y" * 1000}


def test_command_line_of_older_pythons_is_that_of_the_process(run_python):
    """They have no sys.orig_argv."""
    output, _ = run_python(f"import sys; del sys.orig_argv; {PRINT}", "--lr", "é")
    command_line = json.loads(output)[1]["command_line"]
    assert command_line[:2] == [sys.executable, "-c"]
    assert command_line[3:] == ["--lr", "é"]


def test_working_directory_that_is_gone_costs_itself_only(run_python, tmp_path):
    """A program may outlive the directory it was started in."""
    (tmp_path / "gone").mkdir()
    code = f"import os; os.chdir({str(tmp_path / 'gone')!r}); os.rmdir(os.getcwd()); {PRINT}"
    properties = json.loads(run_python(code)[0])[1]
    assert (properties["directory"], properties["repository"]) == ("", None)
    assert properties["host"] == platform.node()
