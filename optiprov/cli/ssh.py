"""`optiprov ssh`."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from optiprov.cli.verbs import scenario_argument

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optiprov.deploy import Visit
    from optiprov.deploy.port_forwards import PortForward
    from optiprov.deploy.providers.base import Host


class _WithCommand(click.Command):
    """A command whose words after `--` are those of another one, whatever they look like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        argv: list[str] = []
        if "--" in args:
            at = args.index("--")
            args, argv = args[:at], args[at + 1 :]
        rest = super().parse_args(ctx, args)
        ctx.params["argv"] = argv
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@click.command(
    cls=_WithCommand,
    epilog="""\b
Examples:
  optiprov ssh my_scenario
  optiprov ssh my_scenario edge.worker.1.1
  optiprov ssh my_scenario/20260131-190000 worker.1.2 -- tail -f out.txt
  optiprov ssh my_scenario cloud -L 8080:127.0.0.1:80""",
)
@scenario_argument
@click.argument("host", required=False)
@click.option(
    "-L",
    "--forward",
    "forwards",
    metavar="[BIND:]PORT:HOST:HOSTPORT",
    multiple=True,
    help="Pass a port of this machine on to one that the host reaches, as ssh does, while the shell is open.",
)
def command(scenario: Path, host: str | None, forwards: tuple[str, ...], argv: Sequence[str]) -> None:
    """Open a shell on a HOST of an experiment, or run a command there.

    SCENARIO is the experiment's directory, or its scenario's. HOST is a host's id, or a part of it that only
    one has; where it is left out and there is a terminal, it is chosen from a list.

    The shell has the host's files, environment and working directory, as tasks have; on a host that is
    reached by SSH it is an ssh. It ends with the processes of the host, at `optiprov finalize` or `destroy`
    at the latest. What others do to the experiment goes on meanwhile. The exit status is that of the command.
    """
    from optiprov.cli.foreground import run_in_foreground
    from optiprov.deploy import Visit
    from optiprov.deploy.port_forwards import PortForward

    ports = [PortForward.parse(forward) for forward in forwards]
    visit = Visit(scenario)
    host_id = visit.find(host) if host is not None else _chosen(visit)
    has_terminal = sys.stdin.isatty()
    with visit.entered(host_id) as entered, ExitStack() as stack:
        if ports and not entered.is_away:
            _forward_here(entered, ports, stack)
        command_there = entered.shell_command(
            _argv(entered, argv, has_terminal=has_terminal),
            has_terminal=has_terminal,
            forwards=[port.option for port in ports],
        )
        status = run_in_foreground(command_there)
    raise click.exceptions.Exit(status)


def _forward_here(host: Host, ports: Sequence[PortForward], stack: ExitStack) -> None:
    """Pass ports on to a host of this machine, where it has a network of its own."""
    from optiprov.deploy.port_forwards import PortRelay, shares_network

    for port in ports:
        if shares_network(host):
            click.echo(
                f"-L: the host {host.id} has the network of this machine: what it reaches at "
                f"{port.host}:{port.host_port} is reached here at the same address.",
                err=True,
            )
        else:
            stack.callback(PortRelay(host, port).close)


def _argv(host: Host, argv: Sequence[str], *, has_terminal: bool) -> list[str]:
    """The words of the command, or a shell; `env` tells of a program that is not there as shells do."""
    variables = [f"TERM={os.environ.get('TERM', 'dumb')}"] if has_terminal else []
    return ["env", *variables, *(argv or [host.shell])]


def _chosen(visit: Visit) -> str:
    """The host that the user chooses, or the only one."""
    if len(visit.hosts) == 1:
        return visit.hosts[0]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        shown = ", ".join(visit.hosts)
        raise click.UsageError(f"name the host: there is no terminal to choose it. There are: {shown}.")
    width = len(str(len(visit.hosts)))
    for number, host_id in enumerate(visit.hosts, 1):
        click.echo(f"{number:{width}}  {host_id}", err=True)

    def read(text: str) -> str:
        if text.isdigit() and 1 <= int(text) <= len(visit.hosts):
            return visit.hosts[int(text) - 1]
        try:
            return visit.find(text)
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    chosen: str = click.prompt("Host (number or name)", value_proc=read, err=True)
    return chosen
