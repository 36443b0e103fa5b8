"""`optiprov network`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from optiprov.cli.verbs import scenario_argument

if TYPE_CHECKING:
    from pathlib import Path

    from optiprov.deploy import Experiment

ACTIONS = ("apply", "show", "remove", "validate")
_FAILED = 1


@click.command(
    epilog="""\b
Actions:
  apply     has the rules emulated, as network.yaml says now; the default
  show      lists the links, the rules that make them, and what emulates them
  remove    takes them off while the scenario goes on; launches do not put them back
  validate  measures round trip, rate of UDP, loss and rate of TCP between hosts, and
            writes expected against measured to network-validate/ of the experiment;
            the exit status is 1 where a rule is not met

\b
Examples:
  optiprov network my_scenario
  optiprov network my_scenario show
  optiprov network my_scenario validate --quick
  optiprov network my_scenario remove"""
)
@scenario_argument
@click.argument("action", type=click.Choice(ACTIONS, case_sensitive=False), default="apply")
@click.option("--quick", "is_quick", is_flag=True, help="For validate: fewer packets and shorter times.")
@click.option(
    "--all-links",
    "is_all",
    is_flag=True,
    help="For validate: measure every link, rather than one of each rule and its way back.",
)
def command(scenario: Path, action: str, is_quick: bool, is_all: bool) -> None:
    """Put the rules of network.yaml between the hosts of an experiment, or look at what lies there.

    SCENARIO is the experiment's directory, or its scenario's. Rules are applied before prepare too, and again
    by a launch for which they have changed.
    """
    from optiprov.deploy import Experiment

    if action != "validate" and (is_quick or is_all):
        raise click.UsageError("--quick and --all-links are for validate.")
    experiment = Experiment.open(scenario)
    if not experiment.scenario.networks:
        click.echo(f"{experiment.scenario.directory}: no rules in network.yaml, no network is emulated.")
    elif action == "show":
        _show(experiment)
    elif action == "apply":
        experiment.apply_network()
        _show(experiment)
    elif action == "remove":
        experiment.remove_network()
        click.echo(f"{experiment.directory}: no network is emulated until `optiprov network {scenario}`.")
    else:
        _validate(experiment, is_quick=is_quick, is_all=is_all)


def _show(experiment: Experiment) -> None:
    """Print the links of an experiment, and what became of each rule."""
    from optiprov.deploy.network.report import aligned, link_rows
    from optiprov.deploy.network.state import NetworkState, as_links, is_gone

    state, directory = NetworkState.read(experiment.directory), experiment.directory
    emulated = zip(as_links(state.links), state.links, strict=True)
    lacking = zip(as_links(state.not_emulated), state.not_emulated, strict=True)
    links = [(link, row["rules"], row["emulator"]) for link, row in emulated]
    links += [(link, row["rules"], f"no: {row['reason']}") for link, row in lacking]
    if links:
        click.echo("\n".join(aligned(link_rows(links))))
    if state.is_ended:
        click.echo(f"{directory}: the hosts were destroyed, and what lay between them is gone.")
    elif state.is_removed:
        click.echo(f"{directory}: the rules were removed; `optiprov network` applies them again.")
    else:
        _show_unapplied(experiment, {line for _, lines, _ in links for line in lines})
    if state.is_changing:
        click.echo(f"{directory}: a command that changed them was cut off: apply them again.")
    elif state.links and not state.is_ended and is_gone(directory):
        click.echo(f"{directory}: gone with the network of the hosts; the next command makes it anew.")


def _show_unapplied(experiment: Experiment, applied: set[int]) -> None:
    """Print the rules that make no link now, and why."""
    for rule in experiment.scenario.networks:
        if rule.line not in applied:
            waits = "waits for a launch, which gives its templates their values"
            reason = waits if rule.templates else "is not applied"
            click.echo(f"{experiment.scenario.directory / 'network.yaml'}:{rule.line}: {reason}.")


def _validate(experiment: Experiment, *, is_quick: bool, is_all: bool) -> None:
    """Measure, print what came of it, and fail where a rule is not met."""
    from optiprov.deploy.network.report import DIRECTORY, as_text
    from optiprov.deploy.network.validation import QUICK, Effort
    from optiprov.deploy.network.verdict import MISSED

    effort = QUICK if is_quick else Effort()
    findings = experiment.validate_network(effort, is_all=is_all, on_step=_tell_step)
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    click.echo(as_text(findings))
    click.echo(f"written to {experiment.directory / DIRECTORY}")
    if any(one.judgement.outcome == MISSED for one in findings):
        raise click.exceptions.Exit(_FAILED)


def _tell_step(what: str, done: int, count: int) -> None:
    """Show what is measured: on a terminal in one line, elsewhere in a line each."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{done + 1}/{count} {what}", nl=False, err=True)
    else:
        click.echo(f"{done + 1}/{count} {what}", err=True)
