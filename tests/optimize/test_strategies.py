"""The searcher and the scheduler of a study: by default, by name, as objects, and by the command line."""

from dataclasses import replace
from pathlib import Path

import pytest
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
)
from ray.tune.schedulers.pb2 import PB2
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter

from optiprov import Optimization, maximize, minimize
from optiprov.errors import InputError
from optiprov.optimize import SearchSpace, SkOptSearch
from optiprov.optimize.plan import StudyOptions, StudyPlan
from optiprov.optimize.schedulers import SCHEDULERS, largest_bracket
from optiprov.optimize.searchers import AutoSearch, DesignSearch
from optiprov.optimize.space import Choice, LogUniform, QUniform, RandInt
from optiprov.optimize.strategies import with_strategies
from optiprov.optimize.study import Study

SPACE = SearchSpace(
    (
        RandInt("size", 1, 1000),
        LogUniform("lr", 1e-5, 1.0),
        QUniform("q", 0, 100, 1),
        Choice("c", ("a", "b", "c")),
    )
)


class Resuming(Optimization):
    """One of an application that can be paused."""

    resumes = True


def plan_of(optimization, **changes):
    """A plan with the default search."""
    plan = StudyPlan(
        optimization=optimization,
        space=SPACE,
        metric="loss",
        mode="min",
        num_samples=12,
        search_alg=None,
        scheduler=None,
        max_concurrent=1,
    )
    return replace(plan, **changes)


def proposals(seed, **changes):
    """Return the first configurations that the searcher of a study proposes."""
    search = with_strategies(plan_of(Optimization(seed=seed), **changes)).search_alg
    configs = []
    for index in range(12):
        configs.append(search.suggest(f"t{index}"))
        search.on_trial_complete(f"t{index}", {"loss": configs[-1]["size"]})
    return configs


def test_default_is_auto_with_the_seed_of_the_study():
    """It gets space, metric, mode and seed from the plan, and is limited to the trials that run."""
    plan = with_strategies(plan_of(Optimization(seed=7), max_concurrent=3))
    assert isinstance(plan.search_alg, ConcurrencyLimiter)
    assert plan.search_alg.max_concurrent == 3
    assert isinstance(plan.search_alg.searcher, AutoSearch)
    assert (plan.search_alg.metric, plan.search_alg.mode, plan.search_alg.searcher.seed) == ("loss", "min", 7)
    assert plan.settings()["search"] == "auto"


@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_same_seed_proposes_the_same(seed):
    """Another seed proposes others, and so does none."""
    first = proposals(seed)
    assert proposals(seed) == first
    assert proposals(seed + 1) != first
    assert proposals(None) != proposals(None)


def test_seed_that_was_drawn_is_recorded():
    """A study without a seed is repeated with the one in its settings."""
    plan = with_strategies(plan_of(Optimization(), search_alg="random"))
    assert plan.settings()["seed"] == plan.search_alg.searcher.seed
    assert with_strategies(plan_of(Optimization(seed=4))).settings()["seed"] == 4


def test_more_random_samples_go_on_with_the_same_sequence():
    """A study of 20 trials begins with the trials of one of 12."""
    first = proposals(7, search_alg="random")
    assert proposals(7, search_alg="random", num_samples=20, max_concurrent=4) == first


def test_names_and_objects_are_recorded():
    """A name as it is, an object by its class."""
    named = with_strategies(plan_of(Optimization(), search_alg="sobol", scheduler="asha"))
    assert isinstance(named.search_alg.searcher, DesignSearch)
    assert (named.settings()["search"], named.settings()["scheduler"]) == ("sobol", "asha")
    given = with_strategies(plan_of(Optimization(), search_alg=SkOptSearch(SPACE), scheduler=FIFOScheduler()))
    assert (given.settings()["search"], given.settings()["scheduler"]) == ("SkOptSearch", "FIFOScheduler")
    assert with_strategies(plan_of(Optimization())).settings()["scheduler"] == "default"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search_alg": "randon"}, "no search 'randon'. Did you mean 'random'"),
        ({"search_alg": "grid"}, "a grid needs a step for 'lr'"),
        ({"scheduler": "ahsa"}, "no scheduler 'ahsa'. Did you mean 'asha'"),
        ({"scheduler": "zzz"}, "There are fifo, asha, median, hyperband"),
    ],
)
def test_names_that_cannot_work_are_refused(changes, message):
    """Before anything is started."""
    with pytest.raises(InputError, match=message):
        with_strategies(plan_of(Optimization(), **changes))


