"""Every searcher that has a name."""

from importlib.util import find_spec

import pytest
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.search_generator import SearchGenerator

from optiprov.errors import InputError, MissingExtraError
from optiprov.optimize.searchers.registry import SEARCHERS, make_searcher
from optiprov.optimize.space import Choice, LogRandInt, QUniform, RandInt, SearchSpace
from tests.optimize.searching import FINAL, MIXED, drive, loss

EXTRAS = {
    "optuna-gp": ("torch", "torch"),
    "hyperopt": ("hyperopt", "hyperopt"),
    "bohb": ("hpbandster", "bohb"),
}
STEPS = SearchSpace(
    (
        RandInt("kernel_size", 2, 5),
        LogRandInt("num_kernels", 8, 16),
        QUniform("dropout", 0.0, 0.2, 0.1),
        Choice("optimizer", ("sgd", "adam", True)),
    ),
    {"epochs": 8},
)


def cost(config) -> float:
    """The loss of what STEPS has."""
    return loss(config | {"learning_rate": 0.03})


@pytest.fixture(params=SEARCHERS)
def make(request):
    """Makes the searcher of a name."""
    name = request.param
    module, extra = EXTRAS.get(name, ("optuna", "optuna"))
    if find_spec(module) is None:
        with pytest.raises(MissingExtraError, match=rf"optiprov\[{extra}\]"):
            make_searcher(name, STEPS, metric="loss", mode="min", num_samples=12)
        pytest.skip(f"without {module}, which it says")
    return lambda space=STEPS, seed=1: make_searcher(
        name, space, metric="loss", mode="min", num_samples=12, seed=seed
    )


def test_searcher_of_a_name_searches_by_ray(make):
    """Under Ray's generator and limiter, over every type of a parameter with steps, constants included."""
    search = make()
    generator = SearchGenerator(ConcurrencyLimiter(search, max_concurrent=2))
    assert generator.set_search_properties("loss", "min", STEPS.to_tune())
    tune.register_trainable("nothing", lambda _config: None)
    generator.add_configurations({"s": {"run": "nothing", "config": STEPS.to_tune(), "num_samples": 12}})
    configs = []
    while (trial := generator.next_trial()) is not None:
        configs.append(trial.config)
        assert STEPS.contains(trial.config)
        assert trial.config["epochs"] == 8
        assert {type(value) for value in trial.config.values()} <= {int, float, str, bool}
        generator.on_trial_complete(trial.trial_id, {"loss": cost(trial.config)} | FINAL)
    assert len(configs) == 12


def test_searcher_of_a_name_repeats_with_its_seed(make):
    """The same sequence, with two in flight and failures among the trials."""

    def objective(config):
        return float("nan") if config["kernel_size"] == 2 else cost(config)

    first = drive(make(), 10, objective, in_flight=2)
    assert drive(make(), 10, objective, in_flight=2) == first
    assert all(STEPS.contains(config) for config in first)


def test_unknown_name_is_told_with_the_likely_one():
    """A misspelt name is answered with its nearest, any other with all."""
    for name, hint in (
        ("otpuna-tpe", "Did you mean 'optuna-tpe'"),
        ("xxxxxxx", "There are auto, random, grid"),
    ):
        with pytest.raises(InputError, match=f"no search '{name}'. {hint}"):
            make_searcher(name, MIXED, metric="loss", mode="min", num_samples=12)


def test_names_of_designs_have_as_many_points_as_there_are_trials():
    """A Latin hypercube of twelve has each twelfth of an axis once."""
    search = make_searcher("lhs", MIXED, metric="loss", mode="min", num_samples=12, seed=3)
    drive(search, 12)
    rates = sorted(seen.config["learning_rate"] for seen in search.observations)
    edges = [0.001 ** (1 - index / 12) for index in range(13)]
    assert all(low <= rate <= high for low, rate, high in zip(edges, rates, edges[1:], strict=False))
