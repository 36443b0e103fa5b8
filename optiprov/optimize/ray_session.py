"""A Ray of our own for one study: quiet, on loopback, and nothing left behind."""

from __future__ import annotations

import atexit
import logging
import math
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.optimize.uncut import UncutCalls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from optiprov.optimize.interrupts import Interrupts

_PREFIX = "optiprov-"
_OBJECT_STORE_BYTES = 100 << 20
_MAX_PLACE_LENGTH = 30  # of the 107 bytes of a socket's path Ray's own part takes up to 72
_ARM_S = 0.01
_PATIENCE_S = 6.0  # of the 10 s within which nothing is left after Ctrl-C
_SHUTDOWN_S = 1.0
_END_TIMEOUT_S = 60.0
FINALIZE_TIMEOUT_S = 300
"""How long the end of a trial may take: two barriers, and the stage finalize between them."""

# Read by Ray as it is imported or started; what the user has set wins.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # A trial without a metric is a failed trial, never the end of the experiment.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # A reused actor waits this long for the last trial's application to be stopped and drained.
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": str(FINALIZE_TIMEOUT_S),
    "TUNE_RESULT_BUFFER_LENGTH": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # see interrupts.py
}


def configure_environment() -> None:
    """Set what Ray reads from the environment; call this before ray is imported."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


class RaySession:
    """Runs Ray for the time of a `with` block, with its files in a temporary directory that is removed.

    The cluster is open to holders of a token that lives in the environment of its processes only: Ray's own
    place for it, ~/.ray/auth_token, is neither read nor written.

    Ray starts and stops in a thread of its own. A KeyboardInterrupt within `ray.init` leaves a core worker
    that nobody knows of and nobody stops: its threads crash the process as it ends. And Ray's start waits
    in native code, for up to 15 s on a machine that is busy, where Python's signal handlers are not called.
    Somewhere in it Ray's native code sets a handler of SIGTERM that aborts; ours are set again and again.

    Args:
        num_cpus: how many trials of one CPU each run at a time.
        environment: variables for Ray's processes; marks them for the supervisor that ends them with us.
        interrupts: the handlers of signals that are to stay while Ray starts.

    Attributes:
        is_abandoned: whether Ray was still about to start or to stop when we could not wait any longer. Its
            processes are then to be ended after this one only, whose part of Ray may end it as they go.
    """

    def __init__(self, num_cpus: int, environment: Mapping[str, str], interrupts: Interrupts) -> None:
        self._num_cpus = num_cpus
        self._environment = environment
        self._interrupts = interrupts
        self.is_abandoned = False

    def __enter__(self) -> Path:
        """Start Ray; return its temporary directory, whose path is short, since Ray's sockets lie in it."""
        configure_environment()
        import ray  # noqa: F401 - in the main thread, for others import it too

        remove_abandoned()
        self._directory = _short_directory()
        _set_own_token()
        os.environ.update(self._environment)
        self._calls = UncutCalls()
        self._start = self._calls.begin(self._init)
        try:
            self._has_started_within(math.inf)
            self._start.wait()
        except BaseException:
            self._end(_PATIENCE_S)
            raise
        # A failed trial is told in one line by the study's progress; its traceback is in its directory.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        return self._directory

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(_END_TIMEOUT_S if kind is None else _PATIENCE_S)

    def _init(self) -> None:
        import ray

        ray.init(
            address="local",
            num_cpus=self._num_cpus,
            include_dashboard=False,
            configure_logging=True,
            logging_level=logging.ERROR,
            log_to_driver=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(self._directory),
        )

    def _has_started_within(self, timeout_s: float) -> bool:
        """Wait for Ray's start to end, well or badly, and keep the handlers of signals as they are."""
        deadline = time.monotonic() + timeout_s
        while not self._start.ends_within(_ARM_S):
            self._interrupts.arm()
            if time.monotonic() > deadline:
                return False
        self._interrupts.arm()
        return True

    def _end(self, timeout_s: float) -> None:
        import ray

        deadline = time.monotonic() + timeout_s
        self.is_abandoned = True  # so it stays if it takes too long, or Ctrl-C cuts the wait off
        try:
            if self._has_started_within(timeout_s):
                left_s = max(deadline - time.monotonic(), _SHUTDOWN_S)
                self.is_abandoned = not self._calls.begin(ray.shutdown).ends_within(left_s)
        finally:
            if self.is_abandoned:
                atexit.unregister(ray.shutdown)  # an exit handler would do what waits for our end
        if self.is_abandoned:
            return
        self._calls.close()
        for name in self._environment:
            os.environ.pop(name, None)
        shutil.rmtree(self._directory, ignore_errors=True)


def _short_directory() -> Path:
    """Make a temporary directory in which the paths of Ray's sockets stay below what the kernel takes."""
    prefix = f"{_PREFIX}{os.getpid()}-"
    place = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix=prefix, dir=place if len(place) <= _MAX_PLACE_LENGTH else "/tmp"))  # noqa: S108


def _set_own_token() -> None:
    """Have Ray, which may be imported already, ask for a token of this process's own.

    It stays in the environment: threads of a Ray that is shut down may read it for a while, and abort the
    process where it is gone.
    """
    import ray

    if "RAY_AUTH_MODE" in os.environ:
        return
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    internals: Any = ray._raylet  # noqa: SLF001 - the only way to tell it after the import
    internals.Config.initialize("")
    internals.AuthenticationTokenLoader.instance().reset_cache()


def remove_abandoned() -> None:
    """Remove the temporary directories of studies whose process was killed."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}[0-9]*-*"):
        owner = directory.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(directory, ignore_errors=True)
