"""Search spaces, objectives and a driver for tests of searchers."""

import math

from optiprov.optimize.space import Choice, LogRandInt, LogUniform, QUniform, RandInt, SearchSpace

MIXED = SearchSpace(
    (
        RandInt("kernel_size", 2, 5),
        LogRandInt("num_kernels", 2, 64),
        LogUniform("learning_rate", 0.001, 1.0),
        QUniform("dropout", 0.0, 0.5, 0.05),
        Choice("optimizer", ("sgd", "adam", True)),
    )
)
GRID = SearchSpace((RandInt("a", 0, 3), RandInt("b", 0, 3)))
FINAL = {"optiprov_final": True}


def loss(config) -> float:
    """A function with its minimum 0 at (3, 16, 0.03, 0.2, adam)."""
    return (
        (config["kernel_size"] - 3) ** 2
        + math.log2(config["num_kernels"] / 16) ** 2
        + math.log10(config["learning_rate"] / 0.03) ** 2
        + 10 * abs(config["dropout"] - 0.2)
        + 2 * (config["optimizer"] != "adam")
    )


def drive(search, trials, objective=loss, in_flight=1, first=0):
    """Run trials through a searcher, `in_flight` at a time, the oldest ending first; the configurations."""
    running, tried = [], []
    for index in range(first, first + trials):
        config = search.suggest(f"t{index}")
        tried.append(config)
        running.append((f"t{index}", config))
        if len(running) == in_flight:
            trial, done = running.pop(0)
            search.on_trial_complete(trial, {"loss": objective(done)} | FINAL)
    return tried


def slope(config) -> float:
    """An objective on GRID with its minimum at the origin."""
    return config["a"] + config["b"]
