"""`optiprov spec`: a file is checked, sent, and in the store."""

import pytest

from optiprov import connect
from tests.store.test_spec_file import GOOD


@pytest.fixture
def file(tmp_path):
    """A file that is right."""
    path = tmp_path / "dataflow.yaml"
    path.write_text(GOOD, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    """Where the command spools."""
    monkeypatch.setenv("OPTIPROV_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


def test_file_is_sent_and_a_second_time_changes_nothing(file, shared_service, optiprov, spool):
    """The command says what it sent; the store has one version of it, and the spool nothing."""
    for _ in range(2):
        status, output, _ = optiprov("spec", file, "--broker", shared_service.mqtt)
        assert status == 0
        assert "dataflow 'digits' sent to" in output
        assert "3 transformations, 4 datasets." in output
    provenance = connect(shared_service.http)
    assert provenance.sql("SELECT version FROM prov.dataflow")["version"].tolist() == [1]
    assert list(spool.iterdir()) == []


def test_check_sends_nothing(file, optiprov, spool):
    """It needs no broker."""
    status, output, _ = optiprov("spec", file, "--check")
    assert (status, "fine, dataflow 'digits'" in output, spool.exists()) == (0, True, False)


def test_wrong_file_exits_with_2_and_line_and_key(file, optiprov):
    """Without a traceback."""
    file.write_text(GOOD.replace("path: file", "path: real"), encoding="utf-8")
    status, _, errors = optiprov("spec", file, "--check")
    assert status == 2
    assert f"Error: {file}:10: datasets.images.path is 'real'. Give one of text, numeric, file." in errors


def test_no_broker_is_wrong_input_and_one_that_does_not_answer_is_failed_work(file, optiprov, spool):
    """Exit 2 and 1; in the second case the specification waits in the spool."""
    status, _, errors = optiprov("spec", file)
    assert (status, "Send where to? Give --broker URL" in errors) == (2, True)
    status, _, errors = optiprov("spec", file, "--broker", "127.0.0.1:9", "--timeout", 1)
    assert (status, "no service answers at mqtt://127.0.0.1:9" in errors) == (1, True)
    assert len(list(spool.iterdir())) == 1
