"""The default search: random, by Ray Tune."""

import pytest
from ray import tune

from optiprov.optimize import Optimization, SearchSpace
from optiprov.optimize.plan import StudyPlan
from optiprov.optimize.space import Choice, LogUniform, QUniform, RandInt
from optiprov.optimize.tuning import _random_search

SPACE = SearchSpace(
    (
        RandInt("size", 1, 1000),
        LogUniform("lr", 1e-5, 1.0),
        QUniform("q", 0, 100, 1),
        Choice("c", ("a", "b", "c")),
    )
)


@pytest.fixture(scope="module", autouse=True)
def _trainable():
    """What the trials would run; none does."""
    tune.register_trainable("nothing", lambda _config: None)


def proposals(seed, *, max_concurrent=1, num_samples=12):
    """Return the configurations that the default search of a study proposes."""
    plan = StudyPlan(
        optimization=Optimization(seed=seed),
        space=SPACE,
        metric="loss",
        mode="min",
        num_samples=num_samples,
        search_alg=None,
        scheduler=None,
        max_concurrent=max_concurrent,
    )
    search = _random_search(plan)
    experiment = {"run": "nothing", "config": SPACE.to_tune(), "num_samples": num_samples}
    search.add_configurations({"study": experiment})
    configs = []
    while (trial := search.next_trial()) is not None:
        configs.append(trial.config)
        search.on_trial_complete(trial.trial_id)
    return configs


@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_same_seed_proposes_the_same(seed):
    """However many trials run at a time; another seed proposes others, and so does none."""
    first = proposals(seed)
    assert len(first) == 12
    assert proposals(seed) == proposals(seed, max_concurrent=4) == first
    assert proposals(seed + 1) != first
    assert proposals(None) != proposals(None)


def test_more_samples_go_on_with_the_same_sequence():
    """A study of 20 trials begins with the trials of one of 12."""
    assert proposals(7, num_samples=20)[:12] == proposals(7)
