"""Services behind each kind of broker."""

import dataclasses

import pytest

from optiprov.capture import Client, Settings
from optiprov.serve.credentials import Certificate
from optiprov.wire import BrokerAddress
from tests.conftest import RunningService
from tests.serve.brokers import Authority, Mosquitto

USERS = {"service": "the service's own secret", "edge": "p:w@/%&#"}
PREFIX = "site-a/cell 1"


@dataclasses.dataclass
class Transport:
    """A service, its broker, and how clients reach it."""

    service: RunningService
    mosquitto: Mosquitto | None
    address: BrokerAddress

    def close(self):
        """End both."""
        self.service.kill()
        if self.mosquitto:
            self.mosquitto.kill()


def make_transport(kind, directory, *, host="127.0.0.1", secured=False, certificate=None, authority=None):
    """Start a service with a broker of a kind; a secured one has users, TLS, a prefix and three lanes."""
    users = USERS if secured else None
    options = ["--host", host] + (["--parallelism", 3] if secured else [])
    mosquitto = None
    if kind == "embedded":
        if secured:
            file = directory / "users"
            file.touch(mode=0o600)
            file.write_text("# who may connect\n" + "".join(f"{n}:{p}\n" for n, p in users.items()))
            options += [
                "--broker-users",
                file,
                "--broker-cert",
                certificate.chain,
                "--broker-key",
                certificate.key,
            ]
        service = RunningService(directory / "p.duckdb", *map(str, options))
        address = BrokerAddress.parse(service.mqtt)
    else:
        mosquitto = Mosquitto(directory, host=host, users=users, certificate=certificate)
        address = BrokerAddress(host, mosquitto.port, prefix=PREFIX if secured else "")
        if secured:
            address = address._replace(tls=True, ca=str(authority.certificate))
        service_address = full_url(address, "service") if secured else address.url
        service = RunningService(directory / "p.duckdb", "--broker", service_address, *map(str, options))
    if secured:
        address = address._replace(user="edge", password=USERS["edge"], ca=str(authority.certificate))
    return Transport(service, mosquitto, address)


def full_url(address, user):
    """Return the address as its user writes it, credentials, CA and all."""
    from urllib.parse import quote

    scheme, _, rest = address.url.partition("://")
    return f"{scheme}://{user}:{quote(USERS[user], safe='')}@{rest}?ca={address.ca}"


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A CA."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority):
    """What the brokers show."""
    return Certificate(*authority.sign("broker"))


@pytest.fixture(scope="module", params=["embedded", "mosquitto"])
def plain(request, tmp_path_factory):
    """A service behind each broker, for anybody on this machine."""
    transport = make_transport(request.param, tmp_path_factory.mktemp("plain"))
    yield transport
    transport.close()


@pytest.fixture(scope="module", params=["embedded", "mosquitto"])
def secured(request, tmp_path_factory, authority, certificate):
    """A service behind each broker, with users, TLS and three lanes; mosquitto also has a prefix."""
    transport = make_transport(
        request.param,
        tmp_path_factory.mktemp("secured"),
        secured=True,
        certificate=certificate,
        authority=authority,
    )
    yield transport
    transport.close()


@pytest.fixture
def client_at(tmp_path):
    """Makes clients of this process that send to an address; closed at the end."""
    made = []

    def make(address):
        made.append(Client(Settings(tmp_path / "spool", address, flush_timeout_s=1)))
        return made[-1]

    yield make
    for client in made:
        client.close()
