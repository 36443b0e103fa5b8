"""What Python 3.11 does not have of the kernel's calls for namespaces. Standard library only."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


def make_network_namespace() -> int:
    """Bring this thread into a network namespace of its own.

    Returns:
        A descriptor that keeps the namespace, and by which others enter it.

    Raises:
        OSError: The kernel refuses.
    """
    _check(_libc.unshare(_CLONE_NEWNET))
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)


def enter_network_namespace(descriptor: int) -> None:
    """Bring this thread into a network namespace.

    Raises:
        OSError: The kernel refuses.
    """
    _check(_libc.setns(descriptor, _CLONE_NEWNET))


def end_with_parent(parent: int) -> None:
    """Have this process killed as soon as the thread that started it ends.

    Args:
        parent: The process that started this one; if it has ended already, this one ends at once.
    """
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)


def time_precisely() -> None:
    """Have waits of this process end on time, not 50 us later in the company of others."""
    _check(_libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0))


def in_a_thread(function: Callable[[], T]) -> T:
    """Call a function that enters namespaces in a thread of its own: this one stays where it is."""
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001  the boundary of a thread: it is raised below
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
