"""A batch of records of one client as one MQTT message.

    magic "OP", version byte, flags byte | body

The body, compressed where the flag says so, is lines: the header (a JSON array), the shapes by their numbers
(a JSON object), then one record a line. A batch without records says that its client is alive.

Where records are packed rows (a flag says so), a third line has how many records there are, how many of them
are packed, and which planes of their slots follow; then come the other records, a line each, and the planes.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from optiprov.errors import WireError
from optiprov.wire.shape import Shape, decode_shapes, unpack
from optiprov.wire.slots import SLOT_BYTES, WORDS, is_packed, join_planes, markers, split_planes

_MAGIC = b"OP\x01"
_DEFLATED, _PACKED = 1, 2  # flags
_COMPRESS_FROM_BYTES = 200
MAX_BODY_BYTES = 64 << 20
MAX_BATCH_RECORDS = 20_000
_WORDS = struct.Struct(f"<{WORDS}q")
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
    """A decoded batch.

    Attributes:
        header: who sends it.
        records: the encoded records; None for one that is a packed row.
        shapes: what rows refer to by number.
        slots: the slots of all records, where one is packed.
    """

    header: Header
    records: Sequence[Optional[bytes]]
    shapes: Mapping[int, Shape] = _NO_SHAPES
    slots: Union[bytes, bytearray] = b""

    def part(self, start: int, stop: Optional[int] = None) -> Batch:
        """Return the batch with some of its records only."""
        end = None if stop is None else stop * SLOT_BYTES
        header = self.header._replace(first=self.header.first + start)
        return self._replace(
            header=header, records=self.records[start:stop], slots=self.slots[start * SLOT_BYTES : end]
        )

    def slot(self, index: int) -> bytes:
        """Return the slot of a packed row."""
        return bytes(self.slots[index * SLOT_BYTES : (index + 1) * SLOT_BYTES])

    def payload(self, index: int) -> bytes:
        """Return an encoded record; of a packed row, the JSON of the row of its shape, or of its words."""
        record = self.records[index]
        if record is not None:
            return record
        slot = self.slot(index)
        shape = self.shapes.get(markers(slot)[0])
        row = list(_WORDS.unpack(slot)) if shape is None or shape.codes is None else unpack(shape, slot)
        return json.dumps(row).encode("ascii")


def encode_batch(
    header: Header,
    records: Sequence[Optional[bytes]],
    shapes: Mapping[int, bytes] = _NO_SHAPES,
    slots: bytes = b"",
) -> bytes:
    """Encode records with consecutive sequence numbers from `header.first` on.

    Args:
        header: who sends them.
        records: the encoded records; None for one that is a packed row.
        shapes: the encoded shapes by number.
        slots: the slots of all records, where one is packed.
    """
    defined = b",".join(b'"%d":%b' % (number, shape) for number, shape in shapes.items())
    lines = [json.dumps(header, separators=(",", ":")).encode("ascii"), b"{%b}" % defined]
    others = [record for record in records if record is not None]
    flags = 0
    if slots:
        mask, planes = split_planes(slots)
        count = len(records)
        lines += [b'[%d,%d,"%b"]' % (count, count - len(others), mask.encode("ascii")), *others, planes]
        flags |= _PACKED
    else:
        lines += others
    body = b"\n".join(lines)
    if len(body) >= _COMPRESS_FROM_BYTES:
        body = zlib.compress(body, 1)
        flags |= _DEFLATED
    return _MAGIC + bytes((flags,)) + body


def decode_batch(payload: bytes) -> Batch:
    """Decode a batch; its records stay encoded.

    Raises:
        WireError: the payload is no batch; the message says why.
    """
    if payload[:3] != _MAGIC:
        raise WireError(f"a batch starts with {_MAGIC!r}, got {payload[:3]!r}")
    if len(payload) < 4 or payload[3] > _DEFLATED | _PACKED:
        raise WireError(f"a batch is plain, deflated or packed, got the flags {payload[3:4]!r}")
    body = _inflated(payload[4:]) if payload[3] & _DEFLATED else payload[4:]
    if payload[3] & _PACKED:
        return _read_packed(body)
    if body.count(b"\n") > MAX_BATCH_RECORDS:
        raise WireError(f"a batch has at most {MAX_BATCH_RECORDS} records, got {body.count(10)}")
    head, *lines = body.split(b"\n")
    header = _header(head)
    if not lines:
        raise WireError("the batch is cut off behind its header")
    return Batch(header, lines[1:], decode_shapes(lines[0]))


def _read_packed(body: bytes) -> Batch:
    head, _, rest = body.partition(b"\n")
    header = _header(head)
    defined, _, rest = rest.partition(b"\n")
    said, _, rest = rest.partition(b"\n")
    count, packed, mask = _counts(said)
    *others, planes = rest.split(b"\n", count - packed)
    if len(others) < count - packed:
        raise WireError(f"the batch has {len(others)} records that are not packed, not {count - packed}")
    slots = join_planes(count, mask, planes)
    places = [is_packed(marker) for marker in markers(slots)]
    if sum(places) != packed:
        raise WireError(f"the batch has {sum(places)} packed records, not {packed}")
    following = iter(others)
    records = [None if is_one else next(following) for is_one in places] if others else [None] * count
    return Batch(header, records, decode_shapes(defined), slots)


def _counts(line: bytes) -> Tuple[int, int, str]:
    try:
        count, packed, mask = json.loads(line)
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError(f"the batch does not say what is packed: {error}") from error
    if type(count) is not int or type(packed) is not int or not 0 < packed <= count <= MAX_BATCH_RECORDS:
        raise WireError(f"1 to {MAX_BATCH_RECORDS} records are packed, got {str((packed, count))[:80]}")
    return count, packed, mask


def _inflated(packed: bytes) -> bytes:
    inflate = zlib.decompressobj()
    try:
        body = inflate.decompress(packed, MAX_BODY_BYTES)
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
