"""What a study is to do, as data: what the user's class and the command line say together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from optiprov.optimize.progress import Progress
from optiprov.optimize.trial import Objective

if TYPE_CHECKING:
    from collections.abc import Callable

    from optiprov.optimize.space import SearchSpace

INTERRUPTED = "the study was interrupted"
"""The reason of a study, and of its trials, that an interruption cut off."""


@dataclass(frozen=True)
class StudyOptions:
    """What the command line says about a study.

    Attributes:
        results: the directory in which the study's directory is made.
        num_samples: how many trials, in place of what `run` says.
        campaign: the campaign it belongs to.
        progress: makes the live display.
    """

    results: Path = Path("results")
    num_samples: int | None = None
    campaign: str | None = None
    progress: Callable[[], Progress] = Progress


class Planned(Objective, Protocol):
    """What a study needs of an `Optimization`: what each trial runs, and what its constructor was told.

    Attributes:
        source: the file of the user's class, or None.
        source_dir: its directory; names a study that has no name.
        options: what the command line says.

    The others are the constructor's arguments.
    """

    source: Path | None
    source_dir: Path
    scenario_dir: Path
    artifacts_dir: Path | None
    store: str | None
    name: str | None
    seed: int | None
    duration_s: float
    options: StudyOptions


@dataclass(frozen=True)
class StudyPlan:
    """One search.

    Attributes:
        optimization: what each trial runs, where it lies, and what its constructor was told.
        space: what is searched.
        metric: the objective's name.
        mode: "min" or "max".
        num_samples: how many trials.
        search_alg: a Ray Tune searcher, or None for random.
        scheduler: a Ray Tune scheduler, or None.
        max_concurrent: how many trials run at a time.
    """

    optimization: Planned
    space: SearchSpace
    metric: str
    mode: str
    num_samples: int
    search_alg: Any
    scheduler: Any
    max_concurrent: int

    def settings(self) -> dict[str, Any]:
        """How it searches, for the record."""
        return {
            "search": _describe(self.search_alg),
            "scheduler": _describe(self.scheduler),
            "num_samples": self.num_samples,
            "max_concurrent": self.max_concurrent,
            "seed": self.optimization.seed,
        }


def _describe(strategy: Any) -> str:
    inner = getattr(strategy, "searcher", None)
    own = type(strategy).__name__ if strategy is not None else "default"
    return f"{own}({type(inner).__name__})" if inner is not None else own
