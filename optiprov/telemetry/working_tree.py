"""Whether tracked files differ from the commit, as the files of the repository say.

`git status` would say it too. But it is a child process, which an application sees that waits for its own by
SIGCHLD or `os.wait()`.

The index is that of gitformat-index(5), versions 2 and 3; objects are those of "Git Internals" in Pro Git.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import time
import zlib
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

_LIMIT_S = 1.0
_MAX_CONTENT_BYTES = 64 << 20
_ENTRY = struct.Struct(">10I20sH")
_EXTENSION = struct.Struct(">4sI")
_CHECKSUM_BYTES = 20
_SUBMODULE, _LINK = 0o160000, 0o120000
_ASSUME_VALID, _EXTENDED, _STAGE = 0x8000, 0x4000, 0x3000
_SKIP_WORKTREE, _INTENT_TO_ADD = 0x4000, 0x2000

_Node = Dict[bytes, Union["_Entry", "_Node"]]  # what a directory holds, by name


class _Entry(NamedTuple):
    """A tracked file, as the index has it."""

    name: bytes
    mode: int
    mtime_s: int
    mtime_ns: int
    size: int
    content: bytes
    is_staged_apart: bool  # it is one side of a conflict, or only meant to be added
    is_left_out: bool  # of the working tree


def is_modified(root: str, git_directory: str, objects: str, commit: Optional[str]) -> Optional[bool]:
    """Return whether a tracked file differs from the commit; None where that cannot be told in a second.

    Args:
        root: the working tree.
        git_directory: holds its index.
        objects: the directory of the repository's objects.
        commit: the commit, or None before the first.
    """
    deadline = time.monotonic() + _LIMIT_S
    try:
        index_path = os.path.join(git_directory, "index")
        if not os.path.exists(index_path):
            return False if commit is None else None
        with open(index_path, "rb") as file:
            index = file.read()
        entries, known_tree = _read_index(index)
        written_ns = os.stat(index_path).st_mtime_ns
        for entry in entries:
            if time.monotonic() > deadline:
                return None
            if entry.is_staged_apart or _differs(root, entry, written_ns):
                return True
        return _is_staged(entries, known_tree, objects, commit)
    except (OSError, ValueError, struct.error, zlib.error):
        return None


def _read_index(index: bytes) -> Tuple[List[_Entry], Optional[bytes]]:
    """Return the entries of an index, and the tree that it knows itself to be, if it does.

    Raises:
        ValueError: it is in a form that is not read here.
    """
    magic, version, count = struct.unpack_from(">4sII", index)
    if magic != b"DIRC" or version not in (2, 3):
        raise ValueError("an index of another version")
    offset, entries = 12, []
    for _ in range(count):
        fields = _ENTRY.unpack_from(index, offset)
        flags, start = fields[11], offset + _ENTRY.size
        more = 0
        if flags & _EXTENDED:
            (more,) = struct.unpack_from(">H", index, start)
            start += 2
        end = index.index(b"\0", start)
        entries.append(
            _Entry(
                index[start:end],
                fields[6],
                fields[2],
                fields[3],
                fields[9],
                fields[10],
                bool(flags & _STAGE or more & _INTENT_TO_ADD),
                bool(flags & _ASSUME_VALID or more & _SKIP_WORKTREE or fields[6] == _SUBMODULE),
            )
        )
        offset += (end - offset + 8) & ~7
    tree = None
    while offset < len(index) - _CHECKSUM_BYTES:
        name, size = _EXTENSION.unpack_from(index, offset)
        offset += _EXTENSION.size
        if name[:1].islower():  # one that changes what the entries mean
            raise ValueError(f"an index with {name!r}")
        if name == b"TREE":
            tree = _cached_tree(index[offset : offset + size])
        offset += size
    return entries, tree


def _cached_tree(extension: bytes) -> Optional[bytes]:
    path, _, rest = extension.partition(b"\0")
    counts, _, tree = rest.partition(b"\n")
    is_valid = path == b"" and not counts.startswith(b"-")
    return tree[:20] if is_valid else None


def _differs(root: str, entry: _Entry, written_ns: int) -> bool:
    """Whether a file differs from the index: by its times and size, and where these do, by its content."""
    if entry.is_left_out:
        return False
    path = os.path.join(os.fsencode(root), entry.name)
    try:
        now = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    if stat.S_ISLNK(now.st_mode) != (entry.mode == _LINK) or not (
        stat.S_ISLNK(now.st_mode) or stat.S_ISREG(now.st_mode)
    ):
        return True
    if entry.mode != _LINK and bool(now.st_mode & stat.S_IXUSR) != bool(entry.mode & stat.S_IXUSR):
        return True
    seconds, nanoseconds = divmod(now.st_mtime_ns, 10**9)
    same_time = seconds & 0xFFFFFFFF == entry.mtime_s and entry.mtime_ns in (0, nanoseconds)
    if same_time and now.st_size & 0xFFFFFFFF == entry.size and now.st_mtime_ns < written_ns:
        return False
    return entry.content not in _possible_contents(path, now)


def _possible_contents(path: bytes, now: os.stat_result) -> Iterator[bytes]:
    if stat.S_ISLNK(now.st_mode):
        yield _object_id(b"blob", os.readlink(path))
        return
    if now.st_size > _MAX_CONTENT_BYTES:
        raise ValueError("a file that is too large to be compared")
    with open(path, "rb") as file:
        content = file.read()
    yield _object_id(b"blob", content)
    yield _object_id(b"blob", content.replace(b"\r\n", b"\n"))  # what git may have turned around


def _is_staged(
    entries: List[_Entry], known_tree: Optional[bytes], objects: str, commit: Optional[str]
) -> Optional[bool]:
    """Whether the index differs from the commit."""
    if commit is None:
        return bool(entries)
    committed = _tree_of(objects, commit)
    if committed is None:  # packed: an index that knows its tree has been written by a commit or a checkout
        return False if known_tree is not None else None
    return (known_tree or _tree(_nested(entries))) != committed


def _tree_of(objects: str, commit: str) -> Optional[bytes]:
    """Return the tree of a commit whose object is not packed."""
    try:
        with open(os.path.join(objects, commit[:2], commit[2:]), "rb") as file:
            content = zlib.decompress(file.read()).partition(b"\0")[2]
    except FileNotFoundError:
        return None
    return bytes.fromhex(content[len(b"tree ") :].split(b"\n", 1)[0].decode("ascii"))


def _nested(entries: List[_Entry]) -> _Node:
    top: _Node = {}
    for entry in entries:
        *directories, name = entry.name.split(b"/")
        node = top
        for directory in directories:
            inner = node.setdefault(directory, {})
            if not isinstance(inner, dict):
                raise ValueError("a file and a directory of one name")  # noqa: TRY004 - of the index
            node = inner
        node[name] = entry
    return top


def _tree(node: _Node) -> bytes:
    """Return the id of the tree that a directory of the index would be."""
    rows = []
    for name, held in node.items():
        if isinstance(held, dict):
            rows.append((name + b"/", b"40000 " + name + b"\0" + _tree(held)))
        else:
            rows.append((name, b"%o " % held.mode + name + b"\0" + held.content))
    return _object_id(b"tree", b"".join(row for _, row in sorted(rows)))


def _object_id(kind: bytes, content: bytes) -> bytes:
    return hashlib.sha1(kind + b" %d\0" % len(content) + content).digest()  # noqa: S324 - git's name of it
