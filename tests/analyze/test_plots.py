"""Plots of trials: what is in them, and that they can be written."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from optiprov.analyze.plots import STYLES, convergence, save, scatter
from optiprov.errors import InputError


def trials(count: int) -> pd.DataFrame:
    """Trials of a study: of each ten, six finish, three are stopped and one fails."""
    rng = np.random.default_rng(7)
    status = np.array(["finished", "stopped", "finished", "failed", "finished"] * count)[:count]
    started = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(count), unit="s")
    return pd.DataFrame(
        {
            "trial_id": [f"t{index}" for index in range(count)],
            "status": status,
            "config.kernel_size": rng.integers(2, 6, count),
            "config.learning_rate": 10 ** rng.uniform(-3, 0, count),
            "config.optimizer": rng.choice(["sgd", "adam"], count),
            "config.augment": rng.choice([True, False], count),
            "value": np.where(status == "failed", np.nan, rng.uniform(0.5, 1.0, count)),
            "started_at": started,
            "ended_at": started + pd.to_timedelta(rng.uniform(0, 30, count), unit="s"),
        }
    )


def points(figure) -> dict[str, np.ndarray]:
    """The points that are drawn on the value's scale, by status."""
    return {dots.get_label(): np.asarray(dots.get_offsets()) for dots in figure.axes[0].collections}


def without_value(figure) -> dict[str, np.ndarray]:
    """The points in the strip below, by status."""
    strip = figure.axes[1]
    assert [label.get_text() for label in strip.get_yticklabels()] == ["no value"]
    return {dots.get_label(): np.asarray(dots.get_offsets()) for dots in strip.collections}


