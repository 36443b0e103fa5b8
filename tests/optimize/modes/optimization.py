"""A study over the ways in which an application can end."""

import os
import signal
import threading
import time

from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher

from optiprov import Optimization
from optiprov.optimize import SearchSpace, SkOptSearch

MODES = os.environ.get("TEST_MODES", "fine,crash,silent,nan,infinite,text,killed,raises,fine").split(",")


class GivesUp(Searcher):
    """Hands on two suggestions of another searcher, then raises."""

    def __init__(self, inner):
        super().__init__(metric="score", mode="max")
        self._inner = inner
        self._suggested = 0

    def set_search_properties(self, metric, mode, config, **spec):
        """Hand on."""
        return self._inner.set_search_properties(metric, mode, config, **spec)

    def suggest(self, trial_id):
        """Suggest, or give up."""
        self._suggested += 1
        if self._suggested > 2:
            raise RuntimeError("the searcher gave up")
        return self._inner.suggest(trial_id)

    def on_trial_complete(self, trial_id, result=None, error=False):
        """Hand on."""
        self._inner.on_trial_complete(trial_id, result, error=error)


def die_when_begun(directory):
    """Kill this process once the trial's application has said that it has begun."""
    while not any(output.read_text() for output in directory.glob("logs/*/launch-*.out")):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


class Modes(Optimization):
    """One trial a mode, in order."""

    trials_seen = 0

    def run(self):
        """Search among the modes, in the order of the variable TEST_MODES."""
        space = SearchSpace.from_yaml(self.source_dir / "space.yaml")
        points = [{"mode": mode, "level": 50 - number} for number, mode in enumerate(MODES)]
        search = SkOptSearch(space, metric="score", mode="max", points_to_evaluate=points, seed=1)
        if os.environ.get("TEST_SEARCH_RAISES"):
            search = GivesUp(search)
        scheduler = None
        if os.environ.get("TEST_SCHEDULER"):
            scheduler = AsyncHyperBandScheduler(grace_period=2, reduction_factor=2, max_t=100)
        return self.tune(
            space,
            metric="score",
            mode="max",
            num_samples=len(MODES),
            search_alg=ConcurrencyLimiter(search, max_concurrent=2),
            scheduler=scheduler,
        )

    def run_objective(self, config):
        """Run the application, followed step by step where there is a scheduler."""
        self.trials_seen += 1
        assert self.trials_seen == 1, "an attribute leaked from the trial before"
        self.prepare()
        if config["mode"] == "dies":
            threading.Thread(target=die_when_begun, args=(self.trial.directory,), daemon=True).start()
        if config["mode"] == "raises":
            raise RuntimeError("the objective itself is wrong")
        self.launch(wait=not os.environ.get("TEST_SCHEDULER"))
        if os.environ.get("TEST_SCHEDULER"):
            for step in self.follow("step_output.score"):
                self.report(score=step.value)
        score = self.metric("work_output.score")
        self.finalize()
        self.report(score=score)
