"""Who may use a service, and that nobody else can."""

import os
import socket

import httpx
import pytest

import optiprov
from optiprov.capture import Settings
from optiprov.errors import CredentialsError
from optiprov.records import Lost
from optiprov.serve.credentials import (
    Certificate,
    check_certificate,
    check_exposure,
    read_token,
    read_users,
)
from optiprov.store.remote import RemoteProvenance
from tests.conftest import RunningService
from tests.serve.test_service import run_serve
from tests.waiting import PATIENCE_S

TOKEN = "a-token-of-this-test-0123456789"
PASSWORD = "a password: with a colon"


def secret_file(path, text):
    """Write a file that only this user may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def exposed(tmp_path_factory):
    """A service that other machines reach, with a token and users."""
    directory = tmp_path_factory.mktemp("exposed")
    token = secret_file(directory / "token", TOKEN + "\n")
    users = secret_file(directory / "users", f"edge:{PASSWORD}\n")
    service = RunningService(
        directory / "p.duckdb",
        *("--host", "0.0.0.0", "--token-file", str(token), "--broker-users", str(users)),
    )
    yield service
    service.kill()


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ((), ["--token-file", "--broker-users"]),
        (("--broker", "mqtt://127.0.0.1:9"), ["--token-file"]),
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_listening_beyond_loopback_without_credentials_is_refused(tmp_path, host, options, missing):
    """Exit status 2 before anything listens or is made; the message says what to give."""
    result = run_serve(tmp_path / "p.duckdb", "--host", host, "--mqtt-port", 0, "--http-port", 0, *options)
    assert result.returncode == 2
    assert f"--host {host}" in result.stderr
    assert [option for option in missing if option not in result.stderr] == []
    assert ("--broker-users" in result.stderr) == ("--broker-users" in missing)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_credentials(host):
    """Who is on this machine may ask."""
    check_exposure(host, has_users=False, has_token=False)


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN],
)
def test_http_without_the_token_is_refused(exposed, header):
    """Every path, also those that are not there; the answer says what is asked for, not what is right."""
    headers = {} if header is None else {"Authorization": header}
    with httpx.Client(base_url=f"http://127.0.0.1:{exposed.http_port}", headers=headers) as http:
        answers = [http.get("/health"), http.post("/sql", json={"text": "SELECT 1"}), http.get("/none")]
        answers += [http.get("/docs"), http.get("/openapi.json"), http.options("/sql")]
    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].headers["WWW-Authenticate"] == "Bearer"
    assert "OPTIPROV_TOKEN" in answers[0].json()["detail"]


def test_http_with_the_token_answers(exposed, monkeypatch):
    """Given by hand, or in OPTIPROV_TOKEN."""
    url = f"http://127.0.0.1:{exposed.http_port}"
    assert RemoteProvenance(url, token=TOKEN).health()["status"] == "ok"
    monkeypatch.setenv("OPTIPROV_TOKEN", TOKEN)
    assert optiprov.connect(url).sql("SELECT 7 AS x")["x"][0] == 7
    assert optiprov.connect(exposed.store).sql("SELECT 7 AS x")["x"][0] == 7


@pytest.mark.parametrize("by_file", [True, False])
def test_asking_without_the_token_is_a_clear_error(exposed, monkeypatch, by_file):
    """By the service's URL, and by the file that it owns."""
    monkeypatch.delenv("OPTIPROV_TOKEN", raising=False)
    provenance = optiprov.connect(exposed.store if by_file else f"http://127.0.0.1:{exposed.http_port}")
    with pytest.raises(CredentialsError, match="set OPTIPROV_TOKEN"):
        provenance.sql("SELECT 1")


def test_client_finds_its_credentials_in_the_environment(exposed, client_at):
    """The address has none; the user and the password are variables of their own."""
    env = {
        "OPTIPROV_BROKER": f"127.0.0.1:{exposed.mqtt_port}",
        "OPTIPROV_BROKER_USER": "edge",
        "OPTIPROV_BROKER_PASSWORD": PASSWORD,
    }
    client = client_at(Settings.from_environment(env).broker)
    client.emit(Lost(1, "a test"))
    assert client.flush(PATIENCE_S)


