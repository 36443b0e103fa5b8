"""`optiprov serve`."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from optiprov.serve.credentials import Certificate

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  optiprov serve --store duckdb:results/provenance.duckdb
  optiprov serve --store provenance.duckdb --mqtt-port 0 --http-port 0
  optiprov serve --store monetdb://monetdb:monetdb@127.0.0.1:50000/provenance
  optiprov serve --store provenance.duckdb --broker mqtt://127.0.0.1:1883/site-a
  optiprov serve --store provenance.duckdb --host 0.0.0.0 --broker-users users --token-file token"""
)
@click.option(
    "--store",
    metavar="URL",
    envvar="OPTIPROV_STORE",
    default="provenance.duckdb",
    show_default=True,
    help="The DuckDB file that the service owns, made where it is absent, or a MonetDB database.",
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
@click.option(
    "--broker-users",
    type=_FILE,
    metavar="FILE",
    help="Who may connect to the embedded broker: a line name:password each.",
)
@click.option(
    "--broker-cert", type=_FILE, metavar="FILE", help="The embedded broker speaks TLS with this PEM file."
)
@click.option("--broker-key", type=_FILE, metavar="FILE", help="The private key of --broker-cert.")
@click.option("--http-cert", type=_FILE, metavar="FILE", help="HTTP speaks TLS with this PEM file.")
@click.option("--http-key", type=_FILE, metavar="FILE", help="The private key of --http-cert.")
@click.option(
    "--token-file",
    type=_FILE,
    metavar="FILE",
    help="HTTP demands the bearer token in this file; by default that in OPTIPROV_TOKEN, if any.",
)
@click.option(
    "--parallelism",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="Ingest lanes: connections to the broker that receive and decode beside each other.",
)
def command(
    store: str,
    broker: str,
    host: str,
    mqtt_port: int,
    http_port: int,
    broker_users: Path | None,
    broker_cert: Path | None,
    broker_key: Path | None,
    http_cert: Path | None,
    http_key: Path | None,
    token_file: Path | None,
    parallelism: int,
) -> None:
    """Run the provenance service: broker, ingest, and an HTTP API.

    When it is ready it prints one line of JSON with its addresses. SIGTERM and Ctrl-C stop it, after it has
    stored what has arrived. Applications find it by PROVLIGHT_SERVER_URL or OPTIPROV_BROKER.

    Beyond this machine (--host) it listens only with credentials: users for the embedded broker, and a token
    for HTTP. Clients give them in OPTIPROV_BROKER_USER, OPTIPROV_BROKER_PASSWORD and OPTIPROV_TOKEN. An
    address mqtts://host?ca=FILE, or OPTIPROV_BROKER_CA, checks the broker's certificate; a path in the
    address is a prefix of the topics, so that several stores share a broker. With --http-cert, who asks
    writes https://host:port?ca=FILE, or sets OPTIPROV_HTTP_CA.
    """
    from optiprov.serve import Service
    from optiprov.serve.credentials import read_token, read_users
    from optiprov.store import StoreUrl

    signal.signal(signal.SIGTERM, _stop_starting)  # until it serves, and stops in good order
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    Service(
        StoreUrl.parse(store),
        broker=broker,
        host=host,
        mqtt_port=mqtt_port,
        http_port=http_port,
        users=read_users(broker_users) if broker_users else None,
        certificate=_certificate("broker", broker_cert, broker_key),
        http_certificate=_certificate("http", http_cert, http_key),
        token=read_token(token_file),
        lanes=parallelism,
    ).run()


def _stop_starting(*_: object) -> None:
    """End a service that is not ready yet; what it has made so far is taken away on the way out."""
    sys.exit()


def _certificate(side: str, chain: Path | None, key: Path | None) -> Certificate | None:
    from optiprov.serve.credentials import Certificate

    if (chain is None) != (key is None):
        raise click.UsageError(f"--{side}-cert and --{side}-key belong together: give both.")
    return Certificate(chain, key) if chain and key else None
