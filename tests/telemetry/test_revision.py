"""The revision of code in real git repositories."""

import os
import shutil
import subprocess

import pytest

from optiprov.telemetry.revision import read_revision

NAMES = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")


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
    """From the repository's files, as whether they differ."""
    commit = git("rev-parse", "HEAD")
    if state == "packed":
        git("pack-refs", "--all")
        assert not (tmp_path / "repository" / ".git" / "refs" / "heads" / "main").exists()
    if state == "detached":
        git("checkout", "--detach")
    no_git()
    assert read_revision(str(tmp_path / "repository")) == (str(tmp_path / "repository"), commit, False)


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
    assert read_revision(str(tmp_path / "tree")) == (str(tmp_path / "tree"), second, False)


def test_repository_without_a_commit_has_none(git, tmp_path):
    """Right after `git init`."""
    shutil.rmtree(tmp_path / "repository" / ".git")
    git("init")
    assert read_revision(str(tmp_path / "repository")) == (str(tmp_path / "repository"), None, False)


CHANGES = {
    "nothing": [],
    "touched": ["touch -d 2020-01-01 a.txt"],
    "content of the same size": ["printf 'y\\n' > a.txt"],
    "removed": ["rm inner/train.py"],
    "staged": ["printf 'y\\n' > a.txt", "git add a.txt"],
    "staged and taken back": [
        "cp -p a.txt b", "echo y > a.txt", "git add a.txt", "git restore --staged a.txt", "mv b a.txt",
    ],
    "staged, then as before": ["cp -p a.txt b", "echo y > a.txt", "git add a.txt", "mv b a.txt"],
    "new file staged": ["echo z > inner/new", "git add inner/new"],
    "untracked": ["echo z > new"],
    "renamed": ["git mv a.txt inner/b.txt"],
    "executable": ["chmod +x a.txt"],
    "a link in its place": ["rm a.txt", "ln -s inner/train.py a.txt"],
    "link changed": ["ln -sf inner link"],
    "meant to be added": ["echo z > new", "git add -N new"],
    "removed from the index": ["git rm --cached -q a.txt"],
    "committed": ["echo z > a.txt", "git commit -qam second"],
    "ignored by a flag": ["git update-index --skip-worktree a.txt", "rm a.txt"],
    "stashed": ["echo z > a.txt", "git stash -q"],
    "conflict": [
        "git checkout -q -b side", "echo z > a.txt", "git commit -qam side", "git checkout -q main",
        "echo y > a.txt", "git commit -qam main", "git merge -q side || true",
    ],
    "packed, nothing": ["git gc -q"],
    "packed, content": ["git gc -q", "echo z > a.txt"],
    "packed, another branch": ["git gc -q", "git checkout -q -b other"],
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_whether_files_differ_is_what_git_says(git, tmp_path, change):
    """In each state that a working tree can be in, without a process of git."""
    root = tmp_path / "repository"
    (root / "a.txt").write_text("x\n")
    (root / "inner.txt").write_text("sorts between inner and what is in it\n")
    (root / "link").symlink_to("a.txt")
    git("add", ".")
    git("commit", "-q", "-m", "more")
    identity = dict.fromkeys(NAMES, "a@b")
    for command in CHANGES[change]:
        subprocess.run(command, shell=True, cwd=root, check=True, env={**os.environ, **identity})  # noqa: S602
    said = git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    assert read_revision(str(root)).is_modified is bool(said)


def test_clone_is_not_modified_until_it_is(git, tmp_path):
    """All of its objects are packed, as on a machine that checks out what it tests."""
    git("gc", "-q")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", f"file://{tmp_path / 'repository'}", clone], check=True)
    assert read_revision(str(clone)) == (str(clone), git("rev-parse", "HEAD"), False)
    (clone / "inner" / "train.py").write_text("x = 3\n")
    assert read_revision(str(clone)).is_modified is True


@pytest.mark.parametrize("damage", [b"", b"DIRC", b"DIRC\0\0\0\4\0\0\0\1", b"DIRC\0\0\0\2\0\0\0\5x" * 9])
def test_index_that_cannot_be_read_is_not_known(git, tmp_path, damage):
    """Cut off, of another version, garbage: no answer, and no error."""
    (tmp_path / "repository" / ".git" / "index").write_bytes(damage)
    assert read_revision(str(tmp_path / "repository")).is_modified is None
    assert git("rev-parse", "HEAD")


def test_application_sees_no_child_of_ours(git, tmp_path, run_python):
    """One that waits for its own children, or handles SIGCHLD, gets nothing else."""
    code = """
import os, signal
from optiprov import Workflow
from optiprov.capture import get_client
seen = []
signal.signal(signal.SIGCHLD, lambda *_: seen.append("SIGCHLD"))
wf = Workflow("f"); wf.begin(); wf.end()
assert get_client()._environment is not None
try:
    os.wait()
    seen.append("a child")
except ChildProcessError:
    pass
print(seen)
"""
    program = tmp_path / "repository" / "program.py"
    program.write_text(code)
    run = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    assert run_python(run, program, OPTIPROV_ENVIRONMENT="1")[0] == "[]\n"
    assert git("rev-parse", "HEAD")


@pytest.mark.usefixtures("git")
def test_variables_of_git_do_not_lead_elsewhere(tmp_path, monkeypatch):
    """A hook of another repository runs with GIT_DIR set."""
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert read_revision(str(tmp_path / "repository")).is_modified is False


def test_code_outside_of_repositories_has_no_revision(tmp_path):
    """None, and no error."""
    assert read_revision(str(tmp_path)) is None
