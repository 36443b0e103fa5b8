"""Topics and broker addresses."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.errors import UrlError
from optiprov.wire import BrokerAddress, ack_topic, lane_filters, lane_of, records_topic


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
    assert BrokerAddress.parse(text, env={}) == (*expected, False, None, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtts://h", (8883, True, None, "")),
        ("mqtts://h:1/site-a/b/?ca=/etc/my%20ca.pem", (1, True, "/etc/my ca.pem", "site-a/b")),
        ("mqtt://h:1/site-a", (1, False, None, "site-a")),
        ("h:1/site-a", (1, False, None, "site-a")),
        ("ssl://h:1", (1, True, None, "")),
    ],
)
def test_address_has_tls_and_a_prefix(text, expected):
    """The scheme says whether it is encrypted, the path is the topics' prefix, `ca` the file of the CA."""
    address = BrokerAddress.parse(text, env={})
    assert (address.port, address.tls, address.ca, address.prefix) == expected


def test_address_takes_from_the_environment_what_it_does_not_say():
    """So that no password stands in a command line; what the address says goes first."""
    env = {
        "OPTIPROV_BROKER_USER": "edge",
        "OPTIPROV_BROKER_PASSWORD": "secret",
        "OPTIPROV_BROKER_CA": "/etc/ca.pem",
    }
    assert BrokerAddress.parse("mqtts://h", env)[2:6] == ("edge", "secret", True, "/etc/ca.pem")
    assert BrokerAddress.parse("mqtt://h", env).ca is None
    assert BrokerAddress.parse("mqtt://edge@h", env)[2:4] == ("edge", "secret")
    assert BrokerAddress.parse("mqtt://other@h", env)[2:4] == ("other", None)
    assert BrokerAddress.parse("mqtts://a:b@h?ca=/x", env)[2:6] == ("a", "b", True, "/x")


@pytest.mark.parametrize(
    "text",
    [
        "mqtt://h/a+b",
        "mqtt://h/%23",
        "mqtt://h/$SYS",
        "mqtt://h?ca=/x",
        "mqtts://h?cafile=/x",
        "mqtt://h/%00",
    ],
)
def test_address_with_a_wrong_prefix_or_option_is_refused(text):
    """A prefix may hold no wildcard; an option that nobody reads is a mistake."""
    with pytest.raises(UrlError):
        BrokerAddress.parse(text)


@pytest.mark.parametrize(
    "text", ["mqtt://u:secret@h:x", "u:secret@", "mqtt://u:secret@h/#a", "x://u:secret@h"]
)
def test_refused_address_does_not_repeat_the_password(text):
    """Messages end up in logs."""
    with pytest.raises(UrlError) as caught:
        BrokerAddress.parse(text)
    assert "secret" not in str(caught.value)


def test_each_client_is_in_one_lane_of_any_number():
    """The filters of all lanes together receive every client, and no two of them the same one."""
    from paho.mqtt.client import topic_matches_sub

    for lanes in (1, 2, 3, 16):
        for client in ("c0ffee", "a", "0123456789abcdef"):
            topic = records_topic("some/topic", client, "site")
            hearing = [
                lane
                for lane in range(lanes)
                if any(topic_matches_sub(one, topic) for one in lane_filters(lane, lanes, "site"))
            ]
            assert hearing == [lane_of(client, lanes)]


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
    address = BrokerAddress.parse("mqtt://u:secret@[::1]:7")
    assert address.url == "mqtt://[::1]:7"
    assert "secret" not in f"{address} {address!r} {[address]}"
