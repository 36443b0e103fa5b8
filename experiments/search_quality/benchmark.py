"""How good the best of 60 evaluations is: optiprov's default searcher and its peers, in one run.

Searches run in processes with one thread for linear algebra. All are given the same seeds. With noise, what
counts is the noise-free value of the configuration that is recommended in the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Runs: TypeAlias = "dict[str, dict[str, list[dict[str, Any]]]]"
"""What came out, by problem and contestant."""

_OUT = Path(__file__).parents[2] / "results" / "search_quality"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Job(NamedTuple):
    """One search.

    Attributes:
        problem: The name of the function.
        contestant: The name of who searches.
        seed: Of the contestant, and of the noise.
        evaluations: How many there are.
        in_flight: How many at a time.
        noise: The standard deviation of what values are multiplied by.
    """

    problem: str
    contestant: str
    seed: int
    evaluations: int
    in_flight: int
    noise: float


def main() -> None:
    """Run all searches, print the table, and write it with the curves."""
    from experiments.search_quality.contestants import CONTESTANTS, is_there
    from experiments.search_quality.problems import PROBLEMS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="searches of each")
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument(
        "--in-flight", type=int, default=1, help="how many configurations are evaluated at a time"
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="standard deviation of the noise that values are multiplied by, such as 0.035",
    )
    parser.add_argument(
        "--only", nargs="*", choices=list(CONTESTANTS), help="of whom", default=list(CONTESTANTS)
    )
    parser.add_argument("--out", type=Path, help="where table, curves and figures go", default=_OUT)
    options = parser.parse_args()
    present = [name for name in options.only if is_there(name)]
    jobs = [
        Job(problem.name, name, seed, options.evaluations, options.in_flight, options.noise)
        for problem in PROBLEMS
        for name in present
        for seed in range(options.seeds)
    ]
    found: Runs = {problem.name: {name: [] for name in present} for problem in PROBLEMS}
    with multiprocessing.get_context("spawn").Pool(initializer=_one_thread) as pool:
        for number, (job, outcome) in enumerate(pool.imap(_search, jobs), 1):
            found[job.problem][job.contestant].append(outcome)
            sys.stderr.write(f"\r{number} of {len(jobs)} searches")
    sys.stderr.write("\n")
    about = f"{options.seeds} seeds, {options.evaluations} evaluations, {options.in_flight} at a time"
    if options.noise:
        about += f", noise of {options.noise:.1%}"
    missing = [name for name in options.only if name not in present]
    table = _table(found, about, missing)
    sys.stdout.write(table)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.md").write_text(table, encoding="utf-8")
    (options.out / "runs.json").write_text(json.dumps(found), encoding="utf-8")
    _draw(found, about, options.out / "regret.png")


def _one_thread() -> None:
    for name in _THREADS:
        os.environ[name] = "1"


def _search(job: Job) -> tuple[Job, dict[str, Any]]:
    """One search: the regret after each evaluation, and the CPU time of a proposal at the end."""
    from experiments.search_quality.contestants import CONTESTANTS
    from experiments.search_quality.problems import PROBLEMS

    warnings.simplefilter("ignore")
    problem = next(one for one in PROBLEMS if one.name == job.problem)
    contestant = CONTESTANTS[job.contestant](problem.space, job.seed)
    rng = np.random.default_rng(job.seed)
    running: list[tuple[Any, Mapping[str, Any]]] = []
    seen: list[tuple[float, Mapping[str, Any]]] = []
    regrets: list[float] = []
    taken_s: list[float] = []
    asked = 0
    while len(seen) < job.evaluations:
        while asked < job.evaluations and len(running) < job.in_flight:
            started = time.process_time()
            running.append(contestant.ask())
            taken_s.append(time.process_time() - started)
            asked += 1
        handle, config = running.pop(0)
        value = problem.function(config) * (1 + job.noise * rng.standard_normal())
        started = time.process_time()
        contestant.tell(handle, value)
        taken_s[-1] += time.process_time() - started
        seen.append((value, config))
        recommended = contestant.recommend() if job.noise else None
        best = min(seen, key=lambda one: one[0])[1]
        regrets.append(problem.regret(best if recommended is None else recommended))
    return job, {"seed": job.seed, "regret": regrets, "suggestion_cpu_s": median(taken_s[-5:])}


def _table(found: Runs, about: str, missing: Sequence[str]) -> str:
    from experiments.search_quality.problems import PROBLEMS

    names = list(next(iter(found.values())))
    lines = [
        f"Simple regret: {about}; median [quartiles].",
        "",
        f"| problem | bar | {' | '.join(names)} |",
        f"| --- | --- | {' | '.join('---' for _ in names)} |",
    ]
    for problem in PROBLEMS:
        cells = [_spread([one["regret"][-1] for one in found[problem.name][name]]) for name in names]
        lines.append(f"| {problem.name} | {problem.bar:g} | {' | '.join(cells)} |")
    times = [
        median([one["suggestion_cpu_s"] for runs in found.values() for one in runs[name]]) for name in names
    ]
    lines.append(
        f"| CPU of a suggestion at the end (s) | 0.3 | {' | '.join(f'{one:.3f}' for one in times)} |"
    )
    if missing:
        lines += ["", f"Not installed: {', '.join(missing)}."]
    lines += ["", f"Python {platform.python_version()}, {os.cpu_count()} processors."]
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.2g} [{low:.2g}..{high:.2g}]"


def _draw(found: Runs, about: str, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, all_axes = plt.subplots(1, len(found), figsize=(5 * len(found), 4), layout="constrained")
    for axes, (problem, contestants) in zip(all_axes, found.items(), strict=True):
        for name, runs in contestants.items():
            curves = np.maximum(np.array([one["regret"] for one in runs]), 1e-7)
            low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
            numbers = np.arange(1, curves.shape[1] + 1)
            (line,) = axes.plot(numbers, middle, label=name, linewidth=2.5 if "optiprov" in name else 1.2)
            axes.fill_between(numbers, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
        axes.set(yscale="log", title=problem, xlabel="evaluations")
    all_axes[0].set_ylabel("simple regret (median, quartiles)")
    all_axes[-1].legend()
    figure.suptitle(f"Above the minimum: {about}")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
