"""What the scenarios of this folder ask for, and whether it was done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from pathlib import Path


def hosts_of(scenario: Path) -> int:
    """Return how many hosts a scenario has."""
    read = yaml.safe_load((scenario / "layers_services.yaml").read_text(encoding="utf-8"))
    return sum(service.get("quantity", 1) for layer in read["layers"] for service in layer["services"])


def answers_below(directory: Path) -> int:
    """Return how many hosts' answers were fetched into a directory: the last task that leaves something."""
    return sum("fetched" in path.parts for path in directory.rglob("answer.txt"))
