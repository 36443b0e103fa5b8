"""What every searcher with a ledger does, against Ray's real searcher interface."""

import json
import time
from functools import partial

import numpy as np
import pytest
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.search_generator import SearchGenerator

from optiprov.errors import InputError, SearchSpaceError
from optiprov.optimize.searchers import AutoSearch, Observation, OptunaSearch, SkOptSearch
from optiprov.optimize.searchers.optuna import is_there
from optiprov.optimize.space import Choice, SearchSpace, Uniform
from tests.optimize.searching import FINAL, GRID, MIXED, drive, loss, slope

CONTENDERS = [
    pytest.param(SkOptSearch, id="skopt"),
    pytest.param(AutoSearch, id="auto"),
    pytest.param(partial(AutoSearch, num_samples=1000), id="auto-large"),
    *(
        pytest.param(partial(OptunaSearch, sampler=name), id=name)
        for name in ("tpe", "cmaes", "nsga2", "gp")
        if name != "gp" or is_there(name)
    ),
]
HAVE_A_MEAN = (SkOptSearch, AutoSearch)
"""Those that say what they expect; Optuna's do not."""


@pytest.fixture(params=CONTENDERS)
def searcher(request):
    """Makes a searcher that minimizes `loss`."""

    def make(space=MIXED, **options):
        return request.param(space, **({"metric": "loss", "mode": "min", "seed": 1} | options))

    return make


def test_space_of_choices_only_is_searched(searcher):
    """A purely categorical space has another kernel in scikit-optimize; it works too."""
    space = SearchSpace((Choice("x", ("a", "b", "c")), Choice("y", (1, 2, 4)), Choice("z", ("only",))))
    tried = drive(searcher(space, n_initial_points=3), 9, lambda c: c["y"] + (c["x"] != "b"))
    assert {"x": "b", "y": 1, "z": "only"} in tried
    assert len({tuple(config.values()) for config in tried}) == 9


def test_trials_in_flight_never_get_the_same_configuration(searcher):
    """Eight at a time over a discrete space: no configuration is tried twice while there are others."""
    tried = drive(searcher(GRID, n_initial_points=5), 16, slope, in_flight=8)
    assert len({(config["a"], config["b"]) for config in tried}) == 16


def test_exhausted_space_is_searched_again(searcher):
    """With every configuration tried, the search goes on with repeats."""
    tried = drive(searcher(GRID, n_initial_points=5), 18, slope)
    assert len({(config["a"], config["b"]) for config in tried[:16]}) == 16
    assert all(GRID.contains(config) for config in tried[16:])


def test_initial_design_is_handed_out_once_each_while_none_has_ended(searcher):
    """scikit-optimize repeats an initial point until its value arrives; concurrent trials need their own."""
    search = searcher(n_initial_points=10)
    configs = [search.suggest(f"t{index}") for index in range(10)]
    assert len({tuple(config.values()) for config in configs}) == 10
    assert {held.reason for held in search.suggestions.values()} == {"initial design"}
    assert search.suggest("more").keys() == configs[0].keys()
    assert search.suggestions["more"].reason == "unseen"


def test_model_is_told_of_trials_in_flight(searcher):
    """Pending points move the next proposal away: without them it would be proposed again."""
    space = SearchSpace((Uniform("x", 0.0, 1.0),))
    search = searcher(space, n_initial_points=5)
    drive(search, 8, lambda c: (c["x"] - 0.3) ** 2)
    pending = [search.suggest(f"p{index}")["x"] for index in range(3)]
    assert min(abs(a - b) for i, a in enumerate(pending) for b in pending[:i]) > 1e-4
    held = search.suggestions["p0"]
    assert held.reason in ("model", "unseen")


@pytest.mark.parametrize("searcher", HAVE_A_MEAN)
@pytest.mark.parametrize("mode", ["min", "max"])
def test_suggestions_say_what_the_model_expects(searcher, mode):
    """In the objective's own sign, with its uncertainty."""
    space = SearchSpace((Uniform("x", 0.0, 1.0),))
    sign = 1.0 if mode == "min" else -1.0
    search = searcher(space, metric="loss", mode=mode, seed=1, n_initial_points=6)
    drive(search, 8, lambda c: sign * (50 + (c["x"] - 0.3) ** 2))
    search.suggest("p0")
    held = search.suggestions["p0"]
    assert held.predicted == pytest.approx(sign * 50, abs=1)
    assert held.predicted_std is not None


def test_same_seed_gives_the_same_sequence(searcher):
    """A study can be repeated; another seed gives another."""
    first, second = (drive(searcher(n_initial_points=4), 8, in_flight=2) for _ in range(2))
    assert first == second
    assert drive(searcher(), 3) != drive(searcher(seed=2), 3)


