"""`Optimization`: what users subclass."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.errors import InputError, MetricError, WorkError
from optiprov.optimize.objectives import Goal
from optiprov.optimize.plan import StudyOptions, StudyPlan
from optiprov.optimize.searchers.observations import FINAL_KEY
from optiprov.optimize.space import SearchSpace
from optiprov.optimize.study import Study
from optiprov.optimize.trial import DONE, METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from optiprov.optimize.results import StudyResult
    from optiprov.optimize.trial import Aggregate, Trial
    from optiprov.store import StoredValue


class Optimization:
    """One optimization of an application: how to search, and what one trial does.

    Subclass it, say how to search, and write `run_objective`, which is called for each trial in a process
    of its own, on a fresh copy of the object, and uses `prepare`, `launch`, `follow`, `metric`, `finalize`
    and `report`. How to search is said by class attributes, or by a method `run`, which is called once
    and calls `tune`.

    Args:
        scenario_dir: the scenario that each trial deploys; by default the directory of the class's file.
        artifacts_dir: its artifacts; by default `artifacts` in the scenario's directory.
        store: the provenance store, or the http URL of a service; by default a file of the study's own.
        name: the study's name; by default that of the experiment's directory and the time.
        seed: makes the searcher's proposals repeatable.
        repeat: how often each configuration is run again; only 0 at present.
        duration_s: how long an application that does not end by itself runs in a trial.

    Attributes:
        space: the search space of the default `run`: a file of one, or the space itself.
        objectives: what it optimizes: `[minimize("latency_s")]` or `[maximize("accuracy")]`, one at present.
        num_samples: how many trials it has.
        search: its searcher, as of `tune`.
        scheduler: its scheduler, as of `tune`.
        max_concurrent: how many of its trials run at a time.
        resumes: whether the application, paused by a scheduler, goes on from what it has left in the
            directory OPTIPROV_CHECKPOINT_DIR (docs/searching.md).

    Raises:
        InputError: an argument that cannot be used.
    """

    space: SearchSpace | Mapping[str, Any] | str | Path | None = None
    objectives: Sequence[Goal] = ()
    num_samples: int | None = None
    search: Any = None
    scheduler: Any = None
    max_concurrent: int = 1
    resumes: bool = False

    def __init__(
        self,
        scenario_dir: str | Path | None = None,
        artifacts_dir: str | Path | None = None,
        *,
        store: str | None = None,
        name: str | None = None,
        seed: int | None = None,
        repeat: int = 0,
        duration_s: float = 0,
    ) -> None:
        if repeat != 0:
            raise InputError(f"repeat={repeat!r}: repeats are not supported yet. Leave it at 0.")
        if not math.isfinite(duration_s) or duration_s < 0:
            raise InputError(f"duration_s is a number of seconds from 0 on, got {duration_s!r}.")
        self.source = _source_file(type(self))
        self.source_dir = self.source.parent if self.source else Path.cwd()
        self.scenario_dir = Path(scenario_dir).resolve() if scenario_dir else self.source_dir
        self.artifacts_dir = Path(artifacts_dir).resolve() if artifacts_dir else None
        self.store = store
        self.name = name
        self.seed = seed
        self.duration_s = duration_s
        self.options = StudyOptions()
        self._trial: Trial | None = None
        self._send_report: Callable[[dict[str, Any]], None] | None = None
        self._has_reported_final = False
        self._last_report: dict[str, Any] = {}

    # What users write.

    def run(self) -> StudyResult | None:
        """Search as the class attributes say; override it to set up a search and call `tune`.

        Raises:
            InputError: an attribute is missing.
        """
        needed = ("space", "objectives", "num_samples")
        missing = [name for name in needed if getattr(self, name) in (None, ())]
        if missing:
            raise InputError(
                f"{type(self).__name__} has no run(), and for the default one no {' and no '.join(missing)}. "
                f"Set {', '.join(needed)} in the class, or write a run() that calls self.tune(...)."
            )
        goals = list(self.objectives)
        if len(goals) != 1 or not isinstance(goals[0], Goal):
            raise InputError(
                f"objectives is a list of one minimize(...) or maximize(...), got {self.objectives!r}."
            )
        space = self.search_space(self.space) if isinstance(self.space, str | Path) else self.space
        assert space is not None  # noqa: S101  for mypy: looked at above
        assert self.num_samples is not None  # noqa: S101
        return self.tune(
            space,
            metric=goals[0].metric,
            mode=goals[0].mode,
            num_samples=self.num_samples,
            search_alg=self.search,
            scheduler=self.scheduler,
            max_concurrent=self.max_concurrent,
        )

    def run_objective(self, config: dict[str, Any]) -> Mapping[str, float] | None:  # noqa: ARG002
        """Run one trial with a configuration and report its objective, or return it in a mapping."""
        raise InputError(f"{type(self).__name__} has no run_objective(config). Write what one trial does.")

    # What `run` uses.

    def search_space(self, path: str | Path) -> SearchSpace:
        """Read a search space; a relative path is looked for beside the class's file, then from here.

        Raises:
            SearchSpaceError: the file is absent or wrong; the message says file, line and key.
        """
        beside = self.source_dir / path
        return SearchSpace.from_yaml(beside if beside.is_file() or not Path(path).is_file() else Path(path))

    def tune(
        self,
        space: SearchSpace | Mapping[str, Any],
        *,
        metric: str,
        mode: str,
        num_samples: int,
        search_alg: Any = None,
        scheduler: Any = None,
        max_concurrent: int = 1,
    ) -> StudyResult:
        """Drive Ray Tune: run `run_objective` for each configuration that the searcher proposes.

        Args:
            space: what is searched.
            metric: the reported key that is the objective.
            mode: "min" or "max".
            num_samples: how many trials.
            search_alg: the name of a searcher (docs/searching.md), or a Ray Tune searcher; by default "auto".
            scheduler: the name of a scheduler, or a Ray Tune scheduler; by default none stops a trial early.
            max_concurrent: how many trials run at a time, where the searcher does not limit it.

        What the command line says stands in place of these.

        Returns:
            The trials, the best of them, and where the results lie.

        Raises:
            InputError: an argument that cannot be used.
            MissingExtraError: what the searcher needs is not installed.
            StudyError: no trial succeeded.
        """
        if mode not in ("min", "max"):
            raise InputError(f"mode is 'min' or 'max', got {mode!r}.")
        options = self.options
        search = search_alg if options.search is None else options.search
        limit = getattr(search, "max_concurrent", None) or max_concurrent
        if options.max_concurrent is not None:
            from optiprov.optimize.strategies import relimited  # imports ray

            limit = options.max_concurrent
            search = relimited(search, limit)
        plan = StudyPlan(
            optimization=self,
            space=space if isinstance(space, SearchSpace) else SearchSpace.from_tune(space),
            metric=metric,
            mode=mode,
            num_samples=options.num_samples or num_samples,
            search_alg=search,
            scheduler=scheduler if options.scheduler is None else options.scheduler,
            max_concurrent=limit,
        )
        return Study(plan).run()

    # What `run_objective` uses.

    @property
    def trial(self) -> Trial:
        """The trial that runs.

        Raises:
            WorkError: none does: the object is the driver's.
        """
        if self._trial is None:
            raise WorkError("This is for run_objective(): no trial runs here.")
        return self._trial

    @property
    def has_result(self) -> bool:
        """Whether the trial has reported its objective."""
        return self._has_reported_final

    def prepare(self) -> Path:
        """Deploy the trial's hosts and run the stage prepare.

        Returns:
            The trial's directory.

        Raises:
            ScenarioError: the scenario is wrong; the message lists every problem.
            DeploymentError: a task failed; the message has host, task, status and stderr.
        """
        return self.trial.prepare()

    def launch(self, optimization_config: Mapping[str, Any] | None = None, *, wait: bool = True) -> Path:
        """Run the stage launch, in which templates find the configuration as `optimization_config`.

        Args:
            optimization_config: by default the trial's configuration.
            wait: return when the application has ended; otherwise at once.

        Returns:
            The trial's directory.

        Raises:
            DeploymentError: a task failed; the message has host, task, status and stderr.
        """
        config = self.trial.config if optimization_config is None else optimization_config
        return self.trial.launch(config, wait=wait)

    def finalize(self) -> Path:
        """Drain the hosts' spools, run the stage finalize, and undo the deployment.

        It is called on every way out of `run_objective`; calling it twice does nothing.

        Returns:
            The trial's directory.
        """
        return self.trial.finalize()

    def metric(self, name: str, agg: Aggregate = "last") -> float:
        """Return what the trial's application has emitted, read from the store behind the barrier.

        Args:
            name: `dataset.attribute`, such as "training_output.accuracy".
            agg: "last", "first", "min", "max", "mean", "sum" or "count" of the values, in the order stored.

        Raises:
            MetricError: nothing was emitted, or no finite number.
            BarrierTimeout: what was emitted does not reach the store.
        """
        return self.trial.metric(name, agg)

    def follow(self, name: str) -> Iterator[StoredValue]:
        """Yield the values of `dataset.attribute` as they arrive in the store while the application runs.

        The iteration ends when the application has, after its last value; each value has `.value`.

        Raises:
            DeploymentError: the application failed; the message has host, task, status and stderr.
        """
        return self.trial.follow(name)

    def report(self, **metrics: float) -> None:
        """Report values to Ray Tune, whose scheduler may stop the trial here.

        What is reported after `finalize` is the trial's result; what comes before is on the way.

        Raises:
            MetricError: a value is not a finite number.
        """
        metric = self.trial.place.metric
        if metric not in metrics:
            raise MetricError(
                f"the trial reported {', '.join(metrics) or 'nothing'}; the study's metric is {metric}."
            )
        plain: dict[str, Any] = {}
        for name, value in metrics.items():
            number = float(value)
            if not math.isfinite(number):
                raise MetricError(f"{name} = {number} is not a finite number.")
            plain[name] = number
        self.trial.check_cancelled()
        self._last_report = dict(plain)
        self.trial.outcome.metrics.update(plain)
        if self.trial.is_finalized:
            plain |= {FINAL_KEY: True, METRICS: dict(self.trial.outcome.metrics)}
            if self.trial.place.may_pause:
                plain[DONE] = True  # no scheduler may pause what has ended
            self._has_reported_final = True
        if self._send_report is None:
            raise WorkError("This is for run_objective(): nobody listens here.")
        self._send_report(plain)

    def run_trial(self, trial: Trial, send_report: Callable[[dict[str, Any]], None]) -> None:
        """Run the objective for one trial; what it leaves open is finalized on every way out.

        Raises:
            MetricError: the objective reported nothing.
        """
        self._trial = trial
        self._send_report = send_report
        returned = self.run_objective(dict(trial.config))
        trial.finalize()
        if not self._has_reported_final:
            final = dict(returned or self._last_report)
            if not final:
                raise MetricError(
                    "run_objective() reported nothing. Call self.report(...), or return a mapping."
                )
            self.report(**final)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to the trials: everything but what belongs to a running one."""
        return {**self.__dict__, "_trial": None, "_send_report": None}


def _source_file(cls: type) -> Path | None:
    try:
        return Path(inspect.getfile(cls)).resolve()
    except (TypeError, OSError):  # a class made in an interactive session
        return None
