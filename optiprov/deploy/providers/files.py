"""What modules ask of the files of a host, wherever the host is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["absent", "directory", "file", "link", "other"]


class HostFiles(ABC):
    """The files of one host; paths are those that its processes see, relative to the working directory.

    Safe to use from several threads. Methods raise OSError, with the path, where the host refuses.
    """

    @abstractmethod
    def absolute(self, path: str) -> str:
        """The absolute path, as the host's processes see it."""

    @abstractmethod
    def kind(self, path: str, *, follow: bool = False) -> Kind:
        """What there is at a path; a link is `link` unless it is followed."""

    @abstractmethod
    def glob(self, pattern: str) -> Sequence[str]:
        """The paths that a pattern with `*`, `?`, `[...]` matches."""

    @abstractmethod
    def walk(self, path: str) -> Sequence[str]:
        """Everything below a directory."""

    @abstractmethod
    def checksum(self, path: str) -> str | None:
        """The SHA-1 of a file, None if there is none."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The content of a file."""

    @abstractmethod
    def mode(self, path: str) -> int:
        """The permission bits of what a path leads to."""

    @abstractmethod
    def set_mode(self, path: str, mode: int) -> None:
        """Set the permission bits of what a path leads to."""

    @abstractmethod
    def set_owner(self, path: str, owner: Any, group: Any) -> bool:
        """Give it a user and a group, by name or number; None leaves it. Returns whether that changed it."""

    @abstractmethod
    def make_directory(self, path: str) -> Sequence[str]:
        """Make a directory and those above it; the paths that were made."""

    @abstractmethod
    def touch(self, path: str) -> None:
        """Make an empty file, or set the times of what is there to now."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file, a link, or a directory with all that it has."""

    @abstractmethod
    def link(self, path: str, target: str, *, is_hard: bool) -> None:
        """Make a link to a target."""

    @abstractmethod
    def is_link_to(self, path: str, target: str, *, is_hard: bool) -> bool:
        """Whether a path is such a link."""

    @abstractmethod
    def beside(self, path: str, target: str) -> str:
        """Where a link at a path leads with this target."""

    @abstractmethod
    def copy_directory(self, src: str, dest: str, *, content_only: bool) -> bool:
        """Copy a directory of the host, or its content, into a directory; whether that changed it."""
