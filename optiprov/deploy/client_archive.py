"""The capture client as one zip file, for hosts that have no optiprov: put it on PYTHONPATH.

It has what applications import (`optiprov`, `provlight`, `dfa_lib_python`), and runs on Python 3.8 and later.
It does not hold paho-mqtt: the host has its own, or gets this environment's in a zip file beside (it is plain
Python). Without one, what is recorded waits in the host's spool, and is sent from there when the deployment
is finalized.
"""

from __future__ import annotations

import uuid
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ARCHIVE_NAME = "optiprov-client.zip"
PAHO_NAME = "paho-mqtt.zip"
PACKAGES = ("records", "wire", "telemetry", "capture")
INTERFACES = ("provlight", "dfa_lib_python")
_MODULES = ("__init__.py", "errors.py")
_OURS = Path(__file__).resolve().parents[1]
_DATE = (1980, 1, 1, 0, 0, 0)  # the oldest that a zip can have: the same client is the same file


def write_client_archive(path: Path) -> Path:
    """Write the client; the same version of it is the same bytes.

    Args:
        path: The file; it appears when it is complete.

    Returns:
        The path.
    """
    return _write(path, _files())


def write_paho_archive(path: Path) -> Path:
    """Write this environment's paho-mqtt, as `write_client_archive` writes the client."""
    import paho.mqtt

    package = Path(paho.mqtt.__file__).parents[1]
    return _write(path, _modules(package, package.parent))


def _write(path: Path, files: Iterable[tuple[str, Path]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(
        f".{path.name}.{uuid.uuid4().hex}.part"
    )  # hosts are given theirs side by side
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sorted(files):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, source.read_bytes())
    unfinished.replace(path)
    return path


def _files() -> Iterator[tuple[str, Path]]:
    """Yield what the archive holds: names in it, and files here."""
    for name in _MODULES:
        yield f"optiprov/{name}", _OURS / name
    for package in PACKAGES:
        yield from _modules(_OURS / package, _OURS.parent)
    for interface in INTERFACES:
        yield from _modules(_OURS / "compat" / interface, _OURS / "compat")


def _modules(directory: Path, root: Path) -> Iterator[tuple[str, Path]]:
    for path in directory.rglob("*.py"):
        yield path.relative_to(root).as_posix(), path
