"""The services that a user has added: files in a directory of the user's."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from optiprov.deploy.services.reading import read_file
from optiprov.deploy.services.sources import ADDED, added_directory, service_files, sources_in
from optiprov.errors import ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

    from optiprov.deploy.services.sources import ServiceSource


def added_sources() -> list[ServiceSource]:
    """The classes that were added."""
    return sources_in(service_files(added_directory()), ADDED)


def check_file(path: Path) -> list[ServiceSource]:
    """The classes of a file, each ready to be deployed.

    Raises:
        ScenarioError: The file has none, or one that lacks something; the message says where.
    """
    if not path.exists():
        raise ScenarioError(f"{path}: does not exist. Give the file of a class that is made from Service.")
    if path.suffix != ".py" or not path.is_file():
        raise ScenarioError(f"{path}: is no Python file. Give the file of a class that is made from Service.")
    file = read_file(path)
    if file.problem is not None:
        raise ScenarioError(f"{path}:{file.problem[0]}: {file.problem[1]}")
    if not file.classes:
        raise ScenarioError(
            f"{path}:1: has no subclass of Service. Write `from optiprov import Service` and a class "
            "made from it with a method deploy(self)."
        )
    for one in file.leaves:
        if not one.has_deploy:
            raise ScenarioError(
                f"{path}:{one.line}: the class {one.name} has no method deploy(self). Write it."
            )
    return sources_in([file], ADDED)


def add_file(path: Path, *, is_replaced: bool = False) -> tuple[list[ServiceSource], bool]:
    """Copy a file to where all scenarios of the user find its classes.

    Args:
        path: The file.
        is_replaced: Whether a file of this name, or another one with such a class, gives way.

    Returns:
        Its classes, and whether something has changed.

    Raises:
        ScenarioError: The file cannot be used, or another one is there already.
    """
    sources = check_file(path)
    directory = added_directory()
    target = directory / path.name
    if target.exists() and target.read_bytes() == path.read_bytes():
        return sources, False
    names = {source.class_name for source in sources}
    others = [one for one in added_sources() if one.class_name in names and one.path != target]
    taken = [target] if target.exists() else []
    taken += [one.path for one in others if one.path is not None]
    if taken and not is_replaced:
        raise ScenarioError(
            f"{path}: {taken[0]} is there already, with something else in it. Replace it: --replace."
        )
    for other in taken:
        other.unlink(missing_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    shutil.copyfile(path, unfinished)
    unfinished.replace(target)
    return sources, True


def remove_added(name: str) -> Path | None:
    """Remove the file that was added for a class, or that has this name.

    Returns:
        The file that is gone; None where there was none.
    """
    for source in added_sources():
        if source.path is not None and name in (source.class_name, source.path.stem, source.path.name):
            source.path.unlink(missing_ok=True)
            return source.path
    return None
