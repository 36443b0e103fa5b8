"""What a module is: a name, its arguments, and either a command for a host or work on its files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from optiprov.deploy.providers.base import Host


class Module(ABC):
    """What a task can do. Modules have no state, one instance serves all tasks and threads.

    Attributes:
        name: Ansible's name of it.
        arguments: The arguments that it takes.
        required: Those that must be given.
        free_form: The argument for which a plain text stands; None where a text is `key=value ...`.
        arguments_not_yet: Ansible's arguments that a later version takes.
    """

    name: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]]
    required: ClassVar[tuple[str, ...]] = ()
    free_form: ClassVar[str | None] = None
    arguments_not_yet: ClassVar[frozenset[str]] = frozenset()

    def problems(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with arguments that are all known and complete."""
        del arguments
        return iter(())


class CommandModule(Module):
    """A module that runs a process on the host."""

    @abstractmethod
    def argv(self, arguments: Mapping[str, Any], host: Host) -> list[str]:
        """The command, from rendered arguments."""


class FileModule(Module):
    """A module that moves files between the scenario and a host."""

    @abstractmethod
    def apply(self, arguments: Mapping[str, Any], context: FileContext) -> str:
        """Do the work with rendered arguments, and say in a line what was done.

        Raises:
            OSError: A file is missing or cannot be written.
            ValueError: An argument is wrong.
        """


@dataclass(frozen=True)
class FileContext:
    """What a file module works with.

    Attributes:
        host: The host.
        sources: Directories in which a relative `src` is looked for, in turn.
        fetched_dir: Where relative destinations of fetched files lie.
        render: Renders a text with the variables of the task.
    """

    host: Host
    sources: tuple[Path, ...]
    fetched_dir: Path
    render: Callable[[str], str]

    def source(self, src: str) -> Path:
        """The file or directory of the scenario that `src` names.

        Raises:
            FileNotFoundError: It is in none of the directories.
        """
        for directory in self.sources:
            candidate = directory / src
            if candidate.exists():
                return candidate
        looked = " and ".join(str(directory) for directory in self.sources)
        raise FileNotFoundError(f"src {src!r} is not there; looked in {looked}")


def parse_mode(mode: Any) -> int | None:
    """The permission bits of a `mode` argument: octal digits, or the number YAML made of them.

    >>> oct(parse_mode("0755"))
    '0o755'

    Raises:
        ValueError: The mode is symbolic or no octal number.
    """
    if mode is None or mode == "preserve":
        return None
    if isinstance(mode, int):
        return mode
    try:
        return int(str(mode), 8)
    except ValueError:
        raise ValueError(f"mode must be octal digits such as '0644', got {mode!r}") from None
