"""A directory for what a measurement writes."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path


def scratch_directory() -> Path:
    """Return a new directory that goes when the process ends.

    Make it before the first record is captured: what is registered first is done last at exit, so the client
    has closed its spool by then.
    """
    directory = Path(tempfile.mkdtemp(prefix="optiprov-overhead-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory
