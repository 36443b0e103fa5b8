"""What a module is: a name, its arguments, and either a command for a host or work done without one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from optiprov.deploy.providers.base import Host


@frozen
class Outcome:
    """What a module did.

    Attributes:
        changed: Whether the host is another than before.
        message: What was done, in a line.
        details: What the task registers beside `changed` and `msg`, by Ansible's names.
        is_skipped: Whether there was nothing to do.
        output: What the task's log gets, if that is more than the message.
    """

    changed: bool
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    is_skipped: bool = False
    output: str | None = None


@frozen
class ModuleContext:
    """What a module works with.

    Attributes:
        host: The host.
        sources: Directories in which a relative `src` is looked for, in turn.
        fetched_dir: Where relative destinations of fetched files lie.
        render_file: Renders the text of a file with the variables of the task.
        evaluate: The value of an expression with the variables of the task.
        label: A file name that no other execution on the host has.
    """

    host: Host
    sources: tuple[Path, ...]
    fetched_dir: Path
    render_file: Callable[..., str]
    evaluate: Callable[[str], Any]
    label: str

    def source(self, src: str) -> Path:
        """The file or directory of the scenario that `src` names.

        E2Clab's `working_dir` is the artifacts' directory in the stages prepare and launch, so what its
        users take from there is sought like a relative path.

        Raises:
            FileNotFoundError: It is in none of the directories.
        """
        path = Path(src)
        if path.is_relative_to(self.host.working_dir):
            path = path.relative_to(self.host.working_dir)
        for directory in self.sources:
            candidate = directory / path
            if candidate.exists():
                return candidate
        looked = " and ".join(str(directory) for directory in self.sources)
        raise FileNotFoundError(f"src {src!r} is not there; looked in {looked}")


class Module(ABC):
    """What a task can do. Modules have no state, one instance serves all tasks and threads.

    Attributes:
        name: Ansible's name of it.
        arguments: The arguments that it takes.
        required: Those that must be given.
        free_form: The argument for which a plain text stands; None where a text is `key=value ...`.
        free_form_words: The arguments that may stand in such a text as `key=value`.
        arguments_of_ansible: Arguments with which only ansible-core runs it.
    """

    name: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]]
    required: ClassVar[tuple[str, ...]] = ()
    free_form: ClassVar[str | None] = None
    free_form_words: ClassVar[frozenset[str]] = frozenset()
    arguments_of_ansible: ClassVar[frozenset[str]] = frozenset()

    def problems(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with arguments that are all known and complete."""
        del arguments
        return iter(())


class CommandModule(Module):
    """A module that runs a process on the host.

    Attributes:
        strips_output: Whether what is registered of its output is without empty lines at the end.
    """

    strips_output: ClassVar[bool] = True

    @abstractmethod
    def argv(self, arguments: Mapping[str, Any], context: ModuleContext) -> list[str]:
        """The command, from rendered arguments.

        Raises:
            OSError: A file that it needs is missing.
            ValueError: An argument is wrong.
        """


class DirectModule(Module):
    """A module that needs no process on the host: it moves files, or tells something."""

    @abstractmethod
    def apply(self, arguments: Mapping[str, Any], context: ModuleContext) -> Outcome:
        """Do the work with rendered arguments.

        Raises:
            OSError: A file is missing or cannot be written.
            ValueError: An argument is wrong.
        """
