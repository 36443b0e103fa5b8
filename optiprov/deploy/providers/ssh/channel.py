"""One session with what serves a host: requests and answers by number, several at a time."""

from __future__ import annotations

import builtins
import contextlib
import os
import subprocess
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from optiprov.deploy.remote.frames import read_frame, write_frame
from optiprov.errors import HostUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

PING_INTERVAL_S = 5.0
_CLOSE_TIMEOUT_S = 5.0

Answer = tuple[Any, bytes]


class Channel:
    """A session that has begun. Safe to use from several threads.

    Args:
        process: The ssh that carries it; its standard input and output are pipes.
        describe_loss: Says why it was lost, when it was.
    """

    def __init__(self, process: subprocess.Popen[bytes], describe_loss: Callable[[], str]) -> None:
        self._process = process
        self._describe_loss = describe_loss
        self._lock = threading.Lock()
        self._sending = threading.Lock()  # apart: answers are taken while a long message is sent
        self._pending: dict[int, Future[Answer]] = {}
        self._number = 0
        self._is_over = threading.Event()
        for target in (self._read, self._ping):
            threading.Thread(target=target, name="optiprov-ssh", daemon=True).start()

    @property
    def is_open(self) -> bool:
        """Whether it can be used, as far as is known."""
        return not self._is_over.is_set() and self._process.poll() is None

    def call(self, name: str, *arguments: Any, payload: bytes = b"") -> Answer:
        """Ask, and wait for the answer.

        Raises:
            HostUnavailable: The session is lost.
            OSError: The host refuses; the message has its path.
        """
        return self.begin(name, *arguments, payload=payload).result()

    def begin(self, name: str, *arguments: Any, payload: bytes = b"") -> Future[Answer]:
        """Ask, without waiting for the answer: a value, and bytes.

        Raises:
            HostUnavailable: The session is lost.
        """
        answer: Future[Answer] = Future()
        try:
            with self._lock:
                if self._is_over.is_set():
                    raise BrokenPipeError
                self._number += 1
                number = self._number
                self._pending[number] = answer
            self._send({"name": name, "arguments": arguments, "number": number}, payload)
        except (OSError, ValueError):  # ValueError: closed
            self._lose()
            raise HostUnavailable(self._describe_loss()) from None
        return answer

    def close(self) -> None:
        """End it; what was started goes on."""
        self._is_over.set()
        with contextlib.suppress(OSError, ValueError):
            self._send({"name": "close"})
        self.abandon()

    def abandon(self) -> None:
        """Let it end as it would with this process."""
        self._is_over.set()
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, message: dict[str, Any], payload: bytes = b"") -> None:
        assert self._process.stdin is not None  # noqa: S101  it is a pipe
        with self._sending:
            write_frame(self._process.stdin, message, payload)

    def _ping(self) -> None:
        while not self._is_over.wait(PING_INTERVAL_S):
            with contextlib.suppress(OSError, ValueError):
                self._send({"name": "ping"})

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        with contextlib.suppress(OSError, ValueError), self._process.stdout as stream:
            while (frame := read_frame(stream)) is not None:
                message, payload = frame
                with self._lock:
                    answer = self._pending.pop(message["number"], None)
                if answer is None:  # who asked was told already that the session is lost
                    continue
                if "error" in message:
                    answer.set_exception(_error(message["error"]))
                else:
                    answer.set_result((message["value"], payload))
        self._lose()
        self._end()

    def _lose(self) -> None:
        self._is_over.set()
        with self._lock:
            pending, self._pending = self._pending, {}
        if pending:
            error = HostUnavailable(self._describe_loss())
            for answer in pending.values():
                answer.set_exception(error)


def _error(told: dict[str, Any]) -> Exception:
    """The error that was raised on the host, as it would be here."""
    if told["errno"] is not None:
        return OSError(told["errno"], os.strerror(told["errno"]), told["path"])
    known = getattr(builtins, told["type"], None)
    # Those of encodings are made of more than a text.
    if isinstance(known, type) and issubclass(known, Exception) and not issubclass(known, UnicodeError):
        return known(told["text"])
    return OSError(f"{told['type']}: {told['text']}" if told["type"] != "Error" else told["text"])
