"""Imports the class of a service: of a package, or of a file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.services.base import Service
from optiprov.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from optiprov.deploy.services.sources import ServiceSource

NO_ENOSLIB = (
    "enoslib is not installed. Install it, or have the class use self.run, self.copy and what else Service "
    "has."
)
COMPAT = Path(__file__).resolve().parents[2] / "compat"


def load_class(source: ServiceSource) -> type[Service]:
    """The class; its module is run, from a file each time anew.

    Raises:
        DeploymentError: It cannot be imported, or is no subclass of `Service`.
    """
    with imports_for(source):
        try:
            module = _of_file(source.path) if source.path else importlib.import_module(source.module or "")
            found = getattr(module, source.class_name, None)
        except (Exception, SystemExit) as error:  # the boundary to code of users
            raise DeploymentError(f"{where(source, error)}: cannot be imported: {reason(error)}") from error
    if not isinstance(found, type) or not issubclass(found, Service):
        raise DeploymentError(
            f"{source.place}: {source.class_name} is no subclass of optiprov.Service, which services have "
            "to be made from."
        )
    return found


@contextmanager
def imports_for(source: ServiceSource) -> Iterator[None]:
    """Let code of a service import `e2clab.services`, which is ours, and what lies beside its file.

    The latter comes last: a file of the artifacts may be called as a module of Python's that we import.
    """
    before, after = [str(COMPAT)], [str(source.path.parent)] if source.path is not None else []
    sys.path[:] = [*before, *sys.path, *after]
    try:
        yield
    finally:
        for path in (*before, *after):
            if path in sys.path:
                sys.path.remove(path)


def where(source: ServiceSource, error: BaseException) -> str:
    """The file and the line of a service's code at which an error came up."""
    if source.path is None:
        return source.place
    if isinstance(error, SyntaxError) and error.filename == str(source.path):
        return f"{source.path}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(source.path)]
    return f"{source.path}:{lines[-1] if lines else source.line}"


def reason(error: BaseException) -> str:
    """An error of a service's code, for messages."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "enoslib":
        return NO_ENOSLIB
    return f"{type(error).__name__}: {error}"


def _of_file(path: Path) -> ModuleType:
    name = f"optiprov_service_{hashlib.sha1(str(path).encode(), usedforsecurity=False).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101  it is a file of Python
    assert spec.loader is not None  # noqa: S101  as above
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look for it there
    spec.loader.exec_module(module)
    return module
