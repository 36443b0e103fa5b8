"""Studies behind a broker that asks for a password and TLS: applications deliver, and secrets do not leak."""

import time
from urllib.parse import quote

import psutil
import pytest

from optiprov import connect
from tests.optimize.studies import MODES, study
from tests.serve.conftest import PREFIX, USERS, authority, certificate, make_transport

__all__ = ["authority", "certificate"]

pytestmark = pytest.mark.slow

PASSWORD = USERS["edge"]
TOKEN = "a-token-of-this-test-0123456789"
SECRETS = {PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD), TOKEN}


@pytest.fixture(scope="module")
def secured(tmp_path_factory, authority, certificate):
    """A service behind a mosquitto with users, TLS and a prefix."""
    directory = tmp_path_factory.mktemp("secured")
    transport = make_transport(
        "mosquitto", directory, secured=True, certificate=certificate, authority=authority
    )
    yield transport
    transport.close()


def commands_of(run):
    """Return the command lines of all processes while a study runs, to its end."""
    commands = set()
    deadline = time.monotonic() + 150
    while run.process.poll() is None:
        assert time.monotonic() < deadline, run.text()
        for process in psutil.process_iter(["cmdline"]):
            commands.add(" ".join(process.info["cmdline"] or []))
        time.sleep(0.2)
    return commands


def holders(directory):
    """Return the files below a directory that have a secret in them."""
    return [
        path
        for path in directory.rglob("*")
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in SECRETS)
    ]


def stored_text(store):
    """Return all that the store holds as text, tables of datasets included."""
    tables = store.sql("SELECT table_schema AS s, table_name AS t FROM information_schema.tables")
    return "".join(store.sql(f'SELECT * FROM "{row.s}"."{row.t}"').to_csv() for row in tables.itertuples())


def test_trials_deliver_behind_a_broker_with_credentials_which_do_not_leak(secured, tmp_path):
    """One trial ends well, one fails; the CA is named by a path relative to the study's directory."""
    work = tmp_path / "work"
    service = secured.service
    variables = {
        "OPTIPROV_BROKER_USER": "edge",
        "OPTIPROV_BROKER_PASSWORD": PASSWORD,
        "OPTIPROV_BROKER_CA": "../ca.pem",
        "OPTIPROV_TOKEN": TOKEN,
        "OPTIPROV_ENVIRONMENT": "1",
    }
    (tmp_path / "ca.pem").write_bytes(type(work)(secured.address.ca).read_bytes())
    with study(tmp_path, MODES, "--store", service.http, TEST_MODES="fine,crash", **variables) as run:
        commands = commands_of(run)
        assert run.process.returncode == 0, run.text()
    store = connect(service.http)
    assert f"/{quote(PREFIX)}" in service.mqtt
    trials = store.trials("study").set_index("trial_id")["status"].to_dict()
    assert trials == {"study-001": "finished", "study-002": "failed"}
    assert set(store.runs()["trial_id"]) == set(trials)
    assert (run.results / "trials" / "001" / "config.json").exists()
    assert any("application.py" in command for command in commands)
    assert [command for command in commands if any(secret in command for secret in SECRETS)] == []
    assert holders(tmp_path) == []
    held = stored_text(store)
    assert "OPTIPROV_BROKER" in held  # the environment of the applications is recorded, but for secrets
    assert not any(secret in held for secret in SECRETS)


def test_wrong_password_is_told_without_a_password(secured, tmp_path, run_python):
    """The application goes on and keeps its records; its warning has neither the right one nor the wrong."""
    code = "from optiprov import Workflow; wf = Workflow('f'); wf.begin(); wf.end(); print('on')"
    place = f"127.0.0.1:{secured.address.port}/?ca={secured.address.ca}"
    output, errors = run_python(
        code,
        OPTIPROV_BROKER=f"mqtts://edge:wr0ng%40pass@{place}",
        OPTIPROV_FLUSH_TIMEOUT_S="3",
        OPTIPROV_ENVIRONMENT="1",
    )
    assert output == "on\n"
    assert "refuses the connection" in errors
    kept = b"".join(path.read_bytes() for path in (tmp_path / "spool").rglob("*") if path.is_file())
    for text in ("wr0ng@pass", "wr0ng%40pass"):
        assert text not in errors
        assert text.encode() not in kept
