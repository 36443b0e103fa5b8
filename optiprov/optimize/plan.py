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
        search: the name of the searcher, in place of the one that `run` gives.
        scheduler: the name of the scheduler, in place of the one that `run` gives.
        max_concurrent: how many trials run at a time, in place of what `run` says.
        campaign: the campaign it belongs to.
        progress: makes the live display.
    """

    results: Path = Path("results")
    num_samples: int | None = None
    search: str | None = None
    scheduler: str | None = None
    max_concurrent: int | None = None
    campaign: str | None = None
    progress: Callable[[], Progress] = Progress


class Planned(Objective, Protocol):
    """What a study needs of an `Optimization`: what each trial runs, and what its constructor was told.

    Attributes:
        source: the file of the user's class, or None.
        source_dir: its directory; names a study that has no name.
        options: what the command line says.
        resumes: whether the application can go on where it was paused.

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
    resumes: bool


@dataclass(frozen=True)
class StudyPlan:
    """One search.

    Attributes:
        optimization: what each trial runs, where it lies, and what its constructor was told.
        space: what is searched.
        metric: the objective's name.
        mode: "min" or "max".
        num_samples: how many trials.
        search_alg: a Ray Tune searcher or the name of one; None is the default's name.
        scheduler: a Ray Tune scheduler or the name of one; None stops no trial early.
        max_concurrent: how many trials run at a time.
        search_name: the name that the searcher was given by.
        scheduler_name: the name that the scheduler was given by.
    """

    optimization: Planned
    space: SearchSpace
    metric: str
    mode: str
    num_samples: int
    search_alg: Any
    scheduler: Any
    max_concurrent: int
    search_name: str | None = None
    scheduler_name: str | None = None

    def settings(self) -> dict[str, Any]:
        """How it searches, for the record."""
        return {
            "search": self.search_name or _describe(self.search_alg),
            "scheduler": self.scheduler_name or _describe(self.scheduler),
            "num_samples": self.num_samples,
            "max_concurrent": self.max_concurrent,
            "seed": self._seed,
        }

    @property
    def _seed(self) -> int | None:
        """The study's, else the one that its searcher has drawn."""
        inner = getattr(self.search_alg, "searcher", self.search_alg)
        drawn = getattr(inner, "seed", None)
        return drawn if self.optimization.seed is None and isinstance(drawn, int) else self.optimization.seed


def _describe(strategy: Any) -> str:
    inner = getattr(strategy, "searcher", None)
    own = type(strategy).__name__ if strategy is not None else "default"
    return f"{own}({type(inner).__name__})" if inner is not None else own
