"""The benchmark of searchers: that its functions are what they say, and that it measures."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.search_quality.benchmark import Job, _search
from experiments.search_quality.contestants import CONTESTANTS
from experiments.search_quality.problems import PROBLEMS

ROOT = Path(__file__).parents[2]
MINIMA = {
    "Branin": {"x": np.pi, "y": 2.275},
    "Hartmann6": dict(
        zip(
            [f"x{i}" for i in range(6)],
            [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573],
            strict=True,
        )
    ),
    "integer Rosenbrock": {f"x{index}": 1 for index in range(4)},
}


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda one: one.name)
def test_minimum_is_where_the_literature_has_it(problem):
    """No configuration is below it, and the known one is at it."""
    assert problem.function(MINIMA[problem.name]) == pytest.approx(problem.minimum, abs=1e-5)
    rng = np.random.default_rng(0)
    assert min(problem.function(problem.space.sample(rng)) for _ in range(2000)) > problem.minimum


def test_benchmark_writes_table_runs_and_curves(tmp_path):
    """Two contestants and two seeds in processes of their own: a column for each, a row for each function."""
    out = tmp_path / "out"
    options = ["--seeds", "2", "--evaluations", "10", "--in-flight", "2", "--out", str(out)]
    options += ["--only", "optiprov auto", "random"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.search_quality.benchmark", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = (out / "table.md").read_text(encoding="utf-8")
    assert done.stdout == table
    assert table.startswith("Simple regret: 2 seeds, 10 evaluations, 2 at a time")
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert [row[0].removeprefix("| ") for row in rows if row[0] != "| ---"] == [
        "problem",
        *(problem.name for problem in PROBLEMS),
        "CPU of a suggestion at the end (s)",
    ]
    assert rows[0][2:] == ["optiprov auto", "random |"]
    runs = json.loads((out / "runs.json").read_text())
    for problem in PROBLEMS:
        for contestant in ("optiprov auto", "random"):
            curves = [run["regret"] for run in runs[problem.name][contestant]]
            assert [len(curve) for curve in curves] == [10, 10]
            assert all(curve == sorted(curve, reverse=True) for curve in curves)
            assert min(map(min, curves)) >= 0
    assert (out / "regret.png").stat().st_size > 1000


def test_regret_under_noise_is_that_of_the_recommended_configuration(monkeypatch):
    """Without its noise; where a contestant recommends none, of the one with the best noisy value."""

    class Scripted:
        """Asks for two points of Branin, and recommends the first of them."""

        points = ({"x": np.pi, "y": 2.275}, {"x": 0.0, "y": 5.0})

        def __init__(self, *_):
            self._asked = iter(self.points)

        def ask(self):
            return None, next(self._asked)

        def tell(self, handle, value):
            pass

        def recommend(self):
            return self.points[0]

    class Silent(Scripted):
        """Recommends nothing."""

        def recommend(self):
            return None

    branin = PROBLEMS[0]
    worse = branin.regret(Scripted.points[1])
    monkeypatch.setitem(CONTESTANTS, "scripted", Scripted)
    monkeypatch.setitem(CONTESTANTS, "silent", Silent)

    def regrets(name, seed):
        return _search(Job("Branin", name, seed, 2, 1, 1000.0))[1]["regret"]

    assert regrets("scripted", 0) == pytest.approx([0, 0], abs=1e-5)
    last = {round(regrets("silent", seed)[-1], 3) for seed in range(12)}
    assert last == {0.0, round(worse, 3)}