def test_secrets_are_neither_printed_nor_logged_nor_shown_to_others(exposed):
    """Not in what the service prints, logs or answers, nor in the command lines of its processes."""
    import psutil

    process = psutil.Process(exposed.process.pid)
    shown = [exposed.log.read_text(), str(exposed.addresses)]
    shown += [" ".join(one.cmdline()) for one in (process, *process.children(recursive=True))]
    shown.append(str(RemoteProvenance(f"http://127.0.0.1:{exposed.http_port}", token=TOKEN).health()))
    assert not [text for text in shown if TOKEN in text or PASSWORD in text]


def test_garbage_at_the_http_port_stops_nothing(exposed):
    """Random bytes, requests that are cut off, and long lines."""
    for payload in (os.urandom(20_000), b"GET /health HTTP/1.1\r\nHost:", b"\x16\x03\x01", b"A" * 200_000):
        with socket.create_connection(("127.0.0.1", exposed.http_port), 5) as connection:
            connection.settimeout(5)
            try:
                connection.sendall(payload)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)
            except OSError:
                continue  # it has had enough
    url = f"http://127.0.0.1:{exposed.http_port}"
    assert RemoteProvenance(url, token=TOKEN).health()["status"] == "ok"


@pytest.mark.parametrize(
    "text", ["", "# nobody\n\n", "edge\n", "edge:\n", ":secret1\n", "e:a\ne:b\n", "e:a\x07\n"]
)
def test_users_that_cannot_be_used_are_refused(tmp_path, text):
    """The message names the file, and repeats no password."""
    path = secret_file(tmp_path / "users", text)
    with pytest.raises(CredentialsError, match=r"name:password|twice") as caught:
        read_users(path)
    assert str(path) in str(caught.value)
    assert "secret1" not in str(caught.value)


def test_users_are_read_line_by_line(tmp_path):
    """A password may hold colons, spaces and any script."""
    path = secret_file(tmp_path / "users", "# ours\nedge:a: b\n\n\u00fcser:\u5bc6\u7801\n")
    assert [tuple(one) for one in read_users(path)] == [("edge", "a: b"), ("\u00fcser", "\u5bc6\u7801")]


def test_secret_that_others_may_read_is_warned_of(tmp_path, caplog):
    """The message says what to do; the file is used still."""
    path = secret_file(tmp_path / "token", TOKEN)
    assert read_token(path) == TOKEN
    assert caplog.text == ""
    path.chmod(0o644)
    assert read_token(path) == TOKEN
    assert "chmod 600" in caplog.text


@pytest.mark.parametrize("text", ["", "short", "with a space in its midst", "\u00fc" * 20, "a" * 20 + "\x00"])
def test_token_that_is_no_secret_is_refused(tmp_path, text):
    """Too short, or not what a header can hold; the message says how to make one."""
    with pytest.raises(CredentialsError, match="openssl rand"):
        read_token(secret_file(tmp_path / "token", text))


def test_token_is_absent_where_nobody_gives_one(tmp_path):
    """No file and no variable; an absent file is an error."""
    assert read_token(None, {}) is None
    assert read_token(None, {"OPTIPROV_TOKEN": TOKEN}) == TOKEN
    with pytest.raises(CredentialsError, match="No such file"):
        read_token(tmp_path / "none", {})


def test_certificate_that_cannot_be_used_is_refused(authority, tmp_path):
    """An absent file, and a key of another certificate."""
    chain, key = authority.sign("one")
    _, other = authority.sign("two")
    check_certificate(Certificate(chain, key))
    for wrong in (Certificate(chain, other), Certificate(tmp_path / "none", key), Certificate(key, key)):
        with pytest.raises(CredentialsError, match="cannot be used"):
            check_certificate(wrong)


def test_credentials_of_the_embedded_broker_make_no_sense_for_another(tmp_path):
    """Exit status 2; another broker has users of its own."""
    users = secret_file(tmp_path / "users", "edge:secret1\n")
    result = run_serve(
        tmp_path / "p.duckdb", "--broker", "mqtt://127.0.0.1:9", "--broker-users", users, "--http-port", 0
    )
    assert result.returncode == 2
    assert "--broker embedded" in result.stderr


@pytest.mark.parametrize("lanes", [0, 17])
def test_number_of_lanes_is_bounded(tmp_path, lanes):
    """There are as many shards as lanes at most."""
    result = run_serve(tmp_path / "p.duckdb", "--parallelism", lanes)
    assert (result.returncode, "--parallelism" in result.stderr) == (2, True)
