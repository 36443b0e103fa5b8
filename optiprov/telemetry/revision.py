"""The revision of the code: the commit of its git repository, and whether files differ from it."""

from __future__ import annotations

import os
import re
from typing import NamedTuple, Optional, Tuple

_GIT_TIMEOUT_S = 1.0
_COMMIT = re.compile(r"[0-9a-f]{40,64}\Z")


class Revision(NamedTuple):
    """A revision of code.

    Attributes:
        repository: the directory that holds the repository.
        commit: its commit, or None before the first.
        is_modified: whether a tracked file differs from the commit; None where git cannot tell in time.
    """

    repository: str
    commit: Optional[str]
    is_modified: Optional[bool]


def read_revision(directory: str) -> Optional[Revision]:
    """Return the revision of the code in a directory, or None where it is in no repository.

    The commit is read from the repository's files; whether it is modified only `git status` can tell, which
    gets a second.
    """
    found = _repository(directory)
    if found is None:
        return None
    root, git_directory = found
    commit, is_modified = _ask_git(root)
    return Revision(root, commit or _commit(git_directory), is_modified)


def _repository(directory: str) -> Optional[Tuple[str, str]]:
    """Return the working tree that a directory lies in, and the directory of its git files."""
    place = os.path.realpath(directory)
    while True:
        entry = os.path.join(place, ".git")
        if os.path.isdir(entry):
            return place, entry
        if os.path.isfile(entry):  # a worktree or a submodule: the file says where
            text = _text(entry)
            if text.startswith("gitdir:"):
                return place, os.path.join(place, text[len("gitdir:") :].strip())
        above = os.path.dirname(place)
        if above == place:
            return None
        place = above


def _commit(git_directory: str) -> Optional[str]:
    """Return the commit that HEAD stands for, as the files of the repository say."""
    head = _text(os.path.join(git_directory, "HEAD"))
    if not head.startswith("ref:"):
        return head if _COMMIT.match(head) else None
    name = head[len("ref:") :].strip()
    shared = os.path.join(git_directory, _text(os.path.join(git_directory, "commondir")) or ".")
    for place in (git_directory, shared):
        commit = _text(os.path.join(place, name))
        if _COMMIT.match(commit):
            return commit
    for line in _text(os.path.join(shared, "packed-refs")).splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name and _COMMIT.match(commit):
            return commit
    return None


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _ask_git(root: str) -> Tuple[Optional[str], Optional[bool]]:
    """Return the commit and whether tracked files differ; None each where git is absent or slow."""
    import subprocess

    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", root]
    command += ["status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if not commits:
        return None, None  # where the application ignores SIGCHLD, a git that failed looks as if it had not
    commit = commits[0] if _COMMIT.match(commits[0]) else None
    return commit, any(not line.startswith("#") for line in lines)
