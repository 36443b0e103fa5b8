"""How many readings should a sensor put into a message, on the link that it has?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov import Optimization
from optiprov.optimize import SkOptSearch

if TYPE_CHECKING:
    from optiprov.optimize.results import StudyResult

SLOWER = (1, 2)
"""By what the delay is multiplied in the launches of a trial: a link is not always at its best."""


class EdgeCloudOptimization(Optimization):
    """Eight trials, one at a time, as they measure time; each deploys once and launches at two delays."""

    def run(self) -> StudyResult:
        """Search with a Gaussian process for the least latency of readings."""
        space = self.search_space("search_spaces/link.yaml")
        search = SkOptSearch(space, metric="latency_p95_ms", mode="min", n_initial_points=4, seed=self.seed)
        result = self.tune(space, metric="latency_p95_ms", mode="min", num_samples=8, search_alg=search)
        result.ask(
            "What became of the readings at each delay?",
            select=[
                "used.delay_ms",
                "used.rate_kbit",
                "used.batch",
                "generated.lost",
                "generated.latency_min_ms",
                "generated.latency_p95_ms",
                "generated.age_median_ms",
            ],
            where={"transformation": "aggregation"},
            sort=[("used.delay_ms", "ascending")],
        )
        return result

    def run_objective(self, config: dict[str, Any]) -> None:
        """Deploy four hosts, stream at two delays between them, and report the worse 95th percentile."""
        self.prepare()
        for times in SLOWER:
            self.launch({**config, "delay_ms": times * config["delay_ms"]})
        worst = self.metric("aggregation_output.latency_p95_ms", agg="max")
        self.finalize()
        self.report(latency_p95_ms=worst)
