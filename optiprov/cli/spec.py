"""`optiprov spec`."""

from __future__ import annotations

from pathlib import Path

import click

from optiprov.errors import ServiceUnavailable, UrlError


@click.command(
    epilog="""\b
Examples:
  optiprov spec dataflow.yaml --check
  optiprov spec dataflow.yaml --broker 127.0.0.1:1883"""
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--broker", metavar="URL", help="Where to send; by default OPTIPROV_BROKER or PROVLIGHT_SERVER_URL."
)
@click.option("--check", "is_check", is_flag=True, help="Only say whether the file is right.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS"
)
def command(file: Path, broker: str | None, is_check: bool, timeout_s: float) -> None:
    """Send the specification of a dataflow in FILE, a YAML file, to a service.

    It names the dataflow's transformations, and the typed attributes of the datasets that they use and
    generate. It may be sent before or after the data, and again: what is the same changes nothing, changed
    attributes are a new version.
    """
    from optiprov.store.spec_file import read_spec_file

    specification = read_spec_file(file)
    counts = f"{len(specification.transformations)} transformations, {len(specification.datasets)} datasets"
    if is_check:
        click.echo(f"{file}: fine, dataflow {specification.dataflow!r}, {counts}.")
        return
    from optiprov.capture import Client, Settings
    from optiprov.wire import BrokerAddress

    settings = Settings.from_environment()
    address = BrokerAddress.parse(broker) if broker else settings.broker
    if address is None:
        raise UrlError("Send where to? Give --broker URL, or set PROVLIGHT_SERVER_URL.")
    client = Client(settings._replace(broker=address, flush_timeout_s=0.0))
    try:
        client.emit(specification)
        if not client.flush(timeout_s):
            raise ServiceUnavailable(
                f"The specification is not stored: no service answers at {address.url}. "
                f"It stays in {settings.spool}; `optiprov spool send` sends it."
            )
    finally:
        client.close()
    click.echo(f"{file}: dataflow {specification.dataflow!r} sent to {address.url}, {counts}.")
