"""What a study is to do, as data: what the user's class and the command line say together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.optimize.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from optiprov.optimize.space import SearchSpace
    from optiprov.optimize.trial import Objective

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


@dataclass(frozen=True)
class StudyPlan:
    """One search.

    Attributes:
        objective: what each trial runs.
        source_dir: the experiment's directory; names a study that has no name.
        source: the file of the user's class, or None.
        scenario_dir: the scenario that each trial deploys.
        artifacts_dir: its artifacts, or None for those beside it.
        store: the provenance store, a service's URL, or None for a file of the study's own.
        name: the study's name, or None.
        seed: makes the searcher's proposals repeatable.
        duration_s: how long an application without an end of its own runs; 0 is for those that end.
        options: what the command line says.
        space: what is searched.
        metric: the objective's name.
        mode: "min" or "max".
        num_samples: how many trials.
        search_alg: a Ray Tune searcher, or None for random.
        scheduler: a Ray Tune scheduler, or None.
        max_concurrent: how many trials run at a time.
    """

    objective: Objective
    source_dir: Path
    source: Path | None
    scenario_dir: Path
    artifacts_dir: Path | None
    store: str | None
    name: str | None
    seed: int | None
    duration_s: float
    options: StudyOptions
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
            "seed": self.seed,
        }


def _describe(strategy: Any) -> str:
    inner = getattr(strategy, "searcher", None)
    own = type(strategy).__name__ if strategy is not None else "default"
    return f"{own}({type(inner).__name__})" if inner is not None else own