def test_seed_is_drawn_and_kept_when_none_is_given(searcher):
    """Even a study without a seed can be repeated: with the one that was drawn."""
    search = searcher(seed=None)
    assert drive(search, 3) == drive(searcher(seed=search.seed), 3)


def test_save_and_restore_go_on_where_they_were(searcher, tmp_path):
    """A restored searcher proposes what the saved one would have, trials in flight included."""
    search = searcher(n_initial_points=4)
    drive(search, 7, in_flight=2)
    search.save(str(tmp_path / "state"))
    assert json.loads((tmp_path / "state").read_text())["seed"] == 1
    again = searcher(seed=99, n_initial_points=4)
    again.restore(str(tmp_path / "state"))
    assert again.suggestions == search.suggestions
    for one in (search, again):
        one.on_trial_complete("t6", {"loss": 1.0} | FINAL)
    assert drive(again, 3, first=7) == drive(search, 3, first=7)


def test_restore_refuses_a_state_of_another_space(searcher, tmp_path):
    """The message names both parameter lists."""
    search = searcher()
    search.save(str(tmp_path / "state"))
    with pytest.raises(InputError, match=r"kernel_size.* but the space has a, b"):
        searcher(GRID).restore(str(tmp_path / "state"))


def told(search) -> list[float]:
    """What the model is told, to be minimized."""
    return [value for _, value in search._ledger.targets()]


def test_failed_and_nan_trials_count_as_the_worst_value_seen(searcher):
    """A crash, a NaN and a missing metric are failures; without values nothing is told."""
    search = searcher(GRID, n_initial_points=9)
    for index in range(5):
        search.suggest(f"t{index}")
    search.on_trial_complete("t0", error=True)
    assert told(search) == []
    search.on_trial_complete("t1", {"loss": float("nan")} | FINAL)
    search.on_trial_complete("t2", {"other": 1.0} | FINAL)
    search.on_trial_complete("t3", {"loss": 2.0} | FINAL)
    search.on_trial_complete("t4", {"loss": 5.0} | FINAL)
    assert [seen.kind for seen in search.observations] == ["failed"] * 3 + ["final"] * 2
    assert told(search) == [5.0, 5.0, 5.0, 2.0, 5.0]


@pytest.mark.parametrize(
    ("mode", "last", "expected"), [("min", 1.0, 3.0), ("min", 9.0, 9.0), ("max", 9.0, -3.0)]
)
def test_stopped_trial_counts_as_the_worse_of_its_value_and_the_median_final(searcher, mode, last, expected):
    """A value on the way to an early stop is of lower fidelity: it never passes for a good final."""
    search = searcher(GRID, mode=mode, n_initial_points=9)
    for index, value in enumerate([2.0, 3.0, 4.0]):
        search.suggest(f"t{index}")
        search.on_trial_complete(f"t{index}", {"loss": value} | FINAL)
    config = search.suggest("stopped")
    search.on_trial_result("stopped", {"loss": 100.0})
    search.on_trial_complete("stopped", {"loss": last})
    assert search.observations[-1] == Observation(config, last, "stopped", "stopped")
    assert told(search)[-1] == expected


def test_stopped_trials_before_the_first_final_are_not_told(searcher):
    """Without a final there is nothing to compare a low fidelity with; the search goes on at random."""
    search = searcher(GRID, n_initial_points=1)
    search.suggest("t0")
    search.on_trial_result("t0", {"loss": 1.0, "optiprov_final": False})
    search.on_trial_complete("t0", {"loss": 1.0})
    assert search.observations[0].kind == "stopped"
    assert told(search) == []
    assert GRID.contains(search.suggest("t1"))


def test_trial_stopped_while_paused_counts_with_its_last_report(searcher):
    """Ray gives no result for a trial that is removed while paused."""
    search = searcher(GRID)
    search.suggest("t0")
    search.on_trial_result("t0", {"loss": 4.0})
    search.on_trial_complete("t0", None)
    assert (search.observations[0].kind, search.observations[0].value) == ("stopped", 4.0)


def test_foreign_trainables_count_as_final_until_the_key_shows_up(searcher):
    """A trainable without our key reports finals; once the key was seen, trials without it were stopped."""
    search = searcher(GRID)
    for index in range(3):
        search.suggest(f"t{index}")
    search.on_trial_complete("t0", {"loss": 1.0})
    search.on_trial_complete("t1", {"loss": 2.0})
    assert [seen.kind for seen in search.observations] == ["final", "final"]
    search.on_trial_complete("t2", {"loss": 3.0} | FINAL)
    assert [seen.kind for seen in search.observations] == ["stopped", "stopped", "final"]
    always = searcher(GRID, final_key=None)
    always.suggest("t0")
    always.on_trial_complete("t0", {"loss": 1.0})
    assert always.observations[0].kind == "final"


