"""What a study leaves: its trials as a table, its plots, and what to look at next."""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.analyze import plots
from optiprov.store import Provenance, StoreUrl, connect
from optiprov.store.conditions import write_condition
from optiprov.store.url import without_password

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from optiprov.optimize.plan import StudyPlan
    from optiprov.store.query import Filter

_CONFIG = "config."


@dataclass(frozen=True)
class Best:
    """The best trial of a study."""

    trial_id: str
    value: float
    config: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A question, the command that answers it, and the answer."""

    question: str
    command: str
    table: pd.DataFrame


@dataclass
class StudyResult:
    """What a study found, and where it lies.

    Attributes:
        name: the study's name.
        directory: holds trials.csv, plots, the store, and a directory for each trial.
        store: URL of the provenance store.
        metric: the objective.
        mode: "min" or "max".
        trials: one row a trial: trial_id, status, value, config.<parameter>, started_at, ended_at, reason.
        best: the best trial that ran to its end, or None.
        answers: what `ask` was asked.
    """

    name: str
    directory: Path
    store: str
    metric: str
    mode: str
    trials: pd.DataFrame
    best: Best | None
    answers: list[Answer] = field(default_factory=list)

    @property
    def store_name(self) -> str:
        """The store as `--store` takes it: a path from here where it is a file below, otherwise its URL."""
        if self.store.startswith("monetdb:"):
            return without_password(self.store)
        try:
            return str(StoreUrl.parse(self.store).path.relative_to(Path.cwd()))
        except ValueError:
            return self.store

    @property
    def failures(self) -> list[str]:
        """The reasons of the trials that failed."""
        failed = self.trials[self.trials["status"] == "failed"]
        return [str(reason) for reason in failed["reason"]]

    def ask(
        self, question: str, *, select: Sequence[str], where: Filter, sort: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """Ask the study's provenance, and keep question, command and answer for the summary.

        Args:
            question: what is asked, in words.
            select: the fields to show.
            where: the conditions.
            sort: pairs of field and "ascending" or "descending".
        """
        trials = {"study": self.name}
        table = connect(self.store).query(list(select), {**trials, **where}, sort=list(sort))
        answer = Answer(question, _command(self.store_name, select, {**trials, **where}, sort), table)
        self.answers.append(answer)
        return answer


def _command(store: str, select: Sequence[str], where: Filter, sort: Sequence[tuple[str, str]]) -> str:
    words = ["optiprov", "query", "--store", store, "--select", ",".join(select)]
    for name, condition in where.items():
        conditions = condition if isinstance(condition, dict) else {"$eq": condition}
        for operator, value in conditions.items():
            words += ["--where", write_condition(name, operator, value)]
    for name, direction in sort:
        words += ["--sort", f"{name}:{direction}"]
    return shlex.join(words)


def write_results(
    provenance: Provenance, study: str, directory: Path, store: str, plan: StudyPlan
) -> StudyResult:
    """Write trials.csv and the plots of a study from what the store has of it."""
    recorded = provenance.trials(study)
    configs = [json.loads(config) for config in recorded["config"]]
    trials = _flat(recorded, configs)
    trials.to_csv(directory / "trials.csv", index=False)
    ended = trials[trials["status"] != "running"]
    if not ended.empty:
        with _matplotlib_in_temporary_directory():
            _write_plots(ended, directory, plan)
    best = _best(trials, configs, plan.mode)
    return StudyResult(study, directory, store, plan.metric, plan.mode, trials, best)


def _flat(recorded: pd.DataFrame, configs: list[dict[str, Any]]) -> pd.DataFrame:
    """Return trials with a column for each parameter, in the order they began."""
    frame: pd.DataFrame = recorded[["trial_id", "status", "value"]].copy()
    for name in dict.fromkeys(name for config in configs for name in config):
        frame[_CONFIG + name] = [config.get(name) for config in configs]
    for name in ("started_at", "ended_at", "reason"):
        frame[name] = recorded[name]
    return frame


def _write_plots(trials: pd.DataFrame, directory: Path, plan: StudyPlan) -> None:
    metric, mode = plan.metric, plan.mode
    plots.save(plots.convergence(trials, metric=metric, mode=mode), directory / "convergence.png")
    for parameter in plan.space:
        if _CONFIG + parameter.name in trials:
            figure = plots.scatter(
                trials, parameter.name, metric=metric, mode=mode, log=parameter.is_log, unit=parameter.unit
            )
            name = re.sub(r"[^\w.-]+", "_", parameter.name).lstrip(".")
            plots.save(figure, directory / f"scatter_{name}.png")


@contextmanager
def _matplotlib_in_temporary_directory() -> Iterator[None]:
    """Keep matplotlib's font cache out of the user's home, unless it has a place already."""
    variable = "MPLCONFIGDIR"
    if variable in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix=f"optiprov-{os.getpid()}-") as directory:
        os.environ[variable] = directory
        try:
            yield
        finally:
            del os.environ[variable]


def _best(trials: pd.DataFrame, configs: list[dict[str, Any]], mode: str) -> Best | None:
    finished = trials[(trials["status"] == "finished") & trials["value"].notna()]
    if finished.empty:
        return None
    values = finished["value"]
    place = int(finished.index[int(values.argmin() if mode == "min" else values.argmax())])
    return Best(str(trials["trial_id"][place]), float(trials["value"][place]), configs[place])
