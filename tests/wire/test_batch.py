"""Batches: what was put in comes out, and anything else is a WireError."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optiprov.errors import WireError
from optiprov.wire import Batch, Header, decode_batch, encode_batch
from optiprov.wire.batch import MAX_BODY_BYTES

HEADER = Header("c0ffee", 1, 1, "höst", 7, "user", None, "study", None)
lines = st.binary(min_size=1, max_size=400).map(lambda data: data.replace(b"\n", b" "))


@given(st.lists(lines, min_size=1, max_size=20), st.integers(1, 2**61))
def test_batch_comes_back_for_any_records(records, first):
    """The header and the encoded records come back, compressed or not."""
    header = HEADER._replace(first=first)
    assert decode_batch(encode_batch(header, records)) == Batch(header, records, {})


def test_batch_is_compressed_where_it_pays():
    """A full batch is a fraction of its records' size."""
    records = [b'["lo",1,"the disk of the spool was full"]'] * 1000
    assert len(encode_batch(HEADER, records)) < sum(map(len, records)) / 10


@given(st.binary(max_size=100))
def test_decoding_refuses_random_bytes(payload):
    """Garbage raises WireError and nothing else, behind each of the magic's flags as well."""
    for start in (b"", b"OP\x01\x00", b"OP\x01\x01", b"OP\x01\x01" + zlib.compress(payload)[:2]):
        with pytest.raises(WireError):
            decode_batch(start + payload)


def test_decoding_refuses_a_batch_cut_at_any_byte():
    """A compressed batch that lost its end is no shorter batch."""
    payload = encode_batch(HEADER, [b'["lo",1,"x"]'] * 50)
    for end in range(len(payload)):
        with pytest.raises(WireError):
            decode_batch(payload[:end])


def test_decoding_refuses_a_zip_bomb():
    """What would not fit is refused without being unpacked."""
    bomb = zlib.compress(b"\x00" * (MAX_BODY_BYTES + 1), 9)
    with pytest.raises(WireError, match="larger than"):
        decode_batch(b"OP\x01\x01" + bomb)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("client", ""),
        ("client", "a/b"),
        ("client", "#"),
        ("client", "a\n"),
        ("client", "x" * 65),
        ("client", 5),
        ("first", 0),
        ("first", 2**63),
        ("first", True),
        ("oldest", 2),
        ("pid", 2**70),
        ("pid", "1"),
        ("host", None),
        ("trial", 1),
    ],
)
def test_decoding_refuses_a_header_with_a_wrong_field(field, value):
    """A client's id has to be a part of a topic, numbers have to fit, types have to be right."""
    header = dict(HEADER._asdict(), **{field: value})
    with pytest.raises(WireError):
        decode_batch(b"OP\x01\x00" + json.dumps(list(header.values())).encode() + b"\nx")


@pytest.mark.parametrize("head", [b"", b"null", b"7", b"[]", b'"123456789"', b"{}", b"[" * 50_000, b"\xff"])
def test_decoding_refuses_what_is_no_header(head):
    """The first line has to be a list of the header's fields."""
    with pytest.raises(WireError):
        decode_batch(b"OP\x01\x00" + head)
