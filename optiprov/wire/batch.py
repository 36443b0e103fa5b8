"""A batch of records of one client as one MQTT message.

    magic "OP", version byte, flags byte | body

The body, compressed where the flag says so, is lines: the header (a JSON array), the shapes by their numbers
(a JSON object), then one record a line. A batch without records says that its client is alive.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

from optiprov.errors import WireError
from optiprov.wire.shape import Shape, decode_shapes

_MAGIC = b"OP\x01"
_PLAIN, _DEFLATED = b"\x00", b"\x01"
_COMPRESS_FROM_BYTES = 200
MAX_BODY_BYTES = 64 << 20
MAX_BATCH_RECORDS = 20_000
_NO_SHAPES: Mapping[int, Any] = {}


class Header(NamedTuple):
    """Who sends a batch, and which of its records.

    Attributes:
        client: id of the client.
        first: sequence number of the batch's first record; numbers start at 1.
        oldest: the lowest number that the client still has; what is lower and not stored is lost.
        host: name of the client's host.
        pid: the client's process.
        user: who runs it.
        trial: the trial it belongs to, or None.
        study: the study it belongs to, or None.
        campaign: the campaign it belongs to, or None.
    """

    client: str
    first: int
    oldest: int
    host: str
    pid: int
    user: str
    trial: Optional[str]
    study: Optional[str]
    campaign: Optional[str]


class Batch(NamedTuple):
    """A decoded batch: its header, the encoded records, and the shapes that these refer to by number."""

    header: Header
    records: List[bytes]
    shapes: Mapping[int, Shape] = _NO_SHAPES


def encode_batch(header: Header, records: List[bytes], shapes: Mapping[int, bytes] = _NO_SHAPES) -> bytes:
    """Encode records with consecutive sequence numbers from `header.first` on, and the encoded shapes."""
    defined = b",".join(b'"%d":%b' % (number, shape) for number, shape in shapes.items())
    lines = [json.dumps(header, separators=(",", ":")).encode("ascii"), b"{%b}" % defined]
    lines += records
    body = b"\n".join(lines)
    if len(body) < _COMPRESS_FROM_BYTES:
        return _MAGIC + _PLAIN + body
    return _MAGIC + _DEFLATED + zlib.compress(body, 1)


def decode_batch(payload: bytes) -> Batch:
    """Decode a batch; its records stay encoded.

    Raises:
        WireError: the payload is no batch; the message says why.
    """
    if payload[:3] != _MAGIC:
        raise WireError(f"a batch starts with {_MAGIC!r}, got {payload[:3]!r}")
    body = _body(payload)
    if body.count(b"\n") > MAX_BATCH_RECORDS:
        raise WireError(f"a batch has at most {MAX_BATCH_RECORDS} records, got {body.count(10)}")
    head, *lines = body.split(b"\n")
    header = _header(head)
    if not lines:
        raise WireError("the batch is cut off behind its header")
    return Batch(header, lines[1:], decode_shapes(lines[0]))


def _body(payload: bytes) -> bytes:
    if payload[3:4] == _PLAIN:
        return payload[4:]
    if payload[3:4] != _DEFLATED:
        raise WireError(f"a batch is plain or deflated, got the flag {payload[3:4]!r}")
    inflate = zlib.decompressobj()
    try:
        body = inflate.decompress(payload[4:], MAX_BODY_BYTES)
    except zlib.error as error:
        raise WireError(f"the batch does not decompress: {error}") from error
    if not inflate.eof or inflate.unused_data:
        raise WireError(f"the batch is cut off, larger than {MAX_BODY_BYTES} bytes, or followed by others")
    return body


def _header(line: bytes) -> Header:
    try:
        header = Header(*json.loads(line))
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError(f"the batch has no header: {error}") from error
    for name, kind in _HEADER_KINDS:
        value = getattr(header, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise WireError(f"the header's {name} is {repr(value)[:80]}")
    if not _CLIENT.match(header.client):
        raise WireError(f"a client's id is 1 to 64 letters, digits or _.:-, got {header.client[:80]!r}")
    if abs(header.pid) >= 2**62:
        raise WireError(f"the header's pid is {str(header.pid)[:80]}")
    if not 0 < header.oldest <= header.first < 2**62:
        raise WireError(f"sequence numbers start at 1, got first {header.first}, oldest {header.oldest}")
    return header


_CLIENT = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")  # it becomes a part of topics, and of paths
_HEADER_KINDS: Tuple[Tuple[str, Tuple[type, ...]], ...] = (
    ("client", (str,)),
    ("first", (int,)),
    ("oldest", (int,)),
    ("host", (str,)),
    ("pid", (int,)),
    ("user", (str,)),
    ("trial", (str, type(None))),
    ("study", (str, type(None))),
    ("campaign", (str, type(None))),
)
