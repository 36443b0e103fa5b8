"""Ports of this machine that are passed on to hosts of it which have a network of their own."""

import socket

import pytest

from optiprov.deploy.port_forwards import PortForward, PortRelay
from optiprov.errors import DeploymentError, InputError


class _Apart:
    """What a relay asks of a host: to run a command in its network."""

    def __init__(self, machine):
        self._machine = machine

    def enclosed(self, argv):
        sshd = self._machine.running(name="sshd")[0]
        return ["nsenter", f"--net=/proc/{sshd}/ns/net", "--", *argv]


@pytest.fixture
def relay(pair):
    """Relays a port of this machine to one in the network of another one, and returns the port."""
    opened = []

    def make(host, host_port):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        opened.append(PortRelay(_Apart(pair[0]), PortForward("127.0.0.1", port, host, host_port)))
        return port, opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080:127.0.0.1:80", ("127.0.0.1", 8080, "127.0.0.1", 80)),
        ("0.0.0.0:1:name:2", ("0.0.0.0", 1, "name", 2)),
        ("[::1]:1:[fd00::2]:2", ("::1", 1, "fd00::2", 2)),
    ],
)
def test_forward_is_read_as_ssh_reads_it(text, expected):
    """With an address of this machine or without, IPv6 in brackets."""
    forward = PortForward.parse(text)
    assert tuple(vars(forward).values()) == expected
    assert PortForward.parse(forward.option) == forward


@pytest.mark.parametrize("text", ["", "80", "80:80", "a:host:80", "0:host:80", "80:host:65536", "::1:1:h:2"])
def test_forward_of_another_form_is_refused(text):
    """The message has what was given, and an example."""
    with pytest.raises(InputError, match=r"expected \[bind:\]port:host:hostport"):
        PortForward.parse(text)


def test_connections_are_passed_on_into_the_network_of_a_host(relay):
    """Several at a time, both ways; a loopback address is the host's own."""
    port, _ = relay("127.0.0.1", 22)
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
    assert [one.recv(7) for one in connections] == [b"SSH-2.0"] * 2
    connections[0].sendall(b"no protocol\r\n")
    connections[0].shutdown(socket.SHUT_WR)
    while connections[0].recv(1 << 12):
        pass  # until the other end has closed it
    for one in connections:
        one.close()


def test_relay_is_closed_with_what_it_has(relay):
    """Nothing listens any more, and what was connected is ended."""
    port, opened = relay("127.0.0.1", 22)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        assert connection.recv(7) == b"SSH-2.0"
        opened.close()
        while connection.recv(1 << 12):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_port_that_nobody_listens_on_is_closed(relay, capfd):
    """As a connection that is refused is, and it is told."""
    port, _ = relay("127.0.0.1", 1)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        assert connection.recv(1) == b""
    assert "-L: 127.0.0.1:1 cannot be connected to" in capfd.readouterr().err


def test_port_of_this_machine_that_is_taken_is_refused():
    """The message has the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DeploymentError, match=rf"127\.0\.0\.1:{port} of this machine cannot be had"):
            PortRelay(_Apart(None), PortForward("127.0.0.1", port, "127.0.0.1", 22))
