"""Draw how the latency of readings depends on the delay of the link, from the provenance of a study.

    python3 experiments/edge_cloud/plot.py results/edge_cloud

writes latency_over_delay.png there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from optiprov import connect

if TYPE_CHECKING:
    import pandas as pd

PICTURE = "latency_over_delay.png"
LAUNCHES = """
    SELECT t.trial_id, delay_ms, rate_kbit, batch, latency_min_ms, latency_p95_ms
    FROM aggregation_input JOIN aggregation_output USING (aggregation_task_id)
    JOIN prov.run t ON t.run_id = aggregation_input.run_id
    ORDER BY t.trial_id, delay_ms
"""


def draw(launches: pd.DataFrame) -> Figure:
    """Draw each launch at its delay: the 95th percentile, the least latency, and the delay itself.

    Args:
        launches: one row a launch: trial_id, delay_ms, batch, latency_min_ms, latency_p95_ms.
    """
    figure = Figure(figsize=(6.4, 4.0), dpi=200, layout="constrained")
    axes = figure.add_subplot()
    axes.set_yscale("log")
    for _, of_trial in launches.groupby("trial_id"):
        axes.plot(of_trial["delay_ms"], of_trial["latency_p95_ms"], color="0.75", linewidth=1, zorder=1)
    points = axes.scatter(
        launches["delay_ms"],
        launches["latency_p95_ms"],
        c=launches["batch"],
        norm=LogNorm(1, 64),
        cmap="viridis",
        s=36,
        zorder=3,
        label="95th percentile; the two launches of a trial are joined",
    )
    axes.scatter(
        launches["delay_ms"],
        launches["latency_min_ms"],
        color="0.35",
        marker="_",
        s=50,
        zorder=2,
        label="fastest reading",
    )
    delays = sorted(launches["delay_ms"])
    axes.plot(delays, delays, color="#D55E00", linewidth=1, linestyle="--", label="the delay alone")
    axes.set_xlabel("delay of the link, one way [ms]")
    axes.set_ylabel("latency from sensor to aggregate [ms]")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.colorbar(
        points, label="batch [readings in a message]", ticks=[1, 2, 4, 8, 16, 32, 64], format="%d"
    )
    figure.legend(loc="outside upper left", frameon=False, fontsize="small")
    return figure


def main() -> int:
    """Draw the study in the directory that is named; return the exit status."""
    if len(sys.argv) != 2:
        print("usage: plot.py RESULTS_OF_THE_STUDY", file=sys.stderr)
        return 2
    directory = Path(sys.argv[1])
    launches = connect(str(directory / "provenance.duckdb")).sql(LAUNCHES)
    draw(launches).savefig(directory / PICTURE)
    print(f"{directory / PICTURE}: {len(launches)} launches of {launches['trial_id'].nunique()} trials")
    return 0


if __name__ == "__main__":
    sys.exit(main())
