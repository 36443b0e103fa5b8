"""The files that a study and its trials leave, with what is needed to run them again."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import traceback
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any

from optiprov.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optiprov.deploy import Scenario

_OUTCOME = "outcome.json"
_PACKAGES = ("optiprov", "ray", "scikit-optimize", "scikit-learn", "numpy", "duckdb")


@dataclass
class Outcome:
    """What became of a trial."""

    status: str = Status.RUNNING
    reason: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)


def copy_scenario(scenario: Scenario, source: Path | None, directory: Path) -> None:
    """Copy what a study deploys, and the file that says how it searches, into the study's directory.

    Args:
        scenario: the scenario; where its artifacts lie beside its YAML files, only files are copied.
        source: the Python file of the Optimization, or None where there is none.
        directory: the study's directory; it is left out where it lies among the artifacts.
    """
    target = directory / "scenario"
    target.mkdir()
    for path in [*scenario.files, *([source] if source else [])]:
        shutil.copy2(path, target / path.name)
    if scenario.artifacts_dir == scenario.directory:
        for path in scenario.artifacts_dir.iterdir():
            if path.is_file():
                shutil.copy2(path, target / path.name)
        return
    results = directory.parent.resolve()

    def ignored(folder: str, names: list[str]) -> set[str]:
        here = type(results)(folder).resolve()
        return {name for name in names if name == "__pycache__" or here / name == results}

    shutil.copytree(scenario.artifacts_dir, target / "artifacts", ignore=ignored)


def write_trial(directory: Path, trial: str, study: str, seed: int | None, config: Mapping[str, Any]) -> None:
    """Write a trial's configuration, and the environment it runs in."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "config.json", dict(config))
    environment = {
        "trial": trial,
        "study": study,
        "scenario": "../../scenario",
        "seed": seed,
        "python": sys.version.split()[0],
        "machine": platform.platform(),
        "host": platform.node(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }
    write_json(directory / "environment.json", environment)


def write_outcome(directory: Path, outcome: Outcome) -> None:
    """Write outcome.json: status, reason, and the metrics that were reported or read back."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / _OUTCOME, asdict(outcome))


def read_outcome(directory: Path) -> Outcome | None:
    """Return what a trial wrote of its outcome; None where its process died before."""
    try:
        return Outcome(**json.loads((directory / _OUTCOME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_traceback(directory: Path) -> None:
    """Write the error that is being handled, with its traceback, to error.txt."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees all of it or nothing."""
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")
    beside.replace(path)
