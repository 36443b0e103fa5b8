"""fetch: a file of the host into the deployment's directory."""

from __future__ import annotations

import hashlib
import os.path
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import DirectModule, ModuleContext, Outcome
from optiprov.deploy.template_values import is_true

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_LEADS_OUT = (
    "dest {dest!r} leads out of the host's folder below fetched/. Leave out '..', or give an absolute path."
)


class Fetch(DirectModule):
    """Brings a file or directory of the host to this machine.

    A relative `dest`, or one below the host's `working_dir` (E2Clab users write
    `dest: {{ working_dir }}/results/`), lies below `fetched/<host id>/`, and may not lead out of
    there by `..`. An absolute one is taken as it is if `flat`, else gets `<host id>/<path on the
    host>` appended, as Ansible does.
    """

    name = "fetch"
    arguments = ("src", "dest", "flat", "fail_on_missing", "validate_checksum")
    required = ("src", "dest")

    def problems(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """A `dest` that leads out of fetched/; one with a template is looked at when it is rendered."""
        dest = str(arguments["dest"])
        if "{" not in dest and _leads_out(Path(dest)):
            yield _LEADS_OUT.format(dest=dest)

    def apply(self, arguments: Mapping[str, Any], context: ModuleContext) -> Outcome:
        """Fetch, and say where to; a file that is here already is not fetched again."""
        src = str(arguments["src"])
        target = self._target(src, str(arguments["dest"]), is_true(arguments.get("flat", False)), context)
        checksum = context.host.files.checksum(src)
        details = {"dest": str(target), "file": src, "checksum": checksum}
        if checksum is not None and target.is_file() and checksum == _sha1(target):
            return Outcome(changed=False, message=f"{src} is at {target} already", details=details)
        try:
            context.host.fetch(src, target)
        except FileNotFoundError:
            if is_true(arguments.get("fail_on_missing", True)):
                raise
            message = "the remote file does not exist, not transferring, ignored"
            return Outcome(changed=False, message=message, details={"file": src})
        return Outcome(changed=True, message=f"fetched {src} to {target}", details=details)

    @staticmethod
    def _target(src: str, dest: str, flat: bool, context: ModuleContext) -> Path:  # noqa: FBT001  Ansible's name
        path = Path(dest)
        if path.is_absolute() and path.is_relative_to(context.host.working_dir):
            path = path.relative_to(context.host.working_dir)
        if path.is_absolute() and not flat:
            return path / context.host.id / src.lstrip("/")
        if _leads_out(path):
            raise ValueError(_LEADS_OUT.format(dest=dest))
        target = context.fetched_dir / context.host.id / path
        if dest.endswith("/") or target.is_dir():
            target /= Path(src).name
        return target


def _leads_out(path: Path) -> bool:
    return not path.is_absolute() and Path(os.path.normpath(path)).parts[:1] == (os.pardir,)


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
