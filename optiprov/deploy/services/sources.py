"""Where classes of services come from: the scenario, what the user has added, what is installed, ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.deploy.artifacts import mentions_services
from optiprov.deploy.frozen import frozen
from optiprov.deploy.services.reading import read_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optiprov.deploy.services.reading import ServiceFile

SCENARIO, ADDED, INSTALLED, SHIPPED = "scenario", "added", "installed", "shipped"
GROUP = "optiprov.services"
"""The group of entry points by which packages bring services: `NAME = module:Class`."""

SHIPPED_CLASSES = {
    "Container": "optiprov.deploy.services.container",
    "Mosquitto": "optiprov.deploy.services.mosquitto",
    "Provenance": "optiprov.deploy.services.provenance",
}


@frozen
class ServiceSource:
    """A class of a service, and where it comes from.

    Attributes:
        name: The name of services that it is for.
        origin: `scenario`, `added`, `installed` or `shipped`.
        class_name: The class.
        path: Its file; None for a class of a package.
        module: Its module; None for a file.
        line: Where the class begins in its file.
        about: The first line of its docstring, as far as it is known without importing it.
        words: The texts in its file, in lower case; None where they are not known.
        enoslib_line: Where its file imports EnOSlib, None where it does not.
    """

    name: str
    origin: str
    class_name: str
    path: Path | None = None
    module: str | None = None
    line: int = 1
    about: str = ""
    words: frozenset[str] | None = None
    enoslib_line: int | None = None

    @property
    def place(self) -> str:
        """The file and line of the class, or its module."""
        return f"{self.path}:{self.line}" if self.path is not None else f"{self.module}:{self.class_name}"

    def shown(self, directory: Path) -> str:
        """The place, relative to a directory if it lies there."""
        return self.place.removeprefix(f"{directory.resolve()}/")


def service_files(directory: Path) -> list[ServiceFile]:
    """The files of a directory that may have services, read."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == ".py")
    except OSError:
        return []
    return [read_file(path) for path in paths if mentions_services(str(path))]


def added_directory() -> Path:
    """Where `optiprov services add` puts files: $XDG_DATA_HOME/optiprov/services."""
    data = os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser()
    return Path(data) / "optiprov" / "services"


def installed_sources() -> dict[str, ServiceSource]:
    """What installed packages bring, by the name; nothing is imported."""
    from importlib.metadata import entry_points

    found = {}
    for point in entry_points(group=GROUP):
        module, _, class_name = point.value.partition(":")
        name = class_name.strip() or point.name
        found[point.name] = ServiceSource(point.name, INSTALLED, name, module=module.strip())
    return found


def shipped_sources() -> dict[str, ServiceSource]:
    """Ours, by the name."""
    return {
        name: ServiceSource(name, SHIPPED, name, module=module, about=_ABOUT[name], words=frozenset())
        for name, module in SHIPPED_CLASSES.items()
    }


def sources_in(files: list[ServiceFile], origin: str) -> list[ServiceSource]:
    """All classes of some files, each for services of its own name."""
    return [
        ServiceSource(
            one.name,
            origin,
            one.name,
            path=file.path,
            line=one.line,
            about=one.about,
            words=file.words,
            enoslib_line=file.enoslib_line,
        )
        for file in files
        for one in file.leaves
    ]


_ABOUT: Mapping[str, str] = {
    "Container": "A container of an image, where Docker answers on the host.",
    "Mosquitto": "An MQTT broker, mosquitto.",
    "Provenance": "A provenance service: broker, store and HTTP.",
}
