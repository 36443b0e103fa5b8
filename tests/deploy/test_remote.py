"""What runs on hosts that are reached by SSH: on each Python from 3.8 on that this machine has."""

import json
import os
import subprocess

import pytest

from optiprov.deploy.providers.ssh.bootstrap import READY, running_command, serving_command, serving_input
from optiprov.deploy.providers.ssh.machine import Machine
from optiprov.deploy.remote.frames import read_frame, write_frame
from tests.capture.test_old_python import interpreters


class Served:
    """What serves a host, without an ssh in between.

    Args:
        machine: How it is started.
    """

    def __init__(self, machine, supervised=""):
        self.process = subprocess.Popen(
            ["sh", "-c", serving_command(machine)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.process.stdin.write(b"" + serving_input(machine, "deployment", supervised))
        self.process.stdin.flush()
        assert self.process.stdout.readline() == READY
        self.facts = read_frame(self.process.stdout)[0]["value"]

    def call(self, name, *arguments, payload=b""):
        """Ask, and return the answer."""
        write_frame(self.process.stdin, {"name": name, "arguments": arguments, "number": 1}, payload)
        return read_frame(self.process.stdout)

    def close(self):
        """End it, by the end of its input."""
        with self.process:
            self.process.stdin.close()
        assert self.process.returncode == 0


@pytest.mark.parametrize("version", interpreters())
def test_host_is_served_and_runs_tasks_by_any_python_from_3_8_on(version, tmp_path):
    """Files, ports, spools and tasks; nothing is left when the deployment is removed."""
    machine = Machine("here", python=interpreters()[version], directory=str(tmp_path / "there"))
    served = Served(machine, "OPTIPROV_DEPLOYMENT=test")
    directory = served.facts["directory"]
    assert directory == str(tmp_path / "there" / "deployment")
    served.call("write", f"{directory}/a/b", "", 0o600, None, None, payload=b"content")
    assert served.call("files", "checksum", [f"{directory}/a/b"], {})[0]["value"].startswith("040f06fd")
    served.call("files", "link", [f"{directory}/a/hard", f"{directory}/a/b"], {"is_hard": True})
    served.call("files", "link", [f"{directory}/a/soft", "b"], {"is_hard": False})
    is_link = served.call("files", "is_link_to", [f"{directory}/a/soft", "b"], {"is_hard": False})
    assert is_link[0]["value"] is True
    assert served.call("read", f"{directory}/a/soft", 2, 3)[1] == b"nte"
    assert served.call("read", f"{directory}/none", 0, -1)[0]["error"]["type"] == "FileNotFoundError"
    assert served.call("hold_spools", f"{directory}/spool")[0]["value"] == {}
    assert served.call("allot_port")[0]["value"] >= 20_000
    status, output = run(served, machine, ["sh", "-c", "pwd; echo $OWN; exit 4"], {"OWN": "own"})
    assert (status, output) == (4, f"{directory}\nown\n")
    assert run(served, machine, ["sh", "-c", "kill -9 $$"], {})[0] == 128 + 9
    assert run(served, machine, ["no-such-program"], {})[0] == 127
    served.call("remove")
    assert not (tmp_path / "there").exists()
    served.close()


def run(served, machine, argv, environment):
    """Run a task as sshd does; its status and output."""
    directory = served.facts["directory"]
    environment = {"PATH": os.environ["PATH"], **environment}
    asked = {"argv": argv, "chdir": directory, "environment": environment}
    served.call("ask", "task", payload=json.dumps(asked).encode())
    with subprocess.Popen(
        ["sh", "-c", running_command(machine, directory, "task")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        output = process.stdout.read().decode()
        process.wait()
    return process.returncode, output


def test_marks_that_are_none_end_nothing(tmp_path):
    """An empty mark would be in every environment."""
    served = Served(Machine("here", directory=str(tmp_path / "there")), supervised="")
    with subprocess.Popen(["sleep", "300"]) as process:
        served.call("end", [])
        served.call("end", [""])
        served.close()
        assert process.poll() is None
        process.kill()
