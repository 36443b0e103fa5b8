"""The capture client of a process: an identity, a spool and a publisher.

Capture never raises into the application and never blocks it beyond the flush deadline: where no spool can
be made, records are counted as lost and a warning says so.
"""

from __future__ import annotations

import _thread
import atexit
import itertools
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from optiprov.capture.background import importing
from optiprov.capture.environment import EnvironmentCapture
from optiprov.capture.leftover_thread import LeftoverThread
from optiprov.capture.settings import DEFAULT_FLUSH_TIMEOUT_S, Settings
from optiprov.capture.spool import SpoolWriter
from optiprov.capture.spool_reader import SpoolReader
from optiprov.capture.warnings import warn
from optiprov.errors import UrlError
from optiprov.records import Record, new_id
from optiprov.wire import Header, encode_record, encode_row

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from optiprov.capture.publisher import Publisher
    from optiprov.capture.segment import SegmentWriter
    from optiprov.wire import ShapeTuple


_STOP_S = 0.5  # of the flush deadline, kept for the publisher to stop
_LEAST_STOP_S = 0.1  # where all of the deadline is gone
_LEFTOVERS_S = 1.0  # of the flush deadline, at most, for what others left to be acknowledged
_LOOK_S = 0.0002  # whether the client is made
_MAX_ROW_BYTES = 1 << 20  # what is larger goes as a record, which knows a limit


class Client:
    """Emits records with the delivery guarantee: nothing lost, nothing twice. Thread-safe.

    Args:
        settings: where to spool and send, and which trial the process belongs to.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.id = new_id()
        self.lost = 0
        self.item_numbers = itertools.count(1)  # atomic, other than += 1
        self._header = Header(
            self.id,
            1,
            1,
            os.uname().nodename,
            os.getpid(),
            _user(),
            settings.trial,
            settings.study,
            settings.campaign,
        )
        self._is_closed = False
        self._spool = self._make_spool()
        self.publisher: Optional[Publisher] = None
        self._environment: Optional[EnvironmentCapture] = None
        if self._spool is not None and settings.broker is not None:
            from optiprov.capture.publisher import Publisher

            reader = SpoolReader(self._spool.directory)
            self.publisher = Publisher(
                reader, self._spool.state, self._header, settings.broker, settings.topic
            )
            self.publisher.start()

    def _make_spool(self) -> Optional[SpoolWriter]:
        identity = dict(self._header._asdict(), topic=self.settings.topic)
        import tempfile
        from pathlib import Path  # here and below: what costs milliseconds to import is imported on use

        from optiprov.capture.bounds import Room

        fallback = Path(tempfile.gettempdir()) / f"optiprov-spool-{os.getuid()}"
        for place in (self.settings.spool, fallback):
            try:
                room = Room(place, self.settings.spool_max_bytes)
                return SpoolWriter(place / self.id, identity, take_room=room.take)
            except OSError as error:
                warn("no spool can be made in %s: %s", place, error)
        warn("provenance of this process is lost; set OPTIPROV_SPOOL to a writable directory")
        return None

    @property
    def spool_directory(self) -> Optional[Path]:
        """Where this client's records lie until they are acknowledged."""
        return self._spool.directory if self._spool is not None else None

    def new_item_id(self) -> str:
        """Return an id for a data item, unique in the world."""
        return f"{self.id}:{self.new_item_number()}"

    def new_item_number(self) -> int:
        """Return a number for a data item: its id is `<client>:<number>`, unique in the world."""
        return next(self.item_numbers)

    def emit(self, record: Record) -> None:
        """Put a record into the spool; when this returns, a SIGKILL does not lose it."""
        if self._spool is None or not self._spool.append(encode_record(record)):
            self.lost += 1
            return
        if self.publisher is not None:
            self.publisher.notify()

    def emit_row(self, shape: ShapeTuple, row: List[Any]) -> bool:
        """Put a record into the spool as a row of a shape; False where it has to be emitted as a record.

        Args:
            shape: what it has in common with others.
            row: what differs, without the shape's number.
        """
        spool = self._spool
        if spool is None:
            return False
        try:
            text = encode_row(row)
        except Exception:  # noqa: BLE001 - values are of any type, and may raise anything
            return False
        if len(text) > _MAX_ROW_BYTES:
            return False
        try:
            is_stored = spool.append_row(b"," + text[1:].encode("ascii"), shape)
        except TypeError:  # what cannot be hashed is no text
            return False
        if is_stored is None:
            return False
        if not is_stored:
            self.lost += 1
        elif self.publisher is not None:
            self.publisher.notify()
        return True

    def packed_segment(self, shape: ShapeTuple) -> Optional[Tuple[SegmentWriter, bytes]]:
        """Return where packed rows of a shape can be written, and their marker; None where nowhere."""
        return None if self._spool is None else self._spool.packed(shape)

    def flush(self, timeout_s: Optional[float] = None) -> bool:
        """Wait until all that was emitted is stored; False where it is not within the time."""
        if self._spool is None or self.publisher is None or self._spool.is_closed:
            return False
        limit = self.settings.flush_timeout_s if timeout_s is None else timeout_s
        return self.publisher.flush(self._spool.head, limit)

    def capture_environment(self) -> None:
        """Start to capture the environment of the process, once, where the settings ask for it."""
        if self.settings.environment and self._environment is None:
            self._environment = EnvironmentCapture(self.emit)
            self._environment.start()

    def flush_all(self, timeout_s: Optional[float] = None) -> bool:
        """Wait for the environment, then flush, both within a time, by default the flush deadline."""
        left_s = self.settings.flush_timeout_s if timeout_s is None else timeout_s
        if self._environment is not None:
            left_s = self._environment.wait(left_s)
        return self.flush(left_s)

    def close(self) -> bool:
        """Flush and stop within the flush deadline; what is not stored stays in the spool, for others.

        Returns:
            Whether all that was emitted is stored.
        """
        if self._spool is None or self._is_closed:
            return False
        self._is_closed = True
        self._spool.count_lost()
        limit = self.settings.flush_timeout_s
        deadline = time.monotonic() + limit
        is_stored = self.flush_all(limit - min(_STOP_S, limit / 4))
        if self.publisher is None or self.publisher.stop(max(deadline - time.monotonic(), _LEAST_STOP_S)):
            self._spool.close()
        return is_stored

    def forget(self) -> None:
        """Leave the parent's client alone in a forked child."""
        if self._spool is not None:
            self._spool.forget()


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid())


