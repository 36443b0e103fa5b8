"""file: directories, links, permissions; and the end of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import DirectModule, ModuleContext, Outcome
from optiprov.deploy.modules.placing import ATTRIBUTES, set_attributes
from optiprov.deploy.template_values import is_true

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NAMES = ("path", "dest", "name")
STATES = ("absent", "directory", "file", "hard", "link", "touch")


class File(DirectModule):
    """Makes a path of the host a directory, a link or an empty file, or removes it; sets permissions."""

    name = "file"
    arguments = (*NAMES, "state", "src", "recurse", "force", *ATTRIBUTES)
    arguments_of_ansible = frozenset(
        {
            "access_time",
            "access_time_format",
            "attributes",
            "follow",
            "modification_time",
            "selevel",
            "serole",
        }
        | {"modification_time_format", "setype", "seuser", "unsafe_writes"}
    )

    def problems(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """A path is needed, a known state, and for a link what it leads to."""
        state = arguments.get("state")
        if not any(name in arguments for name in NAMES):
            yield "file needs the argument 'path'. Add it."
        if state is not None and "{{" not in str(state) and state not in STATES:
            yield f"state: got {state!r}. Allowed: {', '.join(STATES)}."
        if state in ("hard", "link") and "src" not in arguments:
            yield f"state {state!r} needs the argument 'src'. Add it."

    def apply(self, arguments: Mapping[str, Any], context: ModuleContext) -> Outcome:
        """Bring about the state, and say which."""
        path = next(str(arguments[name]) for name in NAMES if name in arguments)
        there = context.host.files.kind(path)
        state = arguments.get("state") or self._default(arguments, there)
        if state not in _STATES:
            raise ValueError(f"state: got {state!r}. Allowed: {', '.join(STATES)}")
        changed = _STATES[state](path, there, arguments, context)
        if state not in ("absent", "link"):
            changed |= set_attributes(path, arguments, context)
            if is_true(arguments.get("recurse", False)):
                below = context.host.files.walk(path)
                made = [set_attributes(one, arguments, context) for one in below]
                changed |= any(made)
        details = {"path": path, "dest": path, "state": "file" if state == "touch" else state}
        return Outcome(changed=changed, message=f"{path}: {state}", details=details)

    @staticmethod
    def _default(arguments: Mapping[str, Any], there: str) -> str:
        if is_true(arguments.get("recurse", False)):
            return "directory"
        return "file" if there in ("absent", "other") else there


def _absent(path: str, there: str, arguments: Mapping[str, Any], context: ModuleContext) -> bool:
    del arguments
    if there != "absent":
        context.host.files.remove(path)
    return there != "absent"


def _directory(path: str, there: str, arguments: Mapping[str, Any], context: ModuleContext) -> bool:
    files = context.host.files
    if there == "directory" or (there == "link" and files.kind(path, follow=True) == "directory"):
        return False
    if there != "absent":
        raise FileExistsError(f"{path} is a {there}, not a directory")
    for made in files.make_directory(path):
        set_attributes(made, arguments, context)
    return True


def _file(path: str, there: str, arguments: Mapping[str, Any], context: ModuleContext) -> bool:
    del arguments, context
    if there == "absent":
        raise FileNotFoundError(f"file ({path}) is absent, cannot continue; `state: touch` makes one")
    if there == "directory":
        raise IsADirectoryError(f"file ({path}) is directory, cannot continue")
    return False


def _touch(path: str, there: str, arguments: Mapping[str, Any], context: ModuleContext) -> bool:
    del there, arguments
    context.host.files.touch(path)
    return True


def _link(path: str, there: str, arguments: Mapping[str, Any], context: ModuleContext) -> bool:
    return _linked(path, there, arguments, context, is_hard=False)


def _hard(path: str, there: str, arguments: Mapping[str, Any], context: ModuleContext) -> bool:
    return _linked(path, there, arguments, context, is_hard=True)


def _linked(
    path: str, there: str, arguments: Mapping[str, Any], context: ModuleContext, *, is_hard: bool
) -> bool:
    files, source = context.host.files, str(arguments["src"])
    is_forced = is_true(arguments.get("force", False))
    if files.is_link_to(path, source, is_hard=is_hard):
        return False
    if there in ("file", "directory") and not is_forced:
        raise FileExistsError(f"refusing to convert from {there} to link for {path}; `force: true` does it")
    if not is_hard and not is_forced and not files.glob(files.beside(path, source)):
        raise FileNotFoundError(f"src file does not exist, use `force: true` if you really want it: {source}")
    if there != "absent":
        files.remove(path)
    files.link(path, source, is_hard=is_hard)
    return True


_STATES: Mapping[str, Callable[[str, str, Mapping[str, Any], ModuleContext], bool]] = {
    "absent": _absent,
    "directory": _directory,
    "file": _file,
    "hard": _hard,
    "link": _link,
    "touch": _touch,
}
