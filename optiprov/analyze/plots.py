"""Plots of a study's trials, good enough for a paper.

Each function takes a data frame of trials with the columns `trial_id`, `status` ("finished", "stopped" or
"failed"), one `config.<parameter>` for each hyperparameter, `value` (the objective; NaN where there is
none), `started_at` and `ended_at`, and returns a `matplotlib.figure.Figure`. Figures are made without
pyplot: there is no global state, no display is needed, and they may be made in any thread.

A trial without a value is drawn below the plot, in a strip of its own: it has no place on the value's scale.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind readers can tell
apart; each status has a marker of its own as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from optiprov.analyze.places import Floats, integer_axis, place
from optiprov.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


WIDTH_INCHES, HEIGHT_INCHES = 6.4, 3.6
DOTS_PER_INCH = 200
MANY_TRIALS = 500
STRIP_HEIGHT = 0.09


class _Style(NamedTuple):
    """How the trials of a status are drawn."""

    label: str
    colour: str
    marker: str
    is_hollow: bool

    @property
    def is_line(self) -> bool:
        """Whether the marker is drawn as a line rather than an area."""
        return self.is_hollow or self.marker == "x"


STYLES: Mapping[str, _Style] = {
    "finished": _Style("finished", "#0072B2", "o", is_hollow=False),
    "stopped": _Style("stopped early", "#E69F00", "o", is_hollow=True),
    "failed": _Style("failed", "#D55E00", "x", is_hollow=False),
}
BEST_COLOUR = "#000000"


def convergence(trials: pd.DataFrame, *, metric: str, mode: str, unit: str | None = None) -> Figure:
    """Draw the objective over the trials in the order in which they ended, and the best so far.

    Only finished trials count for the best; trials without a value are in the strip below.

    Args:
        trials: The trials, see above.
        metric: What the objective is called.
        mode: "min" or "max".
        unit: The objective's unit.

    Raises:
        InputError: A column is missing, or `mode` is neither.
    """
    _check(trials, ("status", "value", "ended_at"), mode)
    ordered = trials.sort_values("ended_at", kind="stable", na_position="last").reset_index(drop=True)
    order = np.arange(1, len(ordered) + 1, dtype=float)
    values, status = _values(ordered)
    figure, axes, strip = _figure(values)
    _draw_trials(axes, strip, order, values, status)
    finished = np.where(status == "finished", values, np.nan)
    accumulate = np.fmin if mode == "min" else np.fmax
    best = accumulate.accumulate(finished) if len(finished) else finished
    if np.isfinite(best).any():
        axes.step(order, best, where="post", color=BEST_COLOUR, linewidth=1.4, label="best so far", zorder=3)
    (strip or axes).set_xlabel("trial, in order of completion")
    margin = 0.5 + 0.01 * len(ordered)
    axes.set_xlim(1 - margin, max(len(ordered), 1) + margin)
    integer_axis(axes)
    _finish(figure, axes, metric, mode, unit)
    return figure


def scatter(
    trials: pd.DataFrame,
    parameter: str,
    *,
    metric: str,
    mode: str,
    log: bool = False,
    unit: str | None = None,
    metric_unit: str | None = None,
) -> Figure:
    """Draw the objective over one hyperparameter.

    Where trials would hide each other, categories and integers over a narrow range are spread out a little;
    the axis says so.

    Args:
        trials: The trials, see above.
        parameter: The hyperparameter's name, without `config.`.
        metric: What the objective is called.
        mode: "min" or "max".
        log: Whether the hyperparameter is searched on a logarithmic scale.
        unit: The hyperparameter's unit.
        metric_unit: The objective's unit.

    Raises:
        InputError: A column is missing, or `mode` is neither.
    """
    column = f"config.{parameter}"
    _check(trials, ("status", "value", column), mode)
    known = trials[trials[column].notna()]
    values, status = _values(known)
    figure, axes, strip = _figure(values)
    positions, note = place(axes, known[column], values, is_log=log)
    _draw_trials(axes, strip, positions, values, status)
    (strip or axes).set_xlabel(_labelled(parameter, unit) + note)
    _finish(figure, axes, metric, mode, metric_unit)
    return figure


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure; the ending of the name says how (png, pdf, svg). Folders are made as needed."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=DOTS_PER_INCH)
    return target


def _figure(values: Floats) -> tuple[Figure, Axes, Axes | None]:
    """A figure, its axes, and below them the strip for trials without a value, where there are any."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    FigureCanvasAgg(figure)
    if np.isfinite(values).all():
        axes, strip = figure.subplots(), None
    else:
        axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=[1, STRIP_HEIGHT])
        figure.get_layout_engine().set(h_pad=0.02, hspace=0.0)  # type: ignore[union-attr,call-arg]
        strip.set_ylim(0, 1)
        strip.set_yticks([0.5], ["no value"])
        strip.tick_params(axis="y", length=0)
        strip.set_facecolor("#F2F2F2")
        strip.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    if not np.isfinite(values).any():
        said = "no trial has a value" if len(values) else "no trials"
        axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", va="center", color="#555555")
        axes.set_yticks([])
    return figure, axes, strip


