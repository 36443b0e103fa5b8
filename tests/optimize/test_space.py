"""Search spaces: the file, its messages, and the round trips to Ray Tune and scikit-optimize."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray import tune

from optiprov.errors import SearchSpaceError
from optiprov.optimize.space import (
    Choice,
    LogRandInt,
    LogUniform,
    Parameter,
    QUniform,
    RandInt,
    SearchSpace,
    Uniform,
)

FULL = """\
name: digits
parameters:
  kernel_size: {type: randint, low: 2, high: 5, inclusive: true, unit: px, description: Edge of a filter.}
  num_kernels: {type: lograndint, low: 2, high: 64, inclusive: true}
  learning_rate: {type: loguniform, low: 1e-3, high: 1.0}
  x: {type: uniform, low: 0, high: 1}
  q: {type: quniform, low: 0, high: 1, q: 0.05}
  optimizer: {type: choice, values: [sgd, adam]}
  strides: {type: randint, low: 1, high: 3}
  epochs: 8
"""


def write(tmp_path: Path, text: str) -> Path:
    """A search space file with `text`."""
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_from_yaml_reads_every_type_unit_and_constant(tmp_path):
    """Each type becomes its parameter; bounds are as written, exclusive unless said otherwise."""
    space = SearchSpace.from_yaml(write(tmp_path, FULL))
    assert space.name == "digits"
    assert space.parameters == (
        RandInt("kernel_size", 2, 5),
        LogRandInt("num_kernels", 2, 64),
        LogUniform("learning_rate", 0.001, 1.0),
        Uniform("x", 0.0, 1.0),
        QUniform("q", 0.0, 1.0, 0.05),
        Choice("optimizer", ("sgd", "adam")),
        RandInt("strides", 1, 2),
    )
    assert (space["kernel_size"].unit, space["kernel_size"].description) == ("px", "Edge of a filter.")
    assert space.constants == {"epochs": 8}
    assert space.names[0] == "kernel_size"


PROBLEMS = [
    ("a: {type: loguniform, low: 0.1, high: 0.001}", "'a' needs low < high, got low=0.1, high=0.001. Swap"),
    ("a: {type: uniform, low: 1, high: 1}", "'a' needs low < high, got low=1, high=1. Widen"),
    ("a: {type: lograndint, low: 0, high: 8}", "'a' needs low > 0 for a logarithm, got low=0, high=8."),
    (
        "a: {type: quniform, low: 0, high: 1, q: 0.3}",
        "high to be a multiple of q, got high=1, q=0.3. Try high=0.9",
    ),
    ("a: {type: quniform, low: 0, high: 1, q: 0}", "'a' needs q > 0, got q=0"),
    ("a: {type: randit, low: 0, high: 1}", "'a' has the unknown type 'randit'. Did you mean 'randint'?"),
    ("a: {low: 0, high: 1}", "'a' has no 'type'. Give one of uniform,"),
    ("a: {type: randint, lo: 0, high: 1}", "'a' has the unknown key 'lo'. Did you mean 'low'?"),
    ("a: {type: randint, high: 1}", "'a' is a randint without 'low'. Add it."),
    ("a: {type: randint, low: 0.5, high: 4}", "'a' needs an integer for low, got 0.5."),
    ("a: {type: uniform, low: x, high: 4}", "'a' needs a number for low, got 'x'."),
    ("a: {type: uniform, low: .nan, high: 4}", "'a' needs a number for low, got nan."),
    (
        "a: {type: randint, low: 1, high: 4, inclusive: perhaps}",
        "'a' has inclusive='perhaps'. Write true or false.",
    ),
    ("a: {type: choice, values: []}", "'a' needs a list of values, got []."),
    ("a: {type: choice, values: [x, x]}", "'a' has the value 'x' twice."),
    ("a: {type: choice, values: [null]}", "'a' has the value None."),
    ("a: {type: uniform, low: 0, high: 1, unit: 3}", "'a' has unit=3, not a text."),
    ("a: [1, 2]", "'a' needs a mapping, got [1, 2]."),
    ("a: 3", "'parameters' has nothing to search."),
]


@pytest.mark.parametrize(("line", "message"), PROBLEMS)
def test_from_yaml_says_where_what_and_what_to_do(tmp_path, line, message):
    """A wrong parameter is told with file, line, key, what was got and advice."""
    path = write(tmp_path, f"parameters:\n  {line}\n")
    with pytest.raises(SearchSpaceError) as caught:
        SearchSpace.from_yaml(path)
    number = 1 if "nothing to search" in message else 2
    assert str(caught.value).startswith(f"{path}:{number}: ")
    assert message in str(caught.value)


def test_from_yaml_tells_all_problems_at_once_in_order(tmp_path):
    """A user mends a file in one go: every problem has its line."""
    text = "nam: x\nparameters:\n  a:\n    type: uniform\n    low: 0\n  b: {type: chioce}\n  b: 1\n"
    path = write(tmp_path, text)
    with pytest.raises(SearchSpaceError) as caught:
        SearchSpace.from_yaml(path)
    assert str(caught.value).splitlines() == [
        f"{path}:1: the file has the unknown key 'nam'. Did you mean 'name'?",
        f"{path}:3: 'a' is a uniform without 'high'. Add it.",
        f"{path}:6: 'b' has the unknown type 'chioce'. Did you mean 'choice'?",
        f"{path}:7: 'b' is there twice, first in line 6. Remove one.",
    ]


@pytest.mark.parametrize(
    "text", ["", "- a\n", "parameters: 3\n", "a: [\n", "parameters: {a: !!python/name:os.system x}\n"]
)
def test_from_yaml_refuses_what_is_no_search_space(tmp_path, text):
    """Empty, malformed and hostile files end in our error with the line."""
    path = write(tmp_path, text)
    with pytest.raises(SearchSpaceError, match=r"space\.yaml:\d+: "):
        SearchSpace.from_yaml(path)


def test_from_yaml_names_a_missing_file(tmp_path):
    """A file that is not there is an input error, not a traceback."""
    with pytest.raises(SearchSpaceError, match=r"nowhere\.yaml: cannot be read"):
        SearchSpace.from_yaml(tmp_path / "nowhere.yaml")


def parameters() -> st.SearchStrategy[Parameter]:
    """Any parameter."""
    name = st.text(min_size=1, max_size=8)
    whole = st.integers(-1000, 1000)
    positive = st.integers(1, 1000)
    plain = st.one_of(st.booleans(), st.integers(-5, 5), st.text(max_size=4))
    return st.one_of(
        st.builds(lambda n, a, b: RandInt(n, a, a + b), name, whole, st.integers(0, 100)),
        st.builds(lambda n, a, b: LogRandInt(n, a, a + b), name, positive, st.integers(0, 100)),
        st.builds(lambda n, a, b: Uniform(n, a, a + b), name, whole.map(float), positive.map(float)),
        st.builds(lambda n, a, b: LogUniform(n, a / 7, a / 7 + b), name, positive, positive),
        st.builds(
            lambda n, a, b, q: QUniform(n, a * q, (a + b) * q, q),
            name,
            whole,
            positive,
            st.sampled_from([0.05, 0.1, 0.25, 1.0, 3.0]),
        ),
        st.builds(
            Choice,
            name,
            st.lists(plain, min_size=1, max_size=5, unique_by=lambda v: (isinstance(v, bool), v)).map(tuple),
        ),
    )


SPACES = st.lists(parameters(), min_size=1, max_size=4, unique_by=lambda p: p.name).map(
    lambda found: SearchSpace(tuple(found))
)


@settings(max_examples=40)
@given(SPACES)
def test_round_trip_through_ray_tune(space):
    """A space goes to Tune and back unchanged, and what Tune samples lies in it."""
    config = space.to_tune()
    assert SearchSpace.from_tune(config) == space
    for parameter in space:
        for seed in range(3):
            assert parameter.contains(config[parameter.name].sample(random_state=seed))


@settings(max_examples=40)
@given(SPACES, st.integers(0, 2**31))
def test_round_trip_through_skopt(space, seed):
    """Samples of ours and of scikit-optimize lie in the space, survive coding, and are plain Python."""
    from skopt.space import Space

    ours = space.sample(np.random.default_rng(seed))
    theirs = space.decode(Space(space.to_skopt()).rvs(1, random_state=seed)[0])
    for config in (ours, theirs):
        assert space.contains(config)
        assert space.decode(space.encode(config)) == config
        assert {type(value) for value in config.values()} <= {int, float, str, bool}


def test_from_tune_takes_constants_and_refuses_the_rest():
    """Plain values are constants; grids, nested domains and unknown samplers are told by name."""
    space = SearchSpace.from_tune({"a": tune.randint(0, 3), "epochs": 8, "model": {"depth": 2}})
    assert space.constants == {"epochs": 8, "model": {"depth": 2}}
    refused = {
        "grid search": tune.grid_search([1, 2]),
        "flat": {"inner": tune.uniform(0, 1)},
        "not understood": tune.randn(0, 1),
        "tuple": tune.choice([(1, 2)]),
    }
    for message, value in refused.items():
        with pytest.raises(SearchSpaceError, match=message):
            SearchSpace.from_tune({"a": value})


def test_check_names_each_parameter_outside_its_domain():
    """A configuration outside the space is refused with the domain."""
    space = SearchSpace((RandInt("a", 0, 3), Choice("b", (1, "x"))))
    with pytest.raises(SearchSpaceError, match=r"'a' cannot be 9 .*randint.*; 'b' is missing"):
        space.check({"a": 9})
    assert not space.contains({"a": 1, "b": True})


def test_cardinality_counts_discrete_spaces_only():
    """Four integers times three steps are twelve; a real number has no count."""
    discrete = SearchSpace((RandInt("a", 0, 3), QUniform("b", 0, 1, 0.5)))
    assert discrete.cardinality == 12
    assert SearchSpace((*discrete, Uniform("c", 0, 1))).cardinality is None


def test_importing_the_space_imports_no_ray():
    """`optiprov check` reads spaces without paying for ray or scikit-optimize."""
    modules = ("ray", "skopt", "numpy")
    code = f"import sys, optiprov.optimize.space; print([m for m in {modules} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