def test_schedulers_by_name_end_no_trial_for_having_come_far():
    """An application that reports 200 steps is not cut off at Ray's 81 or 100."""
    expected = {
        "fifo": FIFOScheduler,
        "asha": AsyncHyperBandScheduler,
        "median": MedianStoppingRule,
        "hyperband": HyperBandForBOHB,
    }
    assert list(SCHEDULERS) == list(expected)
    for name, kind in expected.items():
        scheduler = with_strategies(plan_of(Resuming(), scheduler=name)).scheduler
        assert type(scheduler) is kind
        assert not getattr(scheduler, "_stop_last_trials", False)


@pytest.mark.parametrize(
    "scheduler",
    [HyperBandScheduler(max_t=3), HyperBandForBOHB(), MedianStoppingRule(hard_stop=False), "hyperband"],
)
def test_schedulers_that_pause_need_an_application_that_resumes(scheduler):
    """The message says what to declare; with that, they are taken."""
    with pytest.raises(InputError, match=r"pauses trials.*OPTIPROV_CHECKPOINT_DIR.*resumes = True"):
        with_strategies(plan_of(Optimization(), scheduler=scheduler))
    with_strategies(plan_of(Resuming(), scheduler=scheduler))


@pytest.mark.parametrize("kind", [PopulationBasedTraining, PB2])
def test_schedulers_that_change_running_trials_are_refused(kind):
    """Even where the application resumes."""
    options = {"hyperparam_bounds" if kind is PB2 else "hyperparam_mutations": {"lr": [0.001, 1.0]}}
    with pytest.raises(InputError, match=f"{kind.__name__} changes the configuration of a trial"):
        with_strategies(plan_of(Resuming(), scheduler=kind(**options)))


def test_largest_bracket_is_what_hyperband_fills():
    """From 3 trials up to 9 with 13 steps and a third kept; BOHB's begins with the 9."""
    scheduler = HyperBandScheduler(max_t=13)
    assert [largest_bracket(scheduler, trials) for trials in (2, 3, 8, 9, 17, 100)] == [2, 3, 5, 5, 9, 9]
    assert largest_bracket(HyperBandForBOHB(max_t=13), 9) == 9


def test_hyperband_under_a_limit_that_starves_its_brackets_is_refused():
    """Paused trials count in Ray's limiter; a searcher without it is taken, and one by name gets none."""
    search = SkOptSearch(SPACE)
    changes = {"scheduler": HyperBandScheduler(max_t=13), "max_concurrent": 2, "num_samples": 24}
    for kind, limited in (
        ("ConcurrencyLimiter", ConcurrencyLimiter(search, max_concurrent=2)),
        ("BasicVariantGenerator", BasicVariantGenerator(max_concurrent=2)),
    ):
        with pytest.raises(InputError, match=rf"{kind}\(max_concurrent=2\) stops .* up to 9 trials"):
            with_strategies(plan_of(Resuming(), search_alg=limited, **changes))
    wide = ConcurrencyLimiter(search, max_concurrent=9)
    for fine in (search, wide, BasicVariantGenerator(), "random", None):
        plan = with_strategies(plan_of(Resuming(), search_alg=fine, **changes))
        assert not isinstance(plan.search_alg, ConcurrencyLimiter) or plan.search_alg is wide


def test_hyperband_with_too_few_trials_at_a_time_is_refused():
    """Ray's own never fills its first bracket then; that of the name begins with the largest."""
    with pytest.raises(InputError, match=r"1 trials at a time stops nothing: its first bracket has 3"):
        with_strategies(plan_of(Resuming(), scheduler=HyperBandScheduler(max_t=13)))
    scheduler = with_strategies(plan_of(Resuming(), scheduler="hyperband", num_samples=24)).scheduler
    assert largest_bracket(scheduler, 24) == 9


