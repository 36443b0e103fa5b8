"""A study whose trials are paused, and go on where they were."""

from ray.tune.schedulers import HyperBandForBOHB

from optiprov import Optimization
from optiprov.optimize import SearchSpace
from optiprov.optimize.space import RandInt


class Resuming(Optimization):
    """One trial a level: of the first three the best goes on after its first step, two others run through."""

    resumes = True

    def run(self):
        """Search the levels in order."""
        return self.tune(
            SearchSpace((RandInt("level", 0, 4),), {"mode": "resuming"}),
            metric="score",
            mode="min",
            num_samples=5,
            search_alg="grid",
            scheduler=HyperBandForBOHB(max_t=3, reduction_factor=3, stop_last_trials=False),
        )

    def run_objective(self, _config):
        """Run the application, followed step by step."""
        self.prepare()
        self.launch(wait=False)
        for step in self.follow("step_output.score"):
            self.report(score=step.value)
        score = self.metric("work_output.score")
        self.finalize()
        self.report(score=score)