def _values(trials: pd.DataFrame) -> tuple[Floats, Floats]:
    """The objective, NaN where there is none or the trial failed, and the status."""
    status = trials["status"].to_numpy(dtype=str)
    values = trials["value"].to_numpy(dtype=float, na_value=np.nan)
    return np.where((status == "failed") | ~np.isfinite(values), np.nan, values), status


def _draw_trials(axes: Axes, strip: Axes | None, x: Floats, values: Floats, status: Floats) -> None:
    """Draw each trial at its value; those without one in the strip."""
    has_value = np.isfinite(values)
    for name, style in STYLES.items():
        chosen = status == name
        with_value, without = chosen & has_value, chosen & ~has_value
        if with_value.any():
            _mark(axes, x[with_value], values[with_value], style, style.label, is_many=len(x) > MANY_TRIALS)
        if strip is not None and without.any():
            label = style.label if name != "stopped" or with_value.any() else name
            middle = np.full(int(without.sum()), 0.5)
            _mark(strip, x[without], middle, style, label, is_many=len(x) > MANY_TRIALS)


def _mark(axes: Axes, x: Floats, y: Floats, style: _Style, label: str, *, is_many: bool) -> None:
    axes.scatter(
        x,
        y,
        s=7 if is_many else 26,
        marker=style.marker,
        linewidths=(0.5 if is_many else 1.2) if style.is_line else 0.0 if is_many else 0.4,
        **_paint(style),
        alpha=0.45 if is_many else 0.9,
        rasterized=is_many,
        label=label,
        zorder=2,
    )


def _paint(style: _Style) -> dict[str, Any]:
    """The colours of a marker, in matplotlib's terms."""
    if style.is_hollow:
        return {"facecolors": "none", "edgecolors": style.colour}
    return {"color": style.colour} if style.is_line else {"color": style.colour, "edgecolors": "white"}


def _finish(figure: Figure, axes: Axes, metric: str, mode: str, unit: str | None) -> None:
    """Label the objective and put the legend outside the data."""
    wanted = "lower is better" if mode == "min" else "higher is better"
    axes.set_ylabel(f"{_labelled(metric, unit)}\n{wanted}")
    entries: dict[str, Any] = {}
    for one in figure.axes:  # what has a value first, then the strip; a status is named once
        for shown, label in zip(*one.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, shown)
    if entries:
        legend = figure.legend(
            list(entries.values()),
            list(entries),
            loc="outside upper left",
            ncols=len(entries),
            frameon=False,
            fontsize="small",
        )
        for handle in legend.legend_handles:
            if handle is not None:
                handle.set_alpha(1.0)
                if hasattr(handle, "set_sizes"):
                    handle.set_sizes([26.0])


def _labelled(name: str, unit: str | None) -> str:
    return f"{name} [{unit}]" if unit else name


def _check(trials: pd.DataFrame, columns: tuple[str, ...], mode: str) -> None:
    missing = [column for column in columns if column not in trials.columns]
    if missing:
        got = ", ".join(map(str, trials.columns))
        raise InputError(f"the trials have no column {missing[0]!r}; they have {got}.")
    if mode not in ("min", "max"):
        raise InputError(f"mode needs to be 'min' or 'max', got {mode!r}.")
