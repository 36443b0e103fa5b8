import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optiprov.deploy.free_form import key_values, split_command

NAMES = frozenset({"chdir", "creates"})
WORDS = st.text(string.ascii_letters + string.digits + "/.-_$|>", min_size=1, max_size=8)
VALUES = st.text(string.ascii_letters + string.digits + " /=.'", min_size=1, max_size=12)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["src", "dest", "mode", "content"]), VALUES, min_size=1))
def test_key_values_come_back_when_quoted(arguments):
    """What stands in quotes is one value, with spaces and signs of equality in it."""
    text = " ".join(f'{name}="{value}"' for name, value in arguments.items())
    assert key_values(text) == arguments


@settings(deadline=None)
@given(st.lists(WORDS, min_size=1), st.integers(0, 8), WORDS)
def test_named_words_leave_a_command_wherever_they_stand(words, position, value):
    """The rest of the command is as it was."""
    at = min(position, len(words))
    text = " ".join([*words[:at], f"chdir={value}", *words[at:]])
    assert split_command(text, NAMES) == (" ".join(words), {"chdir": value})


@settings(deadline=None)
@given(st.text(max_size=40))
def test_command_stays_as_it_is_when_nothing_is_named(text):
    """Any text is a command, and none of its characters is lost."""
    assert split_command(text, frozenset()) == (text, {})


@pytest.mark.parametrize(
    "text",
    [
        "echo 'chdir=/x'",
        'echo "a chdir=/x"',
        "echo {{ a }}chdir=/x",
        "echo {{ a chdir=/x }}",
        r"echo \ chdir=/x",
        "a\n  b=1\tc",
    ],
)
def test_words_are_left_alone_when_quoted_or_in_a_template(text):
    """What a shell or a template holds together is no argument of the module."""
    assert split_command(text, NAMES) == (text, {})


def test_key_values_are_none_when_a_word_has_no_name():
    """`copy: a b` says nothing."""
    assert key_values("src=a b") is None


@settings(deadline=None)
@given(st.lists(st.one_of(WORDS, WORDS.map("'{}'".format), WORDS.map("chdir={}".format)), min_size=1))
def test_commands_are_split_as_ansible_splits_them(words):
    """Ansible's own parser finds the same arguments."""
    splitter = pytest.importorskip("ansible.parsing.splitter", reason="ansible-core is not installed")
    text = " ".join(words)
    parsed = dict(splitter.parse_kv(text, check_raw=True))
    command, arguments = split_command(text, NAMES)
    assert (parsed.pop("_raw_params", "").strip(), parsed) == (command.strip(), arguments)
