"""`optiprov serve`."""

from __future__ import annotations

import logging

import click


@click.command(
    epilog="""\b
Examples:
  optiprov serve --store duckdb:results/provenance.duckdb
  optiprov serve --store provenance.duckdb --mqtt-port 0 --http-port 0
  optiprov serve --store provenance.duckdb --broker mqtt://127.0.0.1:1883"""
)
@click.option(
    "--store",
    metavar="URL",
    envvar="OPTIPROV_STORE",
    default="provenance.duckdb",
    show_default=True,
    help="The DuckDB file that the service owns; made where it is absent.",
)
@click.option(
    "--broker",
    metavar="embedded|URL",
    default="embedded",
    show_default=True,
    help="A broker of the service's own, or the address of one that runs.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where HTTP and the embedded broker listen."
)
@click.option(
    "--mqtt-port",
    type=click.IntRange(0, 65535),
    default=1883,
    show_default=True,
    help="Port of the embedded broker; 0 picks a free one.",
)
@click.option(
    "--http-port",
    type=click.IntRange(0, 65535),
    default=22000,
    show_default=True,
    help="Port of HTTP; 0 picks a free one.",
)
def command(store: str, broker: str, host: str, mqtt_port: int, http_port: int) -> None:
    """Run the provenance service: broker, ingest, and an HTTP API.

    When it is ready it prints one line of JSON with its addresses. SIGTERM and Ctrl-C stop it, after it has
    stored what has arrived. Applications find it by PROVLIGHT_SERVER_URL or OPTIPROV_BROKER.
    """
    from optiprov.serve import Service
    from optiprov.store import StoreUrl

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    Service(StoreUrl.parse(store), broker=broker, host=host, mqtt_port=mqtt_port, http_port=http_port).run()
