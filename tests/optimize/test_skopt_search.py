"""SkOptSearch against the real scikit-optimize."""

import json
import math

import numpy as np
import pytest
from skopt import Optimizer
from skopt.space import Categorical, Integer, Real

from optiprov.errors import InputError
from optiprov.optimize.searchers import Observation, SkOptSearch
from optiprov.optimize.space import LogRandInt, LogUniform, SearchSpace
from tests.optimize.searching import GRID, MIXED, drive


def searcher(space=MIXED, **options) -> SkOptSearch:
    """A searcher that minimizes `loss`."""
    return SkOptSearch(space, **({"metric": "loss", "mode": "min", "seed": 1} | options))


@pytest.mark.parametrize("estimator", ["GP", "ET", "RF"])
def test_model_proposes_better_points_than_random(estimator):
    """What the model proposes after 8 points is much better, in the median, than random search."""
    space = SearchSpace((LogUniform("rate", 0.001, 1.0), LogRandInt("kernels", 2, 64)))

    def cost(config):
        return math.log10(config["rate"] / 0.03) ** 2 + math.log10(config["kernels"] / 8) ** 2

    tried = drive(searcher(space, base_estimator=estimator, n_initial_points=8), 18, cost)
    random = drive(searcher(space, base_estimator="DUMMY"), 60, cost)
    assert np.median([cost(config) for config in tried[8:]]) < 0.5 * np.median([cost(c) for c in random])
    assert len({config["kernels"] for config in tried[8:]}) > 1


SETTINGS = [("acq_func", name) for name in ("gp_hedge", "EI", "LCB", "PI")] + [
    ("initial_point_generator", name) for name in ("lhs", "sobol", "halton", "hammersly", "grid", "random")
]


@pytest.mark.parametrize(("setting", "name"), SETTINGS)
def test_every_setting_proposes_points_of_the_space(setting, name):
    """Each acquisition function and initial design works, in plain Python values."""
    for config in drive(searcher(n_initial_points=4, **{setting: name}), 6):
        assert MIXED.contains(config)
        assert {type(value) for value in config.values()} <= {int, float, str, bool}
        assert json.loads(json.dumps(config)) == config


def test_optimizer_of_the_user_gives_settings_space_and_points():
    """A skopt.Optimizer made by hand, as in the scripts that people have."""
    dimensions = [
        Integer(0, 3, name="a"),
        Real(0.1, 1, "log-uniform", name="b"),
        Categorical(["x", "y"], name="c"),
    ]
    optimizer = Optimizer(dimensions, "ET", n_initial_points=3, initial_point_generator="lhs", random_state=3)
    optimizer.tell([2, 0.5, "y"], 0.25)
    search = SkOptSearch(optimizer=optimizer, metric="loss", mode="max")
    assert search.observations == [Observation({"a": 2, "b": 0.5, "c": "y"}, -0.25)]
    assert search.seed == 3
    tried = drive(search, 5, lambda c: c["a"] + c["b"])
    assert all(type(config["a"]) is int and config["c"] in ("x", "y") for config in tried)
    assert search._settings.base_estimator == "ET"


def test_optimizer_without_names_takes_them_from_tune():
    """Unnamed dimensions are filled from Tune's configuration."""
    search = SkOptSearch(optimizer=Optimizer([(0, 3), (0, 3)], n_initial_points=2, random_state=1))
    assert search.set_search_properties("loss", "min", GRID.to_tune())
    assert GRID.contains(search.suggest("t0"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_estimator": "GBRT"}, "GBRT.*scikit-learn.*Use 'GP'"),
        ({"base_estimator": "XX"}, "base_estimator cannot be 'XX'"),
        ({"acq_func": "EIps"}, "acq_func cannot be 'EIps'"),
        ({"initial_point_generator": "latin"}, "initial_point_generator cannot be 'latin'"),
        ({"n_initial_points": 0}, "n_initial_points needs to be at least 1"),
        ({"mode": "best"}, "mode needs to be 'min' or 'max'"),
        ({"metric": ["a", "b"]}, "one objective"),
    ],
)
def test_wrong_settings_are_told(options, message):
    """What cannot work says so at once, not after ten trials."""
    with pytest.raises(InputError, match=message):
        searcher(**options)
