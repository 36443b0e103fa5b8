"""HTTP behind TLS: with the right CA it is asked as without, and otherwise not at all, with what to do."""

import pytest
from click.testing import CliRunner

import optiprov
from optiprov.cli.main import cli
from optiprov.errors import CredentialsError, ServiceUnavailable, UrlError
from optiprov.optimize.service import StudyService
from optiprov.store.duckdb import DuckDBBackend
from optiprov.store.remote import RemoteProvenance
from optiprov.store.schema import migrate
from optiprov.store.service_address import ServiceAddress
from tests.conftest import RunningService
from tests.serve.brokers import Authority
from tests.serve.test_service import run_serve


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory, authority):
    """A service whose certificate is for localhost, and for no address."""
    chain, key = authority.sign("http", "DNS:localhost")
    store = tmp_path_factory.mktemp("https") / "p.duckdb"
    service = RunningService(store, "--http-cert", str(chain), "--http-key", str(key))
    yield service
    assert service.stop() == 0


@pytest.fixture
def url(encrypted, authority):
    """The service's address as its users write it."""
    return f"https://localhost:{encrypted.http_port}?ca={authority.certificate}"


def test_service_is_asked_over_tls(encrypted, url, authority, monkeypatch):
    """The CA is named in the address or in the environment; the barrier waits as without TLS."""
    assert encrypted.http == f"https://127.0.0.1:{encrypted.http_port}"
    assert optiprov.connect(url).sql("SELECT 7 AS x")["x"][0] == 7
    monkeypatch.setenv("OPTIPROV_HTTP_CA", str(authority.certificate))
    service = RemoteProvenance(url.partition("?")[0])
    assert service.health()["http"] == encrypted.http
    service.wait_stored({}, timeout_s=1)


def test_store_of_an_encrypted_service_is_asked_by_its_file(encrypted):
    """The certificate lies beside the store, and is trusted whoever it names: no CA is needed."""
    assert optiprov.connect(encrypted.store).sql("SELECT 7 AS x")["x"][0] == 7


def test_command_line_and_studies_take_the_address(url, tmp_path):
    """As they take one without TLS."""
    result = CliRunner().invoke(cli, ["sql", "--store", url, "--format", "csv", "SELECT 7 AS x"])
    assert (result.exit_code, result.stdout) == (0, "x\n7\n")
    with StudyService(url, tmp_path) as service:
        assert len(optiprov.connect(service.http).runs()) == 0


@pytest.mark.parametrize("wrong", ["another CA", "the system's CAs", "another host"])
def test_certificate_that_cannot_be_trusted_is_refused(url, encrypted, authority, tmp_path, wrong):
    """The message says how to name the CA."""
    ca = Authority(tmp_path).certificate if wrong == "another CA" else authority.certificate
    address = {
        "another CA": f"{url.partition('?')[0]}?ca={ca}",
        "the system's CAs": url.partition("?")[0],
        "another host": f"{encrypted.http}?ca={ca}",
    }[wrong]
    with pytest.raises(ServiceUnavailable, match=r"certificate.*Is the CA right \(.*OPTIPROV_HTTP_CA"):
        optiprov.connect(address).runs()


def test_asking_without_tls_is_told_to_use_it(encrypted):
    """The service does not answer in plain text."""
    with pytest.raises(ServiceUnavailable, match="write https://"):
        optiprov.connect(f"http://localhost:{encrypted.http_port}").runs()


def test_stale_certificate_beside_a_store_is_passed_over(encrypted, tmp_path):
    """After a kill there may be anything: the file is opened."""
    backend = DuckDBBackend(tmp_path / "p.duckdb")
    migrate(backend)
    backend.close()
    beside = tmp_path / "p.duckdb.service.json"
    for certificate in ('"no certificate"', "7", "[]"):
        beside.write_text(f'{{"http": "{encrypted.http}", "pid": 1, "certificate": {certificate}}}')
        assert len(optiprov.connect(tmp_path / "p.duckdb").runs()) == 0


def test_certificate_without_its_key_is_wrong_input(tmp_path, authority):
    """And so is a key of another certificate."""
    chain, key = authority.sign("http-one", "DNS:localhost")
    _, other = authority.sign("http-two", "DNS:localhost")
    for options in (["--http-cert", chain], ["--http-cert", chain, "--http-key", other]):
        result = run_serve(tmp_path / "p.duckdb", *options)
        assert (result.returncode, "cert" in result.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
    assert key.exists()


@pytest.mark.parametrize(
    "text", ["https://", "http://h:0", "http://h:x", "http://h?ca=/a", "https://h?cert=/a", "https://h#a"]
)
def test_address_that_cannot_be_understood_is_refused(text):
    """The message shows how to write one."""
    with pytest.raises(UrlError, match=r"Write http://host:port, or https://host:port\?ca="):
        ServiceAddress.parse(text, {})


def test_ca_that_cannot_be_read_is_refused(tmp_path):
    """It is named, and how to name another."""
    with pytest.raises(CredentialsError, match=f"The CA {tmp_path}/none.pem .*OPTIPROV_HTTP_CA"):
        optiprov.connect(f"https://localhost:9?ca={tmp_path}/none.pem")
