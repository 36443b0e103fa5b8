import subprocess
from pathlib import Path

import pytest

from optiprov.deploy.providers import namespace
from optiprov.deploy.providers.isolation import Isolation, Mask
from optiprov.deploy.providers.namespace import Namespace

from .test_isolation import BY_USER, needs_namespaces

pytestmark = needs_namespaces


@pytest.fixture
def isolate(tmp_path):
    """Makes an isolation with a private directory that has a file, and closes it."""
    made = []

    def make():
        hidden, private = tmp_path / "hidden", tmp_path / "private"
        for directory in (hidden, private):
            directory.mkdir(exist_ok=True)
        (private / "file").write_text("private")
        made.append(Isolation([Mask(hidden, private)], [], tmp_path / "fstab"))
        return made[-1], str(hidden)

    yield make
    for isolation in made:
        isolation.close()


def output(isolation, command, chdir):
    """Status and output of a command inside."""
    argv = isolation.enter(["sh", "-c", command], chdir)
    completed = subprocess.run(argv, capture_output=True, text=True, check=False)
    return completed.returncode, completed.stdout


@pytest.mark.parametrize("nsenter", ["sets the directory", "does not", "is missing"])
def test_processes_run_inside_whatever_the_machine_has(isolate, monkeypatch, nsenter):
    """With an older nsenter a shell sets the directory, without one each process makes its own namespace."""
    if nsenter == "does not":
        monkeypatch.setattr(namespace, "sets_directory", lambda: False)
    if nsenter == "is missing":
        monkeypatch.setattr(namespace, "_nsenter", lambda: None)
    isolation, hidden = isolate()
    assert output(isolation, "pwd; cat file; exit 3", hidden) == (3, f"{hidden}\nprivate")
    assert output(isolation, "true", f"{hidden}/nowhere")[0] != 0


def test_processes_share_one_namespace(isolate):
    """It is made once; another host has another."""
    first, hidden = isolate()
    second, _ = isolate()
    link = "readlink /proc/self/ns/mnt"
    inside = output(first, link, hidden)
    assert inside == output(first, link, hidden)
    assert len({inside, output(second, link, hidden), (0, f"{Path('/proc/self/ns/mnt').readlink()}\n")}) == 3


def test_what_has_entered_goes_on_when_the_namespace_is_closed(isolate):
    """Closing lets go of it; processes in it keep it."""
    isolation, hidden = isolate()
    argv = isolation.enter(["sh", "-c", "echo in; read line; cat file"], hidden)
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert output(isolation, "true", hidden)[0] == 0
    assert process.stdout.readline() == "in\n"
    isolation.close()
    assert process.communicate("go\n")[0] == "private"


def test_namespace_is_none_when_it_cannot_be_made(tmp_path):
    """A mount that fails leaves the way that tells why: each process makes its own."""
    fstab = tmp_path / "fstab"
    fstab.write_text(f"{tmp_path}/nowhere {tmp_path}/there none rbind 0 0\n")
    made = Namespace(BY_USER[0], fstab)
    assert made.enter("/") is None
    made.close()
