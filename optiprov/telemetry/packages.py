"""The packages that are installed for this Python."""

from __future__ import annotations

import os
import re
import sys
from typing import Dict, Iterable, Optional, Tuple

_SEPARATORS = re.compile(r"[-_.]+")


def installed_packages(places: Optional[Iterable[str]] = None) -> Dict[str, str]:
    """Return the versions of the installed packages by their normalized names (PEP 503).

    The names of the metadata directories tell; importlib.metadata would open hundreds of files.

    Args:
        places: directories, the first goes first; by default sys.path.
    """
    found: Dict[str, str] = {}
    for place in sys.path if places is None else places:
        try:
            with os.scandir(place or os.curdir) as entries:
                names = [entry.name for entry in entries]
        except OSError:  # a zip file, or a directory that is not there
            continue
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                package, version = _package(place, name)
                if version:
                    found.setdefault(_SEPARATORS.sub("-", package).lower(), version)
    return dict(sorted(found.items()))


def _package(place: str, name: str) -> Tuple[str, str]:
    """Return name and version; of an egg-info, `name[-version[-pyX.Y]]`, the version may be in a file."""
    stem, kind = os.path.splitext(name)
    if kind == ".dist-info":
        package, _, version = stem.rpartition("-")
        return package, version
    package, _, version = stem.partition("-")
    return package, version.partition("-")[0] or _version_within(place, name)


def _version_within(place: str, name: str) -> str:
    """Return the version that a source tree's `name.egg-info` has inside."""
    try:
        with open(os.path.join(place, name, "PKG-INFO"), encoding="utf-8", errors="replace") as metadata:
            for line in metadata:
                if line.startswith("Version:"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""
