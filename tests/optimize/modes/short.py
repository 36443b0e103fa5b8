"""A study that says by attributes how it searches."""

from optiprov import Optimization, maximize
from optiprov.optimize import SearchSpace
from optiprov.optimize.space import RandInt


class Short(Optimization):
    """Applications that end well; how well, is their level."""

    space = SearchSpace((RandInt("level", 0, 40),), {"mode": "fine"})
    objectives = (maximize("score"),)
    num_samples = 3

    def run_objective(self, _config):
        """Run the application, followed step by step."""
        self.prepare()
        self.launch(wait=False)
        for step in self.follow("step_output.score"):
            self.report(score=step.value)
        score = self.metric("work_output.score")
        self.finalize()
        self.report(score=score)
