"""The Gaussian process, the expected improvement and the unit cube behind the searcher `auto`."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, check_grad
from scipy.stats import norm

from optiprov.optimize.searchers.bayesian import MAX_VALUES, Bayesian
from optiprov.optimize.searchers.expected_improvement import log_improvement
from optiprov.optimize.searchers.gaussian_process import GaussianProcess, cost_of, fit
from optiprov.optimize.searchers.scaling import Scaling
from optiprov.optimize.searchers.unit_space import UnitSpace
from optiprov.optimize.space import Choice, LogRandInt, LogUniform, QUniform, RandInt, SearchSpace, Uniform

MIXED = SearchSpace(
    (
        Uniform("x", -5.0, 10.0),
        LogUniform("rate", 1e-4, 1.0),
        QUniform("dropout", 0.0, 0.5, 0.05),
        RandInt("threads", 20, 60),
        LogRandInt("kernels", 2, 64),
        RandInt("many", 0, 10**9),
        RandInt("one", 3, 3),
        Choice("optimizer", ("sgd", "adam", True)),
    ),
    {"epochs": 8},
)


@pytest.fixture
def sine():
    """Points of a square, and the values of a function without noise there."""
    points = np.random.default_rng(1).random((25, 2))
    return points, np.sin(5 * points[:, 0]) + points[:, 1] ** 2


def test_gradient_of_the_cost_is_the_slope_of_it():
    """What is minimized when a process is fitted has the gradient that it says, categories included."""
    rng = np.random.default_rng(0)
    points, values = rng.random((12, 3)), rng.standard_normal(12)
    points[:, 2] = rng.integers(3, size=12)
    differences = points[:, None, :] - points[None, :, :]
    squares = np.where([False, False, True], differences != 0, differences**2)
    for _ in range(5):
        parameters = rng.uniform(-3, 2, 5)
        error = check_grad(
            lambda at: cost_of(at, squares, values)[0], lambda at: cost_of(at, squares, values)[1], parameters
        )
        assert error < 1e-4 * np.linalg.norm(cost_of(parameters, squares, values)[1])


def test_process_passes_through_values_without_noise(sine):
    """Where a value is known the process expects it; elsewhere it is unsure, and right."""
    points, values = sine
    scaling = Scaling.plain(values)
    process = fit(points, scaling.apply(values), np.zeros(2, bool))
    means, variances = process.predict(points)
    assert means == pytest.approx(scaling.apply(values), abs=0.01)
    others = np.random.default_rng(2).random((50, 2))
    expected, unsure = process.predict(others)
    true = scaling.apply(np.sin(5 * others[:, 0]) + others[:, 1] ** 2)
    assert np.abs(expected - true).max() < 0.3
    assert unsure.mean() > variances.mean()


def test_noise_is_estimated():
    """Values with noise are not passed through, and how large it is is found."""
    rng = np.random.default_rng(3)
    points = rng.random((80, 1))
    values = np.sin(6 * points[:, 0]) + 0.3 * rng.standard_normal(80)
    scaling = Scaling.plain(values)
    process = fit(points, scaling.apply(values), np.zeros(1, bool))
    assert math.sqrt(process.noise) * scaling.std == pytest.approx(0.3, rel=0.3)


def test_slope_is_that_of_predictions(sine):
    """Means and variances change with a point as the process says."""
    points, values = sine
    process = fit(points, Scaling.plain(values).apply(values), np.zeros(2, bool))
    at = np.array([0.3, 0.6])
    slope = process.slope(at)
    assert (slope.mean, slope.variance) == pytest.approx([part[0] for part in process.predict(at[None, :])])
    for index, gradient in enumerate((slope.mean_gradient, slope.variance_gradient)):
        by_steps = approx_fprime(at, lambda x, index=index: process.predict(x[None, :])[index][0], 1e-6)
        assert gradient == pytest.approx(by_steps, abs=1e-4)


def test_believing_changes_no_expectation_and_lessens_doubt(sine):
    """A point in flight is expected to be what the process expects: only less is unknown around it."""
    points, values = sine
    process = fit(points, Scaling.plain(values).apply(values), np.zeros(2, bool))
    at = np.array([[0.95, 0.05]])
    believing = process.believing(at)
    assert believing.predict(at)[0] == pytest.approx(process.predict(at)[0], abs=1e-3)
    assert believing.predict(at)[1] < process.predict(at)[1]


@pytest.mark.parametrize("scaled", [-3.0, -0.5, 0.0, 2.0])
def test_log_improvement_is_the_logarithm_of_the_expected_improvement(scaled):
    """Held to the textbook's formula where that can be computed."""
    mean, std, best = 1.0 - scaled * 0.5, 0.5, 1.0
    plain = (best - mean) * norm.cdf(scaled) + std * norm.pdf(scaled)
    assert log_improvement(np.array([mean]), np.array([std**2]), best)[0] == pytest.approx(math.log(plain))


