import os
import shutil
import subprocess
from pathlib import Path

import pytest

from optiprov.deploy import isolation_note
from optiprov.deploy.providers import isolation
from optiprov.deploy.providers.isolation import Isolation, Mask, namespace_commands

UNSHARE = shutil.which("unshare") or "unshare"
BY_USER = (
    (UNSHARE, "--user", "--map-root-user", "--mount", "--propagation", "private", "--"),
    (UNSHARE, "--user", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}", "--"),
)
TMP = Path("/tmp")  # noqa: S108  it is hidden behind a private one
needs_namespaces = pytest.mark.skipif(namespace_commands() is None, reason="the kernel gives no namespaces")


@pytest.fixture
def places(tmp_path):
    """Stand-ins for /tmp and a HOME below it, with a visible project in each, and private directories."""
    tmp, home = tmp_path / "tmp", tmp_path / "tmp" / "home"
    for project in (tmp / "a project", home / "project"):
        project.mkdir(parents=True)
        (project / "file").write_text(project.name)
    (home / "secret").touch()
    private = tmp / "a project" / "host"
    for name in ("tmp", "home"):
        (private / name).mkdir(parents=True)
    masks = [Mask(tmp, private / "tmp"), Mask(home, private / "home")]
    return Isolation(masks, [tmp / "a project", home / "project"], tmp_path / "fstab"), tmp, home, private


def run(isolated, command, chdir="/"):
    """The output of a shell command in the namespace."""
    completed = subprocess.run(
        isolated.enter(["sh", "-c", command], chdir), capture_output=True, text=True, check=False
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@needs_namespaces
@pytest.mark.parametrize("commands", [namespace_commands(), BY_USER], ids=["as root", "by user namespace"])
def test_masked_directories_are_private_and_visible_ones_stay(places, monkeypatch, commands):
    """What is written to masked paths lands in the private directories; projects below them stay visible."""
    isolated, tmp, home, private = places
    monkeypatch.setattr(isolated, "_commands", commands)
    seen = run(
        isolated, f"cat '{tmp}/a project/file' {home}/project/file; ls {home}; id -u", str(home / "project")
    )
    assert seen.split() == ["a", "projectprojectproject", str(os.getuid())]
    run(isolated, f"echo 1 > {tmp}/new; echo 2 > {home}/new; echo 3 > new", str(tmp / "a project"))
    assert (private / "tmp" / "new").read_text() == "1\n"
    assert (private / "home" / "new").read_text() == "2\n"
    assert (tmp / "a project" / "new").read_text() == "3\n"
    assert not (tmp / "new").exists()
    assert isolated.outside(f"{tmp}/new") == private / "tmp" / "new"
    assert isolated.outside(f"{home}/../home/new") == private / "home" / "new"
    assert isolated.outside(f"{home}/project/x") == home / "project" / "x"


@needs_namespaces
def test_isolation_note_is_none_when_there_are_namespaces():
    """There is nothing to tell where hosts have a /tmp of their own."""
    assert isolation_note() is None


def test_paths_are_translated_and_a_warning_given_when_there_are_no_namespaces(tmp_path, monkeypatch, caplog):
    """Without namespaces commands get the private paths, but not where a visible directory is meant."""
    monkeypatch.setattr(isolation, "namespace_commands", lambda: None)
    assert "no /tmp of their own" in isolation_note()
    isolation._warn_once.cache_clear()
    private = tmp_path / "host" / "tmp"
    private.mkdir(parents=True)
    for _ in range(2):
        isolated = Isolation([Mask(TMP, private)], [TMP / "visible"], tmp_path / "fstab")
    assert caplog.text.count("no /tmp of their own") == 1
    assert not isolated.is_private
    assert (
        isolated.translate("python3 /tmp/app.py </tmp >x/tmp/y")
        == f"python3 {private}/app.py <{private} >x/tmp/y"
    )
    assert isolated.translate("ls '/tmp/visible/a' /tmpfile") == "ls '/tmp/visible/a' /tmpfile"
    assert run(isolated, "echo 1 > /tmp/new; pwd", str(TMP)) == f"{private}\n"
    assert (private / "new").read_text() == "1\n"
