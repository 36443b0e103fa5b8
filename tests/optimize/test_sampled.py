"""Designs: searchers without a model."""

import numpy as np
import pytest
from ray.tune.search.searcher import Searcher

from optiprov.errors import InputError
from optiprov.optimize.searchers import DesignSearch
from optiprov.optimize.searchers.sampled import DESIGNS
from optiprov.optimize.space import RandInt, SearchSpace, Uniform
from tests.optimize.searching import FINAL, GRID, MIXED, drive, loss, slope

SQUARE = SearchSpace((Uniform("x", 0.0, 1.0), Uniform("y", 0.0, 1.0)))


def searcher(kind, space=MIXED, **options) -> DesignSearch:
    """A searcher that minimizes `loss`."""
    return DesignSearch(space, kind=kind, **({"metric": "loss", "mode": "min", "seed": 1} | options))


@pytest.mark.parametrize("kind", [kind for kind in DESIGNS if kind != "grid"])
def test_design_lies_in_the_space_and_repeats_with_its_seed(kind):
    """Each kind, over every type of parameter; more trials than the design has are drawn at random."""
    tried = drive(searcher(kind, num_samples=10), 12)
    assert all(MIXED.contains(config) for config in tried)
    assert len({tuple(config.values()) for config in tried}) == 12
    assert drive(searcher(kind, num_samples=10), 12) == tried
    assert drive(searcher(kind, num_samples=10, seed=2), 12) != tried


@pytest.mark.parametrize("kind", ["lhs", "sobol", "halton"])
def test_design_fills_the_space_evenly(kind):
    """Of 64 points in a square, none of the 16 equal parts of either side has less than half its share."""
    tried = drive(searcher(kind, SQUARE, num_samples=64), 64, lambda _: 0.0)
    for name in SQUARE.names:
        counts, _ = np.histogram([config[name] for config in tried], bins=16, range=(0, 1))
        assert counts.min() >= 2


def test_random_study_of_more_trials_begins_with_those_of_fewer():
    """Its configurations depend on the seed alone, not on how many there are or how many run at a time."""
    first = drive(searcher("random", num_samples=8), 8)
    assert drive(searcher("random", num_samples=20), 20, in_flight=4)[:8] == first


def test_outcomes_change_no_design():
    """Whatever comes of the trials."""
    tried = drive(searcher("sobol", num_samples=12), 12, loss)
    assert drive(searcher("sobol", num_samples=12), 12, lambda config: -loss(config)) == tried


def test_grid_has_every_configuration_once_and_then_ends():
    """Ray ends a search that says that it is finished."""
    search = searcher("grid", SearchSpace(GRID.parameters, {"epochs": 8}), num_samples=100)
    tried = drive(search, 16, slope)
    assert [(config["a"], config["b"]) for config in tried] == [(a, b) for a in range(4) for b in range(4)]
    assert {config["epochs"] for config in tried} == {8}
    assert search.suggest("more") == Searcher.FINISHED
    search.on_trial_complete("more", {"loss": 1.0} | FINAL)
    assert len(search.observations) == 16


def test_grid_over_a_continuum_is_refused():
    """It has no steps; the message names the parameter."""
    with pytest.raises(InputError, match="a grid needs a step for 'x'"):
        searcher("grid", SearchSpace((RandInt("n", 1, 3), Uniform("x", 0.0, 1.0))))


def test_unknown_design_is_refused():
    """At once, as all that cannot work."""
    with pytest.raises(InputError, match="cannot be 'spiral'"):
        searcher("spiral")
