"""A study that says by attributes how it searches, and whose trials can go on after a pause."""

from optiprov import Optimization, minimize
from optiprov.optimize import SearchSpace
from optiprov.optimize.space import RandInt


class Resuming(Optimization):
    """One trial a level: HyperBand compares the first three after one step, two others after three."""

    space = SearchSpace((RandInt("level", 0, 4),), {"mode": "resuming"})
    objectives = (minimize("score"),)
    num_samples = 9
    search = "grid"
    resumes = True

    def run_objective(self, _config):
        """Run the application, followed step by step."""
        self.prepare()
        self.launch(wait=False)
        for step in self.follow("step_output.score"):
            self.report(score=step.value)
        score = self.metric("work_output.score")
        self.finalize()
        self.report(score=score)
