"""The revision of the code: the commit of its git repository, and whether files differ from it."""

from __future__ import annotations

import os
import re
from typing import NamedTuple, Optional, Tuple

from optiprov.telemetry.working_tree import is_modified

_COMMIT = re.compile(r"[0-9a-f]{40,64}\Z")


class Revision(NamedTuple):
    """A revision of code.

    Attributes:
        repository: the directory that holds the repository.
        commit: its commit, or None before the first.
        is_modified: whether a tracked file differs from the commit; None where that cannot be told.
    """

    repository: str
    commit: Optional[str]
    is_modified: Optional[bool]


def read_revision(directory: str) -> Optional[Revision]:
    """Return the revision of the code in a directory, or None where it is in no repository.

    All of it is read from the repository's files: no process is started.
    """
    found = _repository(directory)
    if found is None:
        return None
    root, git_directory = found
    commit = _commit(git_directory)
    objects = os.path.join(_shared(git_directory), "objects")
    return Revision(root, commit, is_modified(root, git_directory, objects, commit))


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
    shared = _shared(git_directory)
    for place in (git_directory, shared):
        commit = _text(os.path.join(place, name))
        if _COMMIT.match(commit):
            return commit
    for line in _text(os.path.join(shared, "packed-refs")).splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name and _COMMIT.match(commit):
            return commit
    return None


def _shared(git_directory: str) -> str:
    """Return the directory of what all working trees of a repository share."""
    return os.path.join(git_directory, _text(os.path.join(git_directory, "commondir")) or ".")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
