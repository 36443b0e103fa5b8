"""`optiprov optimize`."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from optiprov.cli.summary import print_summary
from optiprov.optimize.ray_session import configure_environment


@click.command(
    epilog="""\b
Examples:
  optiprov optimize experiments/digits/optimization.py
  optiprov optimize tuning.py:Tuning --num-samples 60 --seed 1 --name first
  optiprov optimize tuning.py --search optuna-tpe --scheduler asha --max-concurrent 4
  optiprov optimize tuning.py --store http://127.0.0.1:22000
  optiprov optimize tuning.py --store monetdb://monetdb:monetdb@127.0.0.1:50000/provenance"""
)
@click.argument("target", metavar="FILE[:CLASS]")
@click.option(
    "--num-samples", type=click.IntRange(min=1), help="How many trials, in place of what run() says."
)
@click.option(
    "--search",
    metavar="NAME",
    help="The searcher, in place of what run() says: auto, random ...; docs/searching.md has all.",
)
@click.option(
    "--scheduler",
    metavar="NAME",
    help="What stops trials early, in place of what run() says: fifo (nothing), asha, median, hyperband.",
)
@click.option(
    "--max-concurrent",
    type=click.IntRange(min=1),
    help="How many trials run at a time, in place of what run() says.",
)
@click.option("--seed", type=int, help="Makes the searcher's proposals repeatable.")
@click.option("--name", help="The study's name; by default that of the directory and the time.")
@click.option("--campaign", help="The campaign that the study belongs to.")
@click.option(
    "--store",
    metavar="URL",
    envvar="OPTIPROV_STORE",
    help="A store or a running service; by default OPTIPROV_STORE, else a file of the study's own.",
)
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("results"),
    show_default=True,
    help="Where the study's directory is made.",
)
def command(
    target: str,
    num_samples: int | None,
    search: str | None,
    scheduler: str | None,
    max_concurrent: int | None,
    seed: int | None,
    name: str | None,
    campaign: str | None,
    store: str | None,
    results: Path,
) -> None:
    """Run the optimization in FILE: a subclass of optiprov.Optimization.

    The study's trials, plots, provenance and logs are in a directory of its own below the results directory.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C, from the first moment
    configure_environment()
    from optiprov.optimize.load import construct, errors_of, load_optimization
    from optiprov.optimize.plan import StudyOptions

    cls = load_optimization(target)
    with errors_of(cls):
        optimization = construct(cls, store=store, name=name, seed=seed)
        optimization.options = StudyOptions(
            results=results,
            num_samples=num_samples,
            search=search,
            scheduler=scheduler,
            max_concurrent=max_concurrent,
            campaign=campaign,
        )
        result = optimization.run()
    if result is not None:
        print_summary(result)
