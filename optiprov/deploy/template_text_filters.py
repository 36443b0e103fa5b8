"""Ansible's filters of texts and paths: patterns, encodings, hashes, quoting, names of files."""

from __future__ import annotations

import base64
import glob
import hashlib
import os.path
import re
import shlex
import time
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optiprov.deploy.template_values import TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ANSIBLE_NAMESPACE = uuid.UUID("361E6D51-FAEC-444A-9079-341386DA8E2E")
"""The namespace of `to_uuid`, as Ansible documents it."""


def _flags(ignorecase: Any, multiline: Any, dotall: Any = False) -> re.RegexFlag:
    flags = re.RegexFlag(0)
    for flag, is_set in ((re.IGNORECASE, ignorecase), (re.MULTILINE, multiline), (re.DOTALL, dotall)):
        flags |= flag if is_set else re.RegexFlag(0)
    return flags


def _regex_replace(
    value: Any,
    pattern: str = "",
    replacement: str = "",
    ignorecase: Any = False,
    multiline: Any = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    text, made = re.compile(pattern, _flags(ignorecase, multiline)).subn(replacement, str(value), count)
    if mandatory_count and mandatory_count != made:
        raise TemplateError(f"regex_replace: replaced {made} times, expected {mandatory_count}")
    return text


def _regex_search(
    value: Any, pattern: str, *groups: str, ignorecase: Any = False, multiline: Any = False
) -> Any:
    r"""The match, or the groups asked for: `'\\\\1'` by number, `'\\\\g<name>'` by name."""
    match = re.search(pattern, str(value), _flags(ignorecase, multiline))
    if match is None:
        return None
    if not groups:
        return match.group()
    return [match.group(_group(group)) for group in groups]


def _group(reference: str) -> int | str:
    if named := re.fullmatch(r"\\g<(\w+)>", reference):
        return int(named[1]) if named[1].isdigit() else named[1]
    if numbered := re.fullmatch(r"\\(\d+)", reference):
        return int(numbered[1])
    raise TemplateError(rf"regex_search: got the group {reference!r}, expected '\\1' or '\\g<name>'")


def _regex_findall(value: Any, pattern: str, multiline: Any = False, ignorecase: Any = False) -> list[Any]:
    return re.findall(pattern, str(value), _flags(ignorecase, multiline))


def _regex_escape(value: Any, re_type: str = "python") -> str:
    text = str(value)
    return re.escape(text) if re_type == "python" else re.sub(r"([].[^$*\\])", r"\\\1", text)


def _quote(value: Any) -> str:
    return shlex.quote("" if value is None else str(value))


def _b64encode(value: Any, encoding: str = "utf-8", *, urlsafe: bool = False) -> str:
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return encode(str(value).encode(encoding)).decode()


def _b64decode(value: Any, encoding: str = "utf-8", *, urlsafe: bool = False) -> str:
    decode = base64.urlsafe_b64decode if urlsafe else base64.b64decode
    return decode(str(value)).decode(encoding)


def _hash(value: Any, hashtype: str = "sha1") -> str:
    return hashlib.new(hashtype, str(value).encode()).hexdigest()


def _md5(value: Any) -> str:
    return _hash(value, "md5")


def _to_uuid(value: Any, namespace: Any = ANSIBLE_NAMESPACE) -> str:
    return str(uuid.uuid5(uuid.UUID(str(namespace)), str(value)))


def _split(value: Any, separator: str | None = None, maxsplit: int = -1) -> list[str]:
    return str(value).split(separator, maxsplit)


def _comment(value: Any, style: str = "plain", decoration: str | None = None) -> str:
    marks = {"plain": "# ", "erlang": "% ", "c": "// ", "cblock": " * ", "xml": " - "}
    around = {"cblock": ("/*", " */"), "xml": ("<!--", "-->")}
    mark = marks[style] if decoration is None else decoration
    lines = [f"{mark}{line}".rstrip() for line in ("", *str(value).split("\n"), "")]
    first, last = around.get(style, ((), ()))
    return "\n".join([*([first] if first else []), *lines, *([last] if last else [])])


def _strftime(format_text: str, second: Any = None, *, utc: bool = False) -> str:
    at = time.time() if second is None else float(second)
    return time.strftime(format_text, time.gmtime(at) if utc else time.localtime(at))


def _to_datetime(value: Any, format_text: str = "%Y-%m-%d %H:%M:%S") -> datetime:
    return datetime.strptime(str(value), format_text)  # noqa: DTZ007  the format says whether there is a zone


def _path_join(value: Any) -> str:
    return os.path.join(*value) if isinstance(value, list | tuple) else str(value)  # noqa: PTH118  a path of the host


def _relpath(value: str, start: str = ".") -> str:
    return os.path.relpath(value, start)


def _fileglob(pattern: str) -> list[str]:
    return sorted(found for found in glob.glob(pattern) if os.path.isfile(found))  # noqa: PTH113, PTH207  the whole path is a pattern


TEXT_FILTERS: Mapping[str, Callable[..., Any]] = {
    "b64decode": _b64decode,
    "b64encode": _b64encode,
    "basename": lambda value: os.path.basename(str(value)),  # noqa: PTH119  texts, not paths of this machine
    "checksum": _hash,
    "comment": _comment,
    "commonpath": os.path.commonpath,
    "dirname": lambda value: os.path.dirname(str(value)),  # noqa: PTH120  a path of the host
    "expanduser": os.path.expanduser,
    "expandvars": os.path.expandvars,
    "fileglob": _fileglob,
    "hash": _hash,
    "md5": _md5,
    "normpath": os.path.normpath,
    "path_join": _path_join,
    "quote": _quote,
    "realpath": os.path.realpath,
    "regex_escape": _regex_escape,
    "regex_findall": _regex_findall,
    "regex_replace": _regex_replace,
    "regex_search": _regex_search,
    "relpath": _relpath,
    "sha1": _hash,
    "split": _split,
    "splitext": lambda value: list(os.path.splitext(value)),  # noqa: PTH122  as above
    "strftime": _strftime,
    "to_datetime": _to_datetime,
    "to_uuid": _to_uuid,
}
