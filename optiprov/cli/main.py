"""The command `optiprov`: one file a subcommand, loaded when it is used."""

from __future__ import annotations

from importlib import import_module

import click

import optiprov
from optiprov.cli.leaving import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_WRONG_INPUT, run_and_leave
from optiprov.errors import InputError, OptiprovError, StudyInterrupted

COMMANDS = {
    "check": "Check a scenario without deploying it.",
    "deploy": "Deploy a scenario, run its workflow, and fetch the results.",
    "destroy": "End what runs of an experiment, and remove its hosts.",
    "doctor": "Show what this machine has, and what is missing and how to get it.",
    "finalize": "Fetch the results of an experiment, end what runs, and back its provenance up.",
    "init": "Write a scenario that runs at once.",
    "layers-services": "Deploy the hosts of a scenario.",
    "lineage": "List what led to a data item, a file or a task, or what came of it.",
    "network": "Emulate, show, remove or measure what lies between the hosts of an experiment.",
    "optimize": "Run an optimization.",
    "query": "Query tasks by what they used and generated.",
    "serve": "Run the provenance service.",
    "services": "Show, add and remove the classes that deploy services.",
    "spec": "Send the specification of a dataflow.",
    "spool": "Show and send provenance that is not stored yet.",
    "ssh": "Open a shell on a host of an experiment.",
    "sql": "Run one read-only SQL query on a provenance store.",
    "workflow": "Run one stage of an experiment's workflow.",
}


class _LazyGroup(click.Group):
    """A group that imports a subcommand's module when it is called, and not for the others' help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"optiprov.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(sorted(COMMANDS))}."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, 1 the work failed, 2 the input is wrong, 130 interrupted by Ctrl-C. "
    "`optiprov COMMAND --help` has examples.",
)
@click.version_option(optiprov.__version__, prog_name="optiprov")
def cli() -> None:
    """Optimize experiments on the edge-to-cloud continuum and keep their provenance."""


def run() -> int:
    """Run the command line and return its exit status; errors of ours are printed without a traceback."""
    try:
        status = cli.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    except StudyInterrupted as error:
        click.echo(f"Interrupted: {error}", err=True)
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return EXIT_WRONG_INPUT
    except OptiprovError as error:
        click.echo(f"Error: {error}", err=True)
        return EXIT_WRONG_INPUT if isinstance(error, InputError) else EXIT_FAILED
    return status if isinstance(status, int) else 0


def main() -> None:
    """The command `optiprov`: run the command line as all that this process does."""
    run_and_leave(run)
