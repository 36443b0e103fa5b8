"""The environment that a process runs in: host, code, packages, and variables that no secret is in."""

from __future__ import annotations

import getpass
import os
import sys
from functools import lru_cache
from typing import Any, Dict, List, Mapping, Optional

from optiprov.records import Environment, now_us
from optiprov.telemetry.masking import is_secret_name, mask_arguments, mask_text
from optiprov.telemetry.packages import installed_packages
from optiprov.telemetry.revision import read_revision

_PREFIXES = ("OPTIPROV_", "PROVLIGHT_")
_VARIABLES = frozenset(
    (
        *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
        *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
        *("PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG", "TF_DETERMINISTIC_OPS", "XLA_FLAGS"),
        *("VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "SLURM_JOB_ID", "OAR_JOB_ID", "LANG", "LC_ALL", "TZ"),
    )
)
_TEXT_LIMIT = 1000  # of an argument or the value of a variable
_revision = lru_cache(maxsize=1)(read_revision)  # forked children inherit what their parent found


def read_environment() -> Environment:
    """Return the environment of this process. It takes some 10 ms, in a large repository up to a second."""
    system = os.uname()
    place = _code_directory()
    code = _revision(place) if place else None
    properties: Dict[str, Any] = {
        "host": system.nodename,
        "os": f"{system.sysname} {system.release}",
        "distribution": _value("/etc/os-release", "PRETTY_NAME", "="),
        "machine": system.machine,
        "cpu_model": _value("/proc/cpuinfo", "model name", ":"),
        "cpu_count": os.cpu_count(),
        "usable_cpu_count": _usable_cpu_count(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "username": _user(),
        "python": f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}",
        "executable": sys.executable,
        "command_line": [argument[:_TEXT_LIMIT] for argument in mask_arguments(_command_line())],
        "directory": _working_directory(),
        "repository": code.repository if code else None,
        "revision": code.commit if code else None,
        "is_modified": code.is_modified if code else None,
    }
    return Environment(now_us(), properties, dict(installed_packages()), safe_variables(os.environ))


def safe_variables(env: Mapping[str, str]) -> Dict[str, Any]:
    """Return the variables that are worth recording and hold no secret: those of a list, and our own."""
    return {
        name: mask_text(value)[:_TEXT_LIMIT]
        for name, value in sorted(env.items())
        if (name in _VARIABLES or name.startswith(_PREFIXES)) and not is_secret_name(name)
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for the number
        return str(os.getuid())


def _command_line() -> List[str]:
    """Return the command of this process as it was given to Python."""
    original: List[str] = getattr(sys, "orig_argv", [])  # of Python 3.10
    return original or _arguments_of_process() or [sys.executable, *sys.argv]


def _arguments_of_process() -> List[str]:
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return [os.fsdecode(argument) for argument in file.read().split(b"\0")[:-1]]
    except OSError:
        return []


def _code_directory() -> str:
    """Return where the program's code lies: the directory of its file, or the working directory."""
    directory = _working_directory()
    program = os.path.join(directory, sys.argv[0]) if sys.argv and sys.argv[0] else ""
    return os.path.dirname(program) if os.path.isfile(program) else directory


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _usable_cpu_count() -> Optional[int]:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on macOS
        return os.cpu_count()


def _value(path: str, name: str, separator: str) -> Optional[str]:
    """Return the first value that a file of the system has under a name."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(separator)
                if key.strip() == name:
                    return value.strip().strip('"')
    except OSError:
        pass
    return None
