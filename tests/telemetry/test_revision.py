"""The revision of code in real git repositories."""

import os
import shutil
import subprocess

import pytest

from optiprov.telemetry.revision import read_revision


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Runs git in tmp_path/repository, which is one with a commit, and returns what it prints."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    repository = tmp_path / "repository"
    (repository / "inner").mkdir(parents=True)

    def run(*arguments):
        command = ["git", "-C", repository, "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    run("init", "--initial-branch=main")
    (repository / "inner" / "train.py").write_text("x = 1\n")
    run("add", ".")
    run("commit", "-m", "first")
    return run


@pytest.fixture
def no_git(monkeypatch, tmp_path):
    """Call it, and there is no git on the PATH any more."""
    (tmp_path / "empty").mkdir()
    return lambda: monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def test_commit_and_whether_files_differ(git, tmp_path):
    """From a directory below; a tracked file that differs is a modification, an untracked one is none."""
    root = str(tmp_path / "repository")
    inner = tmp_path / "repository" / "inner"
    commit = git("rev-parse", "HEAD")
    assert read_revision(str(inner)) == (root, commit, False)
    (inner / "untracked").write_text("")
    assert read_revision(str(inner)) == (root, commit, False)
    (inner / "train.py").write_text("x = 2\n")
    assert read_revision(str(inner)) == (root, commit, True)
    git("add", ".")
    assert read_revision(root) == (root, commit, True)


@pytest.mark.parametrize("state", ["loose", "packed", "detached"])
def test_commit_is_read_without_git(git, no_git, tmp_path, state):
    """From the repository's files; whether they differ is then not known."""
    commit = git("rev-parse", "HEAD")
    if state == "packed":
        git("pack-refs", "--all")
        assert not (tmp_path / "repository" / ".git" / "refs" / "heads" / "main").exists()
    if state == "detached":
        git("checkout", "--detach")
    no_git()
    assert read_revision(str(tmp_path / "repository")) == (str(tmp_path / "repository"), commit, None)


def test_commit_of_a_worktree_is_its_own(git, no_git, tmp_path):
    """Its `.git` is a file that says where; branches are in the shared part."""
    git("worktree", "add", "-b", "other", str(tmp_path / "tree"))
    (tmp_path / "tree" / "new").write_text("")
    for arguments in (("add", "new"), ("commit", "-m", "second")):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=tmp_path / "tree",
            check=True,
            capture_output=True,
        )
    second = git("rev-parse", "other")
    assert second != git("rev-parse", "main")
    assert read_revision(str(tmp_path / "tree")) == (str(tmp_path / "tree"), second, False)
    no_git()
    assert read_revision(str(tmp_path / "tree")) == (str(tmp_path / "tree"), second, None)


def test_repository_without_a_commit_has_none(git, tmp_path):
    """Right after `git init`."""
    shutil.rmtree(tmp_path / "repository" / ".git")
    git("init")
    assert read_revision(str(tmp_path / "repository")) == (str(tmp_path / "repository"), None, False)


def test_slow_git_costs_what_it_knows(git, tmp_path, monkeypatch):
    """It is ended after a second; the commit is read from the files."""
    commit = git("rev-parse", "HEAD")
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "slow" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'slow'}{os.pathsep}{os.environ['PATH']}")
    assert read_revision(str(tmp_path / "repository")) == (str(tmp_path / "repository"), commit, None)


@pytest.mark.usefixtures("git")
def test_variables_of_git_do_not_lead_elsewhere(tmp_path, monkeypatch):
    """A hook of another repository runs with GIT_DIR set."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert read_revision(str(tmp_path / "repository")).is_modified is False


def test_code_outside_of_repositories_has_no_revision(tmp_path):
    """None, and no error."""
    assert read_revision(str(tmp_path)) is None