def legend(figure) -> list[str]:
    """The texts of the legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("count", [10, 10_000])
def test_convergence_draws_every_trial_once(count):
    """Finished, stopped and failed trials are all there, in the order in which they ended."""
    data = trials(count)
    figure = convergence(data, metric="accuracy", mode="max", unit="%")
    found, failed = points(figure), without_value(figure)
    assert {name: len(at) for name, at in (found | failed).items()} == {
        "finished": (data["status"] == "finished").sum(),
        "stopped early": (data["status"] == "stopped").sum(),
        "failed": (data["status"] == "failed").sum(),
    }
    drawn = np.concatenate([*found.values(), *failed.values()])
    assert sorted(drawn[:, 0]) == list(range(1, count + 1))
    assert legend(figure) == ["finished", "stopped early", "best so far", "failed"]
    assert figure.axes[0].get_ylabel() == "accuracy [%]\nhigher is better"
    assert figure.axes[1].get_xlabel() == "trial, in order of completion"


@pytest.mark.parametrize(("mode", "best"), [("max", [1.0, 1.0, 3.0]), ("min", [1.0, 1.0, 1.0])])
def test_convergence_counts_only_finished_trials_for_the_best(mode, best):
    """A trial that was stopped early has a value of lower fidelity, whatever it is."""
    data = trials(3).assign(
        status=["finished", "stopped", "finished"],
        value=[1.0, 9.0 if mode == "max" else -9.0, 3.0],
        ended_at=pd.to_datetime([1, 2, 3], unit="s", utc=True),
    )
    line = convergence(data, metric="m", mode=mode).axes[0].lines[0]
    assert list(line.get_ydata()) == best
    assert line.get_drawstyle() == "steps-post"


def test_stopped_trials_are_hollow():
    """Shape tells the statuses apart, not colour alone."""
    figure = convergence(trials(10), metric="m", mode="max")
    dots = {found.get_label(): found for found in figure.axes[0].collections}
    assert dots["stopped early"].get_facecolor().size == 0
    assert to_hex(dots["finished"].get_facecolor()[0]).upper() == STYLES["finished"].colour


@pytest.mark.parametrize("draw", [convergence, partial(scatter, parameter="kernel_size")])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_trials_without_a_value_are_outside_the_data(draw, mode):
    """In a strip below: inside, they would look like the best where lower is better."""
    data = trials(10)
    figure = draw(data, metric="m", mode=mode)
    figure.canvas.draw()
    axes, strip = figure.axes
    assert strip.bbox.y1 <= axes.bbox.y0
    assert strip.bbox.height < 0.15 * axes.bbox.height
    assert {name: len(at) for name, at in without_value(figure).items()} == {"failed": 2}
    values = data["value"].dropna()
    assert axes.get_ylim()[0] > values.min() - 0.1 * np.ptp(values)
    assert np.isfinite(np.concatenate(list(points(figure).values()))).all()


def test_stopped_trials_without_a_value_are_named_once():
    """One legend entry for a marker; without any value, none was "stopped early"."""
    data = trials(10)
    data.loc[1, "value"] = np.nan
    assert legend(convergence(data, metric="m", mode="min")).count("stopped early") == 1
    data.loc[data["status"] == "stopped", "value"] = np.nan
    figure = convergence(data, metric="m", mode="min")
    assert legend(figure) == ["finished", "best so far", "stopped", "failed"]


def test_plot_without_trials_that_lack_a_value_has_no_strip():
    """One pair of axes, with the label below."""
    figure = convergence(trials(10).query("status != 'failed'"), metric="m", mode="min")
    assert [axes.get_xlabel() for axes in figure.axes] == ["trial, in order of completion"]


def test_scatter_of_integers_spreads_and_says_so():
    """Equal integers stay nearest to their own value; the axis has the unit and tells of the spread."""
    data = trials(50)
    figure = scatter(data, "kernel_size", metric="accuracy", mode="max", unit="px")
    assert figure.axes[1].get_xlabel() == "kernel_size [px] (spread around each integer)"
    x = points(figure)["finished"][:, 0]
    expected = data.loc[data["status"] == "finished", "config.kernel_size"].to_numpy()
    assert (np.round(x) == expected).all()
    assert not (x == expected).all()


@pytest.mark.parametrize("log", [False, True])
def test_integers_are_spread_only_where_they_would_hide_each_other(log):
    """Points at different heights stay on their integer, and then nothing is said of a spread."""
    data = trials(5).assign(**{"status": "finished", "value": np.arange(5.0), "config.n": [1, 1, 2, 2, 4]})
    figure = scatter(data, "n", metric="m", mode="max", log=log)
    assert points(figure)["finished"][:, 0].tolist() == [1, 1, 2, 2, 4]
    assert figure.axes[0].get_xlabel() == "n"
    figure = scatter(data.assign(value=[0.0, 0.0, 1.0, 2.0, 3.0]), "n", metric="m", mode="max", log=log)
    moved = points(figure)["finished"][:, 0]
    assert moved[2:].tolist() == [2, 2, 4]
    assert np.round(moved[:2]).tolist() == [1, 1]
    assert moved[0] != moved[1]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("count", [10, 24, 10_000])
def test_integers_over_a_wide_range_are_drawn_where_they_are(log, count):
    """Also where few distinct values were tried: 134 is not drawn at 103."""
    data = trials(count)
    data["config.block_kib"] = np.random.default_rng(1).choice([16, 134, 700, 1024], count)
    figure = scatter(data, "block_kib", metric="m", mode="min", log=log)
    finished = data.loc[data["status"] == "finished", "config.block_kib"]
    assert np.array_equal(points(figure)["finished"][:, 0], finished)
    assert figure.axes[1].get_xlabel() == "block_kib"


def test_few_values_on_a_logarithmic_axis_are_its_ticks():
    """1, 2, 5, 10... would leave 3 and 4 without a tick."""
    data = trials(20)
    data["config.n"] = np.resize([3, 4], 20)
    figure = scatter(data, "n", metric="m", mode="max", log=True)
    figure.canvas.draw()
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["3", "4"]


def test_scatter_of_reals_draws_them_where_they_are_on_a_logarithmic_axis():
    """A real parameter is not spread; ticks of a logarithmic axis are plain numbers."""
    data = trials(50)
    figure = scatter(data, "learning_rate", metric="accuracy", mode="min", log=True)
    axes = figure.axes[1]
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "learning_rate"
    assert figure.axes[0].get_ylabel() == "accuracy\nlower is better"
    expected = data.loc[data["status"] == "finished", "config.learning_rate"]
    assert np.allclose(points(figure)["finished"][:, 0], expected)
    figure.canvas.draw()
    assert "0.01" in [text.get_text() for text in axes.get_xticklabels()]


@pytest.mark.parametrize(("name", "ticks"), [("optimizer", ["adam", "sgd"]), ("augment", ["False", "True"])])
def test_scatter_of_categories_names_them(name, ticks):
    """Texts and booleans have a tick each."""
    axes = scatter(trials(30), name, metric="m", mode="max").axes[1]
    assert [text.get_text() for text in axes.get_xticklabels()] == ticks
    assert axes.get_xlabel() == f"{name} (spread within a category)"


def test_save_writes_png_and_pdf(tmp_path):
    """The files have content of their kind, and folders are made."""
    figure = convergence(trials(10), metric="m", mode="max")
    assert save(figure, tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert save(figure, tmp_path / "a.pdf").stat().st_size > 5000


@pytest.mark.parametrize("count", [0, 1])
def test_plots_survive_almost_no_trials(count, tmp_path):
    """A study that was interrupted at once still has its plots."""
    data = trials(count)
    save(convergence(data, metric="m", mode="max"), tmp_path / "a.png")
    save(scatter(data, "kernel_size", metric="m", mode="max"), tmp_path / "b.png")
    save(scatter(data, "learning_rate", metric="m", mode="max", log=True), tmp_path / "c.png")


def test_plots_of_failures_only(tmp_path):
    """A study in which every trial failed shows them, and says that there are no values."""
    data = trials(5).assign(status="failed", value=np.nan)
    for figure in (
        convergence(data, metric="m", mode="max"),
        scatter(data, "kernel_size", metric="m", mode="min"),
    ):
        assert len(without_value(figure)["failed"]) == 5
        assert [text.get_text() for text in figure.axes[0].texts] == ["no trial has a value"]
        assert len(figure.axes[0].get_yticks()) == 0
        save(figure, tmp_path / "a.png")


def test_a_missing_column_or_mode_is_told():
    """The message names the column and what there is."""
    with pytest.raises(InputError, match=r"no column 'config\.lr'; they have trial_id"):
        scatter(trials(3), "lr", metric="m", mode="max")
    with pytest.raises(InputError, match="mode needs to be"):
        convergence(trials(3), metric="m", mode="best")
