"""Choose the hyperparameters of a small image classifier, split between an edge device and a cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search import ConcurrencyLimiter

from optiprov import Optimization
from optiprov.optimize import SkOptSearch

if TYPE_CHECKING:
    from optiprov.optimize.results import StudyResult

HYPERPARAMETERS = ("kernel_size", "num_kernels", "length_of_strides", "pooling_size")


class DigitsOptimization(Optimization):
    """24 trials, two at a time; a trial that falls behind is stopped between two epochs."""

    resumes = True  # the Master keeps what it has trained in OPTIPROV_CHECKPOINT_DIR

    def run(self) -> StudyResult:
        """Search with a Gaussian process, and stop early what does not promise to become good."""
        space = self.search_space("search_spaces/digits.yaml")
        search = SkOptSearch(space, metric="accuracy", mode="max", base_estimator="GP", seed=self.seed)
        scheduler = AsyncHyperBandScheduler(time_attr="training_iteration", max_t=13, grace_period=2)
        result = self.tune(
            space,
            metric="accuracy",
            mode="max",
            num_samples=24,
            search_alg=ConcurrencyLimiter(search, max_concurrent=2),
            scheduler=scheduler,
        )
        result.ask(
            "Which hyperparameters obtained an accuracy above 90 %?",
            select=[
                *(f"used.{name}" for name in HYPERPARAMETERS),
                "generated.accuracy",
                "generated.training_time",
            ],
            where={"transformation": "training", "generated.accuracy": {"$gt": 0.9}},
            sort=[("generated.accuracy", "descending")],
        )
        return result

    def run_objective(self, config: dict[str, Any]) -> None:
        """Deploy Worker and Master, follow the accuracy of each epoch, and report the final one."""
        self.prepare()
        self.launch(optimization_config=config, wait=False)
        for step in self.follow("epoch_output.accuracy"):
            self.report(accuracy=step.value)
        accuracy = self.metric("training_output.accuracy")
        self.finalize()
        self.report(accuracy=accuracy)
