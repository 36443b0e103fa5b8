"""Real brokers for tests, and certificates that they and wrong ones show."""

import contextlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from optiprov.serve.broker import free_port
from tests.waiting import PATIENCE_S, wait_until


class PortTakenError(Exception):
    """Another process listens on the port that was free a moment ago."""


def require_program(name, package):
    """Fail under CI, skip elsewhere, where a program is not installed."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = f"{name} is not installed: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def require_ipv6():
    """Skip where the kernel has no loopback of IPv6; where CI has one, it must be of use."""
    try:
        free_port("::1")
    except OSError as error:
        reason = f"no IPv6 at ::1: {error}"
        known = Path("/proc/net/if_inet6")
        if os.environ.get("CI") == "true" and known.exists() and known.read_text().strip():
            pytest.fail(reason)
        pytest.skip(reason)


class Mosquitto:
    """A mosquitto of a test's own; it keeps nothing over a restart."""

    def __init__(self, directory, *, host="127.0.0.1", users=None, certificate=None):
        self._program = require_program("mosquitto", "mosquitto")
        self.host = host
        lines = ["persistence false", "user root", "max_queued_messages 0"]
        if users:
            passwords = directory / "passwords"
            passwords.touch(mode=0o600)
            maker = require_program("mosquitto_passwd", "mosquitto")
            for name, password in users.items():
                subprocess.run([maker, "-b", passwords, name, password], check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        else:
            lines.append("allow_anonymous true")
        if certificate:
            lines += [f"certfile {certificate.chain}", f"keyfile {certificate.key}"]
        self._configuration = directory / "mosquitto.conf"
        self.log = directory / "mosquitto.log"
        while True:
            self.port = free_port(host)
            listener = f"listener {self.port} {host}"
            self._configuration.write_text("\n".join([listener, *lines]) + "\n")
            try:
                self.start()
            except PortTakenError:
                continue  # another process took it first
            return

    def start(self):
        """Start it, and wait until it listens.

        Raises:
            PortTakenError: somebody else listens on its port.
        """
        self.log.write_bytes(b"")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self._program, "-c", self._configuration], stdout=log, stderr=subprocess.STDOUT
            )
        wait_until(self._listens)

    def _listens(self):
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
            if self.process.poll() is None:
                return True
        if self.process.poll() is not None:
            log = self.log.read_text()
            if "in use" in log:
                raise PortTakenError
            pytest.fail(f"mosquitto does not start: {log}")
        return False

    def kill(self):
        """End it by SIGKILL."""
        self.process.kill()
        self.process.wait(PATIENCE_S)


class Authority:
    """A CA of the tests' own; it signs certificates for this machine."""

    def __init__(self, directory):
        self._openssl = require_program("openssl", "openssl")
        self._directory = directory
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca.key"
        self._run(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca of a test"),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def sign(self, name, subject="DNS:localhost,IP:127.0.0.1,IP:::1"):
        """Return the paths of a new certificate and its key."""
        request, chain, key, extension = (
            self._directory / f"{name}.{end}" for end in ("csr", "pem", "key", "ext")
        )
        extension.write_text(f"subjectAltName={subject}\n")
        self._run(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        )
        self._run(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-days", "2"),
            *("-CAcreateserial", "-extfile", extension, "-out", chain),
        )
        return Path(chain), Path(key)

    def _run(self, *arguments):
        subprocess.run([self._openssl, *map(str, arguments)], check=True, capture_output=True)