def test_log_improvement_falls_where_the_improvement_itself_is_zero():
    """Far above the best there is still a way downhill."""
    means = np.array([10.0, 100.0, 1e3, 1e5, 1e6])
    logarithms = log_improvement(means, np.ones(5), 0.0)
    assert np.isfinite(logarithms).all()
    assert (np.diff(logarithms) < 0).all()


@given(st.integers(0, 2**32 - 1))
def test_config_is_back_from_its_point(seed):
    """Every configuration lies at a point of the cube, from which it comes back."""
    unit = UnitSpace(MIXED)
    config = MIXED.sample(np.random.default_rng(seed))
    point = unit.points([config])[0]
    back = unit.config(point)
    assert MIXED.contains(back)
    assert {name: back[name] for name in ("dropout", "threads", "kernels", "one", "optimizer", "epochs")} == {
        name: config[name] for name in ("dropout", "threads", "kernels", "one", "optimizer", "epochs")
    }
    assert back["x"] == pytest.approx(config["x"])
    assert back["rate"] == pytest.approx(config["rate"])


@given(st.integers(0, 2**32 - 1))
def test_any_point_snaps_to_a_config(seed):
    """Points from anywhere are moved to where there are configurations, and no further."""
    unit = UnitSpace(MIXED)
    anywhere = np.random.default_rng(seed).uniform(-0.5, 1.5, (1, len(MIXED)))
    anywhere[0, -1] = 2
    snapped = unit.snap(anywhere)
    config = unit.config(snapped[0])
    assert MIXED.contains(config)
    listed = [index for index, name in enumerate(MIXED.names) if name not in ("x", "rate", "many")]
    assert unit.points([config])[0][listed] == pytest.approx(snapped[0][listed])


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=20), st.floats(-3, 3))
def test_scaling_is_undone(values, scaled):
    """What is scaled, with a power or without, is the same when the scaling is undone."""
    array = np.array(values)
    for scaling in (Scaling.plain(array), Scaling.bending(array)):
        if scaling is None:
            continue
        there = scaling.apply(array)
        assert np.isfinite(there).all()
        spread = max(np.ptp(array), 1e-9)
        for value, one in zip(array, there, strict=True):
            assert scaling.undo(float(one), 0.0)[0] == pytest.approx(value, abs=1e-5 * spread)
        middle, std = scaling.undo(scaled, 1.0)
        assert math.isfinite(middle)
        assert std >= 0


def test_design_is_spread_and_the_same_for_a_seed():
    """Sobol's points cover each half of each axis, whatever the size."""
    proposer = Bayesian(SearchSpace((Uniform("a", 0.0, 1.0), RandInt("b", 1, 8))))
    design = proposer.design(7, seed=3)
    assert design == proposer.design(7, seed=3) != proposer.design(7, seed=4)
    assert len(design) == 7
    assert (
        {config["a"] < 0.5 for config in design} == {config["b"] <= 4 for config in design} == {True, False}
    )


def test_many_values_are_fitted_to_in_part():
    """Of more values than a fit can take in time, the best stay among those that it is told."""
    space = SearchSpace((Uniform("a", 0.0, 1.0),))
    rng = np.random.default_rng(0)
    targets = [({"a": float(a)}, (a - 0.3) ** 2) for a in rng.random(3 * MAX_VALUES)]
    proposal = Bayesian(space).propose(targets, set(), seed=0)
    assert abs(proposal.config["a"] - 0.3) < 0.05


def test_process_takes_constant_values():
    """Where all trials gave the same there is nothing to learn, and nothing that fails."""
    points = np.random.default_rng(0).random((6, 2))
    values = np.full(6, 3.0)
    process = fit(points, Scaling.plain(values).apply(values), np.zeros(2, bool))
    assert isinstance(process, GaussianProcess)
    space = SearchSpace((Uniform("a", 0.0, 1.0), Uniform("b", 0.0, 1.0)))
    targets = [({"a": float(a), "b": float(b)}, 3.0) for a, b in points]
    assert space.contains(Bayesian(space).propose(targets, set(), seed=1).config)
