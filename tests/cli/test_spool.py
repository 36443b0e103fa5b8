"""`optiprov spool`: what programs left behind is shown, and sent."""

from __future__ import annotations

import json
import shutil

import pytest

from optiprov import connect
from optiprov.cli import broker_check
from tests.serve.emitters import EMIT
from tests.waiting import wait_until


def test_status_lists_what_is_undelivered(run_python, tmp_path, optiprov):
    """A program without a broker leaves its records; the list says whose they are, and how many."""
    run_python(EMIT, "a", 3, 0)
    status, output, _ = optiprov("spool", "status", tmp_path / "spool")
    assert status == 0
    assert "8 records" in output
    assert "(ended)" in output
    assert "1 client with undelivered provenance" in output


def test_status_where_nothing_was_ever_emitted_is_no_error(tmp_path, optiprov, monkeypatch):
    """The spool of the environment need not exist yet; an empty directory holds nothing."""
    monkeypatch.setenv("OPTIPROV_SPOOL", str(tmp_path / "none"))
    for arguments in ([], [tmp_path]):
        status, output, _ = optiprov("spool", "status", *arguments)
        assert (status, "0 clients" in output) == (0, True)


@pytest.mark.parametrize("command", [["status"], ["send", "--broker", "127.0.0.1:9"]])
def test_directory_that_holds_no_spools_is_wrong_input(run_python, tmp_path, optiprov, command):
    """Absent, the spool of one client, or something else: never 0 records with exit status 0."""
    run_python(EMIT, "a", 3, 0)
    (one,) = (tmp_path / "spool").iterdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    wrong = {
        tmp_path / "absent": "there is no such directory",
        one: f"it is the spool of one client. Give {tmp_path / 'spool'}.",
        tmp_path / "other": "it holds no spools, but something else",
    }
    for directory, message in wrong.items():
        status, output, errors = optiprov("spool", *command, directory)
        assert (status, output) == (2, "")
        assert f"{directory}: {message}" in errors


def test_send_delivers_what_ended_programs_left(run_python, start_service, tmp_path, optiprov):
    """After `send` the records are in the store, and the spool is empty."""
    for name in ("a", "b"):
        run_python(EMIT, name, 3, 0)
    service = start_service()
    status, output, _ = optiprov("spool", "send", tmp_path / "spool", "--broker", service.mqtt)
    assert status == 0
    assert "16 records of 2 clients sent" in output
    assert connect(service.store).runs()["status"].tolist() == ["finished", "finished"]
    assert list((tmp_path / "spool").iterdir()) == []


def test_copied_directory_and_its_original_are_stored_once(run_python, start_service, tmp_path, optiprov):
    """A spool of another machine is sent from a copy; the original, sent later, adds nothing."""
    run_python(EMIT, "a", 3, 0)
    shutil.copytree(tmp_path / "spool", tmp_path / "media" / "copy")
    service = start_service()
    for directory in (tmp_path / "media" / "copy", tmp_path / "spool"):
        status, output, _ = optiprov("spool", "send", directory, "--broker", service.mqtt)
        assert (status, "8 records of 1 client sent" in output) == (0, True)
    assert len(connect(service.store).sql("SELECT * FROM step_input")) == 3
    assert len(connect(service.store).runs()) == 1


def test_directory_that_came_from_another_machine_is_sent_in_its_name(
    run_python, start_service, tmp_path, optiprov
):
    """Moved on a medium that keeps no empty files, such as locks; what it holds is still that host's."""
    for name in ("a", "b"):
        run_python(EMIT, name, 3, 0)
    media = tmp_path / "media"
    shutil.move(tmp_path / "spool", media)
    for identity in media.glob("*/client.json"):
        identity.write_text(json.dumps({**json.loads(identity.read_text()), "host": "edge-7", "pid": 7}))
    for lock in media.glob("*/lock"):
        lock.unlink()
    service = start_service()
    status, output, _ = optiprov("spool", "send", media, "--broker", service.mqtt)
    assert (status, "16 records of 2 clients sent" in output) == (0, True)
    clients = connect(service.store).sql("SELECT host, pid FROM prov.client WHERE pid = 7")
    assert clients["host"].tolist() == ["edge-7"] * 2
    assert len(connect(service.store).sql("SELECT * FROM step_input")) == 6


def test_send_without_a_broker_that_answers_exits_with_1_and_keeps_all(run_python, tmp_path, optiprov):
    """What cannot be sent stays, and the message says where."""
    run_python(EMIT, "a", 3, 0)
    status, _, errors = optiprov(
        "spool", "send", tmp_path / "spool", "--broker", "127.0.0.1:9", "--timeout", "1"
    )
    assert status == 1
    assert str(tmp_path / "spool") in errors
    assert "8 records" in optiprov("spool", "status", tmp_path / "spool")[1]


def test_wrong_prefix_is_told_by_status_and_send(run_python, shared_service, tmp_path, optiprov, monkeypatch):
    """A service listens below another one: nothing of it is on its way, and why."""
    run_python(EMIT, "a", 3, 0)
    monkeypatch.setattr(broker_check, "_ACKNOWLEDGE_TIMEOUT_S", 0.5)
    told = f"the broker {shared_service.mqtt}/site-b answers, but no service acknowledges"
    status, _, errors = optiprov(
        "spool", "send", tmp_path / "spool", "--broker", f"{shared_service.mqtt}/site-b", "--timeout", "1"
    )
    assert (status, told in errors, "it has the prefix 'site-b'" in errors) == (1, True, True)
    monkeypatch.setenv("OPTIPROV_BROKER", f"{shared_service.mqtt}/site-b")
    status, output, _ = optiprov("spool", "status", tmp_path / "spool")
    assert (status, f"None of it is on its way: {told}" in output) == (0, True)
    monkeypatch.setenv("OPTIPROV_BROKER", shared_service.mqtt)
    assert "on its way" not in optiprov("spool", "status", tmp_path / "spool")[1]


def test_send_without_an_address_is_an_input_error(optiprov):
    """Where to send to is asked for, not guessed."""
    status, _, errors = optiprov("spool", "send")
    assert status == 2
    assert "--broker" in errors


def test_next_program_sends_what_an_earlier_one_left(run_python, start_python, start_service, tmp_path):
    """A program that reaches a broker delivers the leftovers of its spool directory too, while it runs."""
    run_python(EMIT, "a", 3, 0)
    service = start_service()
    program = start_python(EMIT + "sys.stdin.read()", "b", 3, 0, OPTIPROV_BROKER=service.mqtt)
    assert program.stdout.readline() == "ended\n"
    wait_until(lambda: len(list((tmp_path / "spool").iterdir())) == 1)  # its own
    program.communicate()
    programs = connect(service.store).sql("SELECT DISTINCT program FROM step_input ORDER BY program")
    assert programs["program"].tolist() == ["a", "b"]
    assert list((tmp_path / "spool").iterdir()) == []
