"""Where a hyperparameter's values stand on the x axis of a plot: scale, ticks, and points kept apart.

A value is drawn where it is. Only trials that would hide each other are moved, and only where the place
between two values means nothing: between categories, and between integers that are few enough to be told
apart; then by less than half a step, so that each stays nearest to its own value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pandas.api import types

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Floats: TypeAlias = "np.ndarray[Any, Any]"

MAX_INTEGER_TICKS = 12
MAX_LOG_TICKS = 8
MIN_TICK_RATIO = 1.15  # of ticks beside each other on a logarithmic axis, lest their labels run together
MAX_SPREAD_STEPS = 24
"""Integers over a wider range are not spread: their steps are not much wider than a marker."""
SPREAD = 0.3
NEAR = 0.03
"""Points that are closer than this part of the objective's range hide each other."""


def place(axes: Axes, parameter: pd.Series[Any], values: Floats, *, is_log: bool) -> tuple[Floats, str]:
    """Return where to draw each trial, and what the axis has to say of it; sets the scale and the ticks.

    Args:
        axes: Gets the scale and the ticks.
        parameter: The hyperparameter's values.
        values: The objective of the same trials; NaN where there is none.
        is_log: Whether the hyperparameter is searched on a logarithmic scale.
    """
    if types.is_bool_dtype(parameter) or not types.is_numeric_dtype(parameter):
        x, moved = _spread(_category_axis(axes, parameter), values)
        return x, " (spread within a category)" if moved else ""
    x = parameter.to_numpy(dtype=float)
    if not len(x):
        return x, ""
    low, high = float(x.min()), float(x.max())
    is_integral = bool(np.all(x == np.round(x)))
    is_narrow = is_integral and high - low <= MAX_SPREAD_STEPS
    if is_log:
        _log_axis(axes, np.unique(x), is_integral=is_integral)
    elif is_integral:
        integer_axis(axes)
    if not is_narrow:
        return x, ""
    x, moved = _spread(x, values)
    if is_log and low >= 1:
        axes.set_xlim((low - 0.5) * 0.97, (high + 0.5) * 1.03)
    elif not is_log:
        axes.set_xlim(low - 0.6, high + 0.6)
    return x, " (spread around each integer)" if moved else ""


def integer_axis(axes: Axes) -> None:
    """Put ticks on integers only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(MAX_INTEGER_TICKS, integer=True, min_n_ticks=1))


def _spread(x: Floats, values: Floats) -> tuple[Floats, bool]:
    """Move points that hide each other apart, sideways; returns whether any was moved.

    >>> _spread(np.array([3.0, 3.0, 4.0]), np.array([0.1, 0.9, 0.9]))
    (array([3., 3., 4.]), False)
    """
    with_value = values[np.isfinite(values)]
    span = float(np.ptp(with_value)) if len(with_value) else 0.0
    heights = np.where(np.isfinite(values), values, np.inf)  # those without a value share one height
    order = np.lexsort((heights, x))
    at, height = x[order], heights[order]
    with np.errstate(invalid="ignore"):
        is_near = (at[1:] == at[:-1]) & ((height[1:] == height[:-1]) | (np.diff(height) <= NEAR * span))
    crowd = np.concatenate([[0], np.cumsum(~is_near)])[: len(x)]  # which points are in a row of near ones
    sizes = np.bincount(crowd) if len(x) else np.zeros(0, dtype=int)
    offsets = [_offsets(int(size)) for size in sizes]
    moved = x.copy()
    moved[order] += np.concatenate(offsets) if offsets else 0.0
    return moved, bool((sizes > 1).any())


def _offsets(size: int) -> Floats:
    """Where the points of a crowd go: evenly over a width that grows with their number, in no order."""
    width = min(SPREAD, (size - 1) * SPREAD / 4)
    return (
        np.random.default_rng(size).permutation(np.linspace(-width, width, size)) if size > 1 else np.zeros(1)
    )


def _category_axis(axes: Axes, values: pd.Series[Any]) -> Floats:
    """A place for each category, in the order of their names, with the names as ticks."""
    names = values.astype(str)
    categories = sorted(names.unique())
    labels = [name if len(name) <= 20 else f"{name[:10]}…{name[-9:]}" for name in categories]
    is_crowded = sum(map(len, labels)) > 50
    turn: dict[str, Any] = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if is_crowded else {}
    axes.set_xticks(range(len(categories)), labels, **turn)
    axes.set_xlim(-0.5, len(categories) - 0.5)
    places = {name: number for number, name in enumerate(categories)}
    return np.array([places[name] for name in names], dtype=float)


def _log_axis(axes: Axes, distinct: Floats, *, is_integral: bool) -> None:
    """A logarithmic axis whose ticks are the values where these are few, otherwise 1, 2, 5, 10..."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axes.set_xscale("log")
    low, high = float(distinct[0]), float(distinct[-1])
    if (
        is_integral
        and len(distinct) <= MAX_LOG_TICKS
        and np.all(distinct[1:] >= MIN_TICK_RATIO * distinct[:-1])
    ):
        axes.xaxis.set_major_locator(FixedLocator(distinct.tolist()))
    elif high < 8 * low:
        axes.xaxis.set_major_locator(MaxNLocator(MAX_LOG_TICKS, integer=is_integral, min_n_ticks=1))
    else:
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=MAX_INTEGER_TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