def test_bohbs_hyperband_needs_a_searcher_that_is_told_of_pauses():
    """Searchers of ours are; Ray's random one is not."""
    scheduler = HyperBandForBOHB(max_t=3)
    with pytest.raises(InputError, match="BasicVariantGenerator does not listen"):
        with_strategies(plan_of(Resuming(), scheduler=scheduler, search_alg=BasicVariantGenerator()))
    with_strategies(plan_of(Resuming(), scheduler=scheduler, search_alg=SkOptSearch(SPACE)))


def test_bohb_needs_hyperband():
    """It learns from nothing else."""
    with pytest.raises(InputError, match="Use the scheduler hyperband"):
        with_strategies(plan_of(Resuming(), search_alg="bohb", scheduler="asha"))


class Recorded(Optimization):
    """Keeps what `tune` was told, in place of running it."""

    def tune(self, space, **options):
        """Return what it was told."""
        return space, options


def test_default_run_searches_as_the_attributes_say():
    """A space in a file or in Python, one objective, and how to search."""

    class Short(Recorded):
        space = Path(__file__).parent / "modes" / "space.yaml"
        objectives = (maximize("score"),)
        num_samples = 4
        search = "sobol"
        scheduler = "asha"
        max_concurrent = 2

    space, options = Short().run()
    assert space.names == ("mode", "level")
    assert options == {
        "metric": "score",
        "mode": "max",
        "num_samples": 4,
        "search_alg": "sobol",
        "scheduler": "asha",
        "max_concurrent": 2,
    }
    Short.space, Short.objectives = SPACE, [minimize("loss")]
    space, options = Short().run()
    assert space is SPACE
    assert (options["metric"], options["mode"]) == ("loss", "min")


def test_default_run_says_which_attributes_are_missing():
    """And that one may write a run() in their place."""

    class Without(Recorded):
        space = SPACE

    class Two(Without):
        objectives = (minimize("latency"), minimize("energy"))
        num_samples = 3

    with pytest.raises(InputError, match=r"Without has no run\(\).* no objectives and no num_samples"):
        Without().run()
    with pytest.raises(InputError, match="list of one minimize"):
        Two().run()


class Stub(Study):
    """Keeps the plan, and runs nothing."""

    plans: list[StudyPlan] = []  # noqa: RUF012

    def run(self):
        """Keep the plan."""
        self.plans.append(self._plan)


def test_command_line_stands_in_place_of_what_run_says(tmp_path, monkeypatch):
    """Searcher, scheduler and how many run at a time, a limiter's number included."""
    (tmp_path / "layers_services.yaml").write_text(
        "environment: {local: }\nlayers:\n- {name: a, services: [{name: S}]}\n"
    )
    (tmp_path / "workflow.yaml").write_text("[]\n")
    monkeypatch.setattr("optiprov.optimize.optimization.Study", Stub)

    def planned(search_alg, **options):
        optimization = Optimization(tmp_path)
        optimization.options = StudyOptions(**options)
        optimization.tune(
            SPACE, metric="loss", mode="min", num_samples=5, search_alg=search_alg, max_concurrent=2
        )
        return Stub.plans[-1]

    limited = ConcurrencyLimiter(SkOptSearch(SPACE), max_concurrent=2)
    plan = planned(limited)
    assert (plan.search_alg, plan.max_concurrent) == (limited, 2)
    plan = planned(limited, max_concurrent=4)
    assert plan.search_alg.searcher is limited.searcher
    assert plan.search_alg.max_concurrent == plan.max_concurrent == 4
    plan = planned(limited, search="random", scheduler="asha", num_samples=9)
    assert (plan.search_name, plan.scheduler_name, plan.num_samples) == ("random", "asha", 9)
    assert plan.search_alg.max_concurrent == plan.max_concurrent == 2


def test_study_tells_once_what_of_its_scenario_has_no_effect(tmp_path, caplog):
    """As it begins, in place of each of its trials."""
    layers = (
        "environment: {local: {isolation: files}}\nlayers:\n- {name: a, services: [{name: S, quantity: 2}]}\n"
    )
    (tmp_path / "layers_services.yaml").write_text(layers)
    (tmp_path / "workflow.yaml").write_text("[]\n")
    (tmp_path / "network.yaml").write_text("networks:\n- {src: a, dst: a, delay: 28ms}\n")
    Study(plan_of(Optimization(tmp_path)))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path}/network.yaml:1: networks: rules have no effect")
