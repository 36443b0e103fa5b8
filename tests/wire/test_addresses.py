"""Topics and broker addresses."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.errors import UrlError
from optiprov.wire import BrokerAddress, ack_topic, records_topic


@given(st.text(st.characters(exclude_categories=())))
def test_topic_is_sound_for_any_name(name):
    """No setting of PROVLIGHT_SERVER_TOPIC makes a topic that a broker refuses."""
    topic = records_topic(name, "c0ffee")
    assert topic.startswith("optiprov/records/")
    assert topic.endswith("/c0ffee")
    assert len(topic.encode()) < 1000
    assert not set("+#\x00") & set(topic)


def test_topics_of_clients_differ():
    """Each client has a topic for its batches and one for its acknowledgements."""
    assert records_topic("t", "a") != records_topic("t", "b")
    assert ack_topic("a") == "optiprov/ack/a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://h:1884", ("h", 1884, None, None)),
        ("tcp://h", ("h", 1883, None, None)),
        ("127.0.0.1:1884", ("127.0.0.1", 1884, None, None)),
        ("broker", ("broker", 1883, None, None)),
        ("[::1]:9", ("::1", 9, None, None)),
        ("mqtt://us%40er:p%3Aw@h", ("h", 1883, "us@er", "p:w")),
    ],
)
def test_address_is_read_in_each_form(text, expected):
    """All forms that users write, with credentials."""
    assert BrokerAddress.parse(text) == expected


@pytest.mark.parametrize("text", ["", "http://h", "h:99999", "h:x", "mqtt://", "mqtt://:1883", "[::1", "h:0"])
def test_address_is_refused_with_what_to_write(text):
    """The message echoes the text and shows the form."""
    with pytest.raises(UrlError, match="mqtt://host:port"):
        BrokerAddress.parse(text)


@given(st.text(max_size=30))
def test_address_is_read_or_refused_for_any_text(text):
    """Nothing but UrlError comes out of a wrong address."""
    with contextlib.suppress(UrlError):
        assert BrokerAddress.parse(text).host


def test_url_of_an_address_hides_credentials():
    """What is printed and logged has no password."""
    assert BrokerAddress.parse("mqtt://u:secret@[::1]:7").url == "mqtt://[::1]:7"
