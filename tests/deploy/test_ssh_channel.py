"""The session with what serves a host, with another end that answers as no server of ours would."""

import subprocess
import sys

import pytest

from optiprov.deploy.providers.ssh.channel import Channel
from optiprov.deploy.providers.ssh.transfers import Transfers

ANSWERING = """
import sys
from optiprov.deploy.remote.frames import read_frame, write_frame
answers = eval(sys.argv[1])
while (frame := read_frame(sys.stdin.buffer)) is not None:
    for answer in answers.get(frame[0]["name"], ()):
        write_frame(sys.stdout.buffer, {"number": frame[0].get("number"), **answer})
"""
DEADLINE_S = 60


@pytest.fixture
def answered_by():
    """Makes a channel whose other end gives some answers to each name."""
    channels = []

    def make(answers):
        process = subprocess.Popen(
            [sys.executable, "-c", ANSWERING, repr(answers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        channels.append(Channel(process, lambda: "lost"))
        return channels[-1]

    yield make
    for channel in channels:
        channel.close()


@pytest.mark.parametrize("error", ["UnicodeEncodeError", "UnicodeDecodeError", "ValueError", "Error", "int"])
def test_whatever_is_raised_on_a_host_is_raised_here(answered_by, error):
    """Also what is made of more than a text, or is no error here: nobody waits for ever."""
    told = {"type": error, "errno": None, "path": None, "text": "what happened"}
    answer = answered_by({"ask": [{"error": told}]}).begin("ask")
    with pytest.raises((ValueError, OSError), match="what happened"):
        answer.result(DEADLINE_S)


def test_answer_that_nobody_waits_for_is_passed_over(answered_by):
    """What follows it is taken."""
    channel = answered_by({"ask": [{"number": 77, "value": "late"}, {"value": "mine"}]})
    assert channel.begin("ask").result(DEADLINE_S) == ("mine", b"")


@pytest.mark.parametrize("name", ["../outside", "below/../../outside", "{directory}/outside"])
def test_files_that_a_machine_names_outside_of_the_target_are_not_fetched(answered_by, tmp_path, name):
    """A machine writes below the directory of what it was asked for, and nowhere else here."""
    tree = [["", True, 0, 0o755, 0], [name.format(directory=tmp_path), False, 0, 0o644, 0]]
    channel = answered_by({"tree": [{"value": tree}], "read": [{"value": None}]})
    with pytest.raises(OSError, match=r"names a file outside of it, .*outside"):
        Transfers(channel, "arriving").fetch("wanted", tmp_path / "target")
    assert not (tmp_path / "outside").exists()
