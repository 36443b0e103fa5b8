"""Has the specification of dataflows, which `provenance: {dataflow_spec: FILE}` names, stored."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from optiprov.capture import Client, Settings
from optiprov.errors import WorkError

if TYPE_CHECKING:
    from optiprov.wire import BrokerAddress

FLUSH_TIMEOUT_S = 60.0
_ROOT = Path(__file__).resolve().parents[2]
_TAIL_LINES = 20


def send_specification(path: Path, broker: BrokerAddress, spool: Path) -> None:
    """Send a specification: a YAML file as `optiprov spec` takes it, or a Python script on dfa_lib_python.

    Args:
        path: The file.
        broker: Where to send it.
        spool: Where it lies until it is stored.

    Raises:
        SpecificationError: The YAML file cannot be used.
        WorkError: The script failed.
    """
    if path.suffix == ".py":
        _run_script(path, broker, spool)
        return
    from optiprov.store.spec_file import read_spec_file

    specification = read_spec_file(path)
    client = Client(Settings(spool, broker, flush_timeout_s=FLUSH_TIMEOUT_S))
    client.emit(specification)
    client.close()


def _run_script(path: Path, broker: BrokerAddress, spool: Path) -> None:
    """Run a script as DfAnalyzer's users have it; `dfa_lib_python` is ours."""
    entries = [str(_ROOT / "optiprov" / "compat"), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "OPTIPROV_BROKER": broker.url,
        "OPTIPROV_SPOOL": str(spool),
        "PYTHONPATH": os.pathsep.join(filter(None, entries)),
    }
    done = subprocess.run(
        [sys.executable, path.name],
        cwd=path.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(f"    {line}" for line in done.stderr.splitlines()[-_TAIL_LINES:])
        raise WorkError(
            f"{path}: the specification of dataflows failed with exit status {done.returncode}.\n"
            f"  stderr, last lines:\n{tail}"
        )