def test_space_metric_and_mode_come_from_tune(searcher):
    """Under ConcurrencyLimiter and Tune's generator: constants stay Tune's, limits hold, results arrive."""
    search = searcher(None, metric=None, mode=None, n_initial_points=3)
    limited = ConcurrencyLimiter(search, max_concurrent=2)
    generator = SearchGenerator(limited)
    config = {"a": tune.randint(0, 4), "b": tune.randint(0, 4), "epochs": 3}
    assert generator.set_search_properties("loss", "max", config)
    assert set(limited.suggest("t0")) == {"a", "b"}
    assert limited.suggest("t1") is not None
    assert limited.suggest("t2") is None
    limited.on_trial_complete("t0", {"loss": 1.0} | FINAL)
    assert limited.suggest("t2") is not None
    assert [seen.value for seen in search.observations] == [1.0]
    assert (search.metric, search.mode) == ("loss", "max")


def test_tunes_own_checkpoint_restores_the_searcher(searcher, tmp_path):
    """Tune saves and restores searchers by directory, through the limiter."""
    search = searcher(GRID)
    generator = SearchGenerator(ConcurrencyLimiter(search, max_concurrent=2))
    drive(search, 4, slope)
    generator.save_to_dir(str(tmp_path), "session")
    fresh = searcher(GRID, seed=5)
    SearchGenerator(ConcurrencyLimiter(fresh, max_concurrent=2)).restore_from_dir(str(tmp_path))
    assert fresh.observations == search.observations


def test_second_space_from_tune_is_refused_unless_it_is_the_same(searcher):
    """Tune raises for a param_space that the searcher does not search: it has to be told."""
    search = searcher(GRID, metric=None, mode=None)
    assert not search.set_search_properties("loss", "min", {"c": tune.uniform(0, 1)})
    assert search.set_search_properties("loss", "min", GRID.to_tune())
    assert (search.metric, search.mode) == ("loss", "min")


def test_constants_of_a_given_space_are_in_every_configuration(searcher):
    """A space file's constants reach the trial, and stay out of the observations."""
    search = searcher(SearchSpace(GRID.parameters, {"epochs": 8}))
    assert search.suggest("t0")["epochs"] == 8
    search.on_trial_complete("t0", {"loss": 1.0})
    assert set(search.observations[0].config) == {"a", "b"}


def test_points_to_evaluate_come_first_and_are_checked(searcher):
    """The user's own configurations are tried before the design."""
    points = [{"a": 1, "b": 2}, {"a": 0, "b": 0}]
    search = searcher(GRID, points_to_evaluate=points)
    assert drive(search, 2, slope) == points
    with pytest.raises(SearchSpaceError, match="'a' cannot be 7"):
        searcher(GRID, points_to_evaluate=[{"a": 7, "b": 0}])


def test_evaluated_points_warm_start_the_model(searcher):
    """Known points replace the initial design, and are not tried again."""
    search = searcher(GRID, n_initial_points=4)
    for a in range(4):
        search.add_evaluated_point({"a": a, "b": 3, "epochs": 8}, a + 3.0)
    search.add_evaluated_point({"a": 3, "b": 2}, float("nan"))
    search.add_evaluated_point({"a": 2, "b": 2}, 9.0, pruned=True)
    assert [seen.kind for seen in search.observations][3:] == ["final", "failed", "stopped"]
    search.suggest("t0")
    assert search.suggestions["t0"].reason == "model"
    assert search.suggestions["t0"].config["b"] != 3


def test_suggesting_without_space_or_metric_is_told(searcher):
    """The message says what to give, and where."""
    with pytest.raises(InputError, match="no search space"):
        searcher(None).suggest("t0")
    with pytest.raises(InputError, match="needs metric and mode"):
        searcher(GRID, metric=None, mode=None).suggest("t0")


def test_suggestion_at_60_observations_takes_under_0_3_s_of_cpu(searcher, request):
    """The bound of the issue, on the mixed space with the default model; the best of three."""
    if request.node.callspec.id == "gp":
        pytest.skip("Optuna's own Gaussian process takes more than a second")
    search = searcher()
    rng = np.random.default_rng(0)
    for _ in range(60):
        config = MIXED.sample(rng)
        search.add_evaluated_point(config, loss(config))
    taken = []
    for index in range(3):
        start = time.process_time()
        search.suggest(f"t{index}")
        taken.append(time.process_time() - start)
    assert min(taken) < 0.3
    assert search.suggestions["t0"].reason == "model"