_client: Optional[Client] = None
_leftovers: Optional[LeftoverThread] = None
_making = threading.Lock()


def get_client() -> Client:
    """Return the client of this process; it is made, from the environment, at the first call.

    A forked child gets a client of its own.
    """
    client = _client
    return client if client is not None else _first_client()


def _first_client() -> Client:
    """Have a thread make the client, and wait for it.

    A signal handler may emit while that goes on. In the thread that makes the client it could neither wait
    for it nor import what is just being imported. Here it waits beside what it has interrupted.
    """
    ended: List[bool] = []

    def make() -> None:
        import logging  # noqa: F401 - before the lock: see optiprov.capture.background

        try:
            with _making, importing():
                if _client is None:
                    _make_client()
        finally:
            ended.append(True)

    try:
        _thread.start_new_thread(make, ())  # as `threading` starts one, it takes locks
    except RuntimeError:  # no more threads, or the interpreter is ending
        ended.append(True)
    deadline = time.monotonic() + DEFAULT_FLUSH_TIMEOUT_S
    while not ended and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    client = _client
    if client is None:
        client = _make_client()
    _flush_on_sigterm()
    return client


def _make_client() -> Client:
    global _client, _leftovers
    client = _client = Client(_settings())
    _tell_unsent(client)
    atexit.register(_close_at_exit)
    _close_at_end_of_child()
    _leftovers = LeftoverThread(client.settings)
    _leftovers.start()
    return client


def _settings() -> Settings:
    try:
        return Settings.from_environment()
    except UrlError as error:
        warn("%s Provenance is spooled, not sent.", error)
        return Settings.from_environment({**os.environ, "OPTIPROV_BROKER": "", "PROVLIGHT_SERVER_URL": ""})


def _tell_unsent(client: Client) -> None:
    """Say that nothing is sent, unless a variable says where it goes: hosts of a deployment have a spool."""
    is_set = any(map(os.environ.get, ("OPTIPROV_BROKER", "PROVLIGHT_SERVER_URL", "OPTIPROV_SPOOL")))
    if not is_set and client.spool_directory is not None:
        place = client.spool_directory.parent
        warn("no broker is set (PROVLIGHT_SERVER_URL): provenance is kept in %s, not sent", place)


def _close_at_exit() -> None:
    global _client
    client, _client = _client, None  # what others' exit handlers emit later gets a client of its own
    if client is None:
        return
    deadline = time.monotonic() + client.settings.flush_timeout_s
    if client.close() and _leftovers is not None:  # so there is a service, which soon acknowledges these too
        _leftovers.end(min(max(deadline - time.monotonic(), 0.0), _LEFTOVERS_S))


def _close_at_end_of_child() -> None:
    """Close in a child of multiprocessing too: it ends by `os._exit`, which skips atexit."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _close_at_exit, exitpriority=0)


def _flush_on_sigterm() -> None:
    """Flush before a SIGTERM that would just end the process; a handler of the application's own stays."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, _frame: Optional[FrameType]) -> None:
    # The main thread may hold the spool's lock here: wait for the publisher, take no lock.
    if _client is not None:
        _client.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _after_fork_in_child() -> None:
    global _client, _making
    if _client is not None:
        _client.forget()
    _client = None
    _making = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
