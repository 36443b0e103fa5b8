"""The default search: random, by Ray Tune."""

import pytest
from ray import tune

from optiprov.optimize import Optimization, SearchSpace
from optiprov.optimize.plan import StudyPlan
from optiprov.optimize.space import Choice, LogUniform, QUniform, RandInt
from optiprov.optimize.study import Study
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


def plan_of(optimization, *, max_concurrent=1, num_samples=12):
    """A plan with the default search."""
    return StudyPlan(
        optimization=optimization,
        space=SPACE,
        metric="loss",
        mode="min",
        num_samples=num_samples,
        search_alg=None,
        scheduler=None,
        max_concurrent=max_concurrent,
    )


def proposals(seed, **options):
    """Return the configurations that the default search of a study proposes."""
    search = _random_search(plan_of(Optimization(seed=seed), **options))
    num_samples = options.get("num_samples", 12)
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


def test_study_tells_once_what_of_its_scenario_has_no_effect(tmp_path, caplog):
    """As it begins, in place of each of its trials."""
    layers = "environment: {local: }\nlayers:\n- {name: a, services: [{name: S}]}\n"
    (tmp_path / "layers_services.yaml").write_text(layers)
    (tmp_path / "workflow.yaml").write_text("[]\n")
    (tmp_path / "network.yaml").write_text("networks:\n- {src: a, dst: a, delay: 28ms}\n")
    Study(plan_of(Optimization(tmp_path)))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path}/network.yaml:1: networks: 1 rule, all valid, and not")
