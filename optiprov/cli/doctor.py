"""`optiprov doctor`."""

from __future__ import annotations

import platform
import shutil
import socket
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from optiprov.cli.findings import Finding, look_at_client, look_at_mosquitto, look_at_store

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES = (
    "optiprov",
    "ray",
    "duckdb",
    "scikit-optimize",
    "paho-mqtt",
    "iotcore",
    "pandas",
    "numpy",
)
_COMES_WITH = {"scikit-learn": "scikit-optimize"}
_ACCOUNTS = {".python-grid5000.yaml": "Grid'5000", ".iotlabrc": "FIT IoT-LAB"}
_MIN_FREE_BYTES = 1 << 30
_DEFAULT_PORTS = {1883: "MQTT, optiprov serve --mqtt-port", 22000: "HTTP, optiprov serve --http-port"}


@click.command(
    epilog="""\b
Examples:
  optiprov doctor
  optiprov doctor --store http://127.0.0.1:22000"""
)
@click.option(
    "--store", metavar="URL", envvar="OPTIPROV_STORE", help="A store or a running service to look at."
)
def command(store: str | None) -> None:
    """Show what this machine has, and what is missing and how to get it.

    Beside versions, ports, isolation and disks: whether the broker that the environment names takes a
    session, what waits in the spool and since when, and whether the store or the service answers.

    The exit status is 1 where something is missing without which an optimization does not run.
    """
    findings = [*_versions(), *_testbeds(), *_ports(), *look_at_client(), *look_at_mosquitto()]
    findings += [*_isolation(), *_disk(), *look_at_store(store)]
    width = max(len(finding.subject) for finding in findings)
    for state, subject, detail in findings:
        lines = detail.splitlines() or [""]
        click.echo(f"{state:8}{subject:{width}}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"{'':{8 + width}}  {line}")
    if any(finding.state == "missing" for finding in findings):
        raise click.exceptions.Exit(1)


def _versions() -> Iterator[Finding]:
    yield Finding("ok", "python", f"{platform.python_version()} ({sys.executable})")
    for name in _PACKAGES:
        try:
            yield Finding("ok", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding("missing", name, f"install it: pip install {name}")
    for name, parent in _COMES_WITH.items():
        try:
            yield Finding("ok", name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding("note", name, f"not there, though it comes with {parent}: install that again")


def _testbeds() -> Iterator[Finding]:
    try:
        version = metadata.version("enoslib")
    except metadata.PackageNotFoundError:
        hint = "no EnOSlib: hosts of Grid'5000 and FIT IoT-LAB need it: pip install 'optiprov[testbeds]'"
        yield Finding("note", "testbeds", hint)
        return
    absent = [name for name in _ACCOUNTS if not (Path.home() / name).exists()]
    told = "".join(f"; no account of {_ACCOUNTS[name]} (~/{name})" for name in absent)
    yield Finding("note" if absent else "ok", "testbeds", f"EnOSlib {version}{told}")


def _ports() -> Iterator[Finding]:
    for port, use in _DEFAULT_PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                detail = f"{error.strerror}; another port is chosen with 0 ({use})"
                yield Finding("note", f"port {port}", detail)
            else:
                yield Finding("ok", f"port {port}", f"free ({use})")


def _isolation() -> Iterator[Finding]:
    from optiprov.deploy import isolation_note
    from optiprov.deploy.network.host_network import network_obstacle

    note = isolation_note()
    detail = note or "mount namespaces are allowed here"
    yield Finding("note" if note else "ok", "private /tmp and HOME", detail)
    obstacle = network_obstacle()
    detail = obstacle or "network namespaces are allowed here (`isolation: netns`)"
    yield Finding("note" if obstacle else "ok", "networks of hosts", detail)
    shell = shutil.which("bash")
    yield Finding("ok" if shell else "note", "shell", shell or "no bash: tasks run in sh")


def _disk() -> Iterator[Finding]:
    for subject, path in (("disk, here", Path.cwd()), ("disk, temporary", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(path).free
        detail = f"{free / (1 << 30):.1f} GiB free at {path}"
        is_enough = free >= _MIN_FREE_BYTES
        yield Finding(
            "ok" if is_enough else "missing", subject, detail if is_enough else f"{detail}; free some"
        )
