"""A Ray of our own for one study: quiet, on loopback, and nothing left behind."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX = "optiprov-"
_OBJECT_STORE_BYTES = 100 << 20
_MAX_PLACE_LENGTH = 30  # of the 107 bytes of a socket's path Ray's own part takes up to 72
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


@contextmanager
def ray_session(num_cpus: int, environment: Mapping[str, str]) -> Iterator[Path]:
    """Run Ray for the time of the block, with its files in a temporary directory that is removed.

    The cluster is open to holders of a token that lives in the environment of its processes only: Ray's own
    place for it, ~/.ray/auth_token, is neither read nor written.

    Args:
        num_cpus: how many trials of one CPU each run at a time.
        environment: variables for Ray's processes; marks them for the supervisor that ends them with us.

    Yields:
        The temporary directory; its path is short, since Ray's sockets lie in it.
    """
    configure_environment()
    import ray

    remove_abandoned()
    directory = _short_directory()
    _set_own_token()
    os.environ.update(environment)
    try:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            include_dashboard=False,
            configure_logging=True,
            logging_level=logging.ERROR,
            log_to_driver=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(directory),
        )
        # A failed trial is told in one line by the study's progress; its traceback is in its directory.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        yield directory
    finally:
        ray.shutdown()
        for name in environment:
            os.environ.pop(name, None)
        shutil.rmtree(directory, ignore_errors=True)


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
