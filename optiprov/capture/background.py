"""Threads of ours beside the application's: what they import, and forks.

A child that is forked while a thread imports a module waits for ever where it imports the same module: it
inherits the module's lock, and no thread that would release it. So a fork waits until our threads' imports
are done. Modules that register handlers of forks themselves in pairs, as `logging` does, are imported before
the thread starts: a fork that waited would call the one behind without the one before.
"""

from __future__ import annotations

import os
import threading

_FORK_WAITS_S = 5.0

_importing = threading.Lock()
_is_held = False


def importing() -> threading.Lock:
    """Return the lock that a background thread holds while it imports modules."""
    return _importing


def _before_fork() -> None:
    global _is_held
    _is_held = _importing.acquire(timeout=_FORK_WAITS_S)


def _after_fork_in_parent() -> None:
    global _is_held
    if _is_held:
        _is_held = False
        _importing.release()


def _after_fork_in_child() -> None:
    global _importing, _is_held
    _importing = threading.Lock()
    _is_held = False


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
