"""`optiprov spool`."""

from __future__ import annotations

from pathlib import Path

import click

from optiprov.capture import bounds, leftover
from optiprov.capture.settings import Settings
from optiprov.cli.broker_check import why_nothing_is_stored
from optiprov.errors import InputError, ServiceUnavailable, UrlError
from optiprov.wire import BrokerAddress

_FILES_OF_A_CLIENT = ("client.json", "state", "lock")


@click.group(
    epilog="""\b
Examples:
  optiprov spool status
  optiprov spool send --broker 127.0.0.1:1883
  optiprov spool send /media/edge-device/spool --broker mqtt://127.0.0.1:1883"""
)
def command() -> None:
    """Show and send provenance that is not stored yet.

    Programs keep their provenance in a spool until a service has stored it: in OPTIPROV_SPOOL, by default
    ~/.local/state/optiprov/spool. What a program leaves is sent by the next one that reaches a broker, or by
    `optiprov spool send`. A spool holds at most OPTIPROV_SPOOL_MAX_MB (2048): what finds no room is counted
    as lost. What cannot be sent for OPTIPROV_SPOOL_MAX_DAYS (90) is removed and counted.
    """


@command.command(epilog="\b\nExample:\n  optiprov spool status")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), required=False)
def status(directory: Path | None) -> None:
    """List the clients whose provenance in DIRECTORY is not stored yet.

    Where a broker is set in the environment, it is asked whether a service stores what is sent there.
    """
    settings = Settings.from_environment()
    place = _place(directory, settings)
    waiting = leftover.waiting_clients(place)
    for one in waiting:
        owner = "running" if one.is_alive else "ended"
        where = f"{one.identity.get('host', '?')}, process {one.identity.get('pid', '?')} ({owner})"
        click.echo(f"{one.client}  {one.records} record{'' if one.records == 1 else 's'}, {where}")
    click.echo(
        f"{place}: {len(waiting)} client{'' if len(waiting) == 1 else 's'} with undelivered provenance,"
        f" {_megabytes(bounds.spool_bytes(place))} of at most {_megabytes(settings.spool_max_bytes)} MB."
    )
    ages = [bounds.age_s(place / one.client) / 86_400 for one in waiting if not one.is_alive]
    if ages:
        limit = settings.spool_max_age_s / 86_400
        click.echo(
            f"The oldest waits since {max(ages):.1f} days; after {limit:g} days it is removed and counted."
        )
    if waiting and settings.broker is not None:
        reason = why_nothing_is_stored(settings.broker, settings.topic)
        if reason is not None:
            click.echo(f"None of it is on its way: the broker {settings.broker.url} {reason}.")


@command.command(epilog="\b\nExample:\n  optiprov spool send --broker 127.0.0.1:1883")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), required=False)
@click.option(
    "--broker", metavar="URL", help="Where to send; by default OPTIPROV_BROKER or PROVLIGHT_SERVER_URL."
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS"
)
def send(directory: Path | None, broker: str | None, timeout_s: float) -> None:
    """Send what ended programs left in DIRECTORY, which may come from another machine."""
    settings = Settings.from_environment()
    address = BrokerAddress.parse(broker) if broker else settings.broker
    if address is None:
        raise UrlError("Send where to? Give --broker URL, or set PROVLIGHT_SERVER_URL.")
    place = _place(directory, settings)
    ended = [one for one in leftover.waiting_clients(place) if not one.is_alive]
    unsent = leftover.send_leftovers(place, address, timeout_s=timeout_s)
    bounds.expire_spools(place, settings.spool_max_age_s)
    sent = [one for one in ended if one.client not in unsent]
    records = sum(one.records for one in sent)
    click.echo(f"{records} records of {_counted(len(sent))} sent to {address.url}.")
    if unsent:
        why = why_nothing_is_stored(address, settings.topic)
        reason = (
            f"the broker {address.url} {why}" if why else f"it took longer than {timeout_s:g} s (--timeout)"
        )
        raise ServiceUnavailable(
            f"provenance of {_counted(len(unsent))} is not stored: {reason}. It stays in {place}."
        )


def _counted(clients: int) -> str:
    return f"{clients} client{'' if clients == 1 else 's'}"


def _place(directory: Path | None, settings: Settings) -> Path:
    """Return the spool directory that is meant; one that was named has to be one.

    That of the environment need not exist yet: nothing was emitted then.

    Raises:
        InputError: it does not exist, or is something else.
    """
    if directory is None:
        return settings.spool
    what = "Give a directory that holds spools, such as OPTIPROV_SPOOL names or a copy of it."
    if not directory.is_dir():
        raise InputError(f"{directory}: there is no such directory. {what}")
    if any((directory / name).exists() for name in _FILES_OF_A_CLIENT):
        raise InputError(f"{directory}: it is the spool of one client. Give {directory.absolute().parent}.")
    is_used = any(any(directory.glob(f"*/{name}")) for name in (*_FILES_OF_A_CLIENT, "*.seg"))
    if not is_used and any(directory.iterdir()):
        raise InputError(f"{directory}: it holds no spools, but something else. {what}")
    return directory


def _megabytes(size_bytes: int) -> int:
    return -(-size_bytes // (1 << 20))
