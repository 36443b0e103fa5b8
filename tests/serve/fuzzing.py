"""Messages that are nearly, partly or not at all batches: made from good ones, by a seed."""

import json
import random
import zlib

from optiprov.records import Annotation, Item, RunBegin, RunEnd, Specification, TaskBegin, TaskData, TaskEnd
from optiprov.wire import BEGIN, END, SLOT_BYTES, Header, encode_batch, encode_record, row_struct
from optiprov.wire.slots import ROW_BYTES, encode_marker

_HOSTILE = [
    *(None, True, -1, 0, 2**63, 2**70, 1e400, "", "\x00", "\ud800", "'; DROP TABLE prov.run_begin; --"),
    *("../../etc/passwd", "x" * 5000, [], {}, [[[]]], {"$": "time", "v": "x"}, {"$": []}, "\x1f", "NaN"),
]
_INSERTED = [b"\x00", b"\n", b"[", b"]", b"{", b"\\ud800", b"1e999", b"null", b"\xff\xfe", b'"', b"9" * 40]
BOMB = b"OP\x01\x01" + zlib.compress(b"[" * (100 << 20), 1)
"""A hundred million bytes in a small message."""


def _item(number):
    return Item(f"fuzz:{number}", "in", "f", [], {"x": number, "y": [1, "a"]}, None)


def good_messages():
    """Return batches of every form that a client sends: records, rows of shapes, short and compressed."""
    header = Header("fuzz", 1, 1, "host", 1, "user", "trial", "study", None)
    records = [
        RunBegin("fr", "f", 1, None, None),
        Specification("f", 1, {"t": {"used": {"in": None}}}, {"in": [["x", "NUMERIC"], ["y", "TEXT"]]}),
        *(TaskBegin("fr", str(n), "t", "f", 1, ["1"], [_item(n)], None, None) for n in range(5)),
        TaskData("fr", "1", "t", "f", "used", "i", "in", [], {"v": [1, 2]}),
        *(TaskEnd("fr", str(n), "t", "f", 2, "finished", [_item(n + 9)], None) for n in range(5)),
        Annotation("run", "fr", "", "k", {"a": [1]}, 1, None),
        RunEnd("fr", 3, "finished", 14),
    ]
    shapes = {
        1: json.dumps([BEGIN, "fr", "f", "t", None, None, None, [["in", "", ["x", "y"]]]]).encode(),
        2: json.dumps([END, "fr", "f", "t", None, None, "finished", [["out", "", ["z"]]]]).encode(),
    }
    rows = [[1, n, 1000 + n, [], 100 + n, n, "a"] for n in range(20)]
    rows += [[2, n, 2000 + n, 200 + n, n / 7] for n in range(20)]
    encoded = [encode_record(record) for record in records]
    encoded_rows = [json.dumps(row).encode() for row in rows]
    return [
        encode_batch(header, encoded),
        encode_batch(header._replace(client="fuzz-rows"), encoded_rows, shapes),
        encode_batch(header._replace(client="fuzz-one"), encoded[:1]),
        encode_batch(header._replace(client="fuzz-empty"), []),
        _packed_message(header._replace(client="fuzz-packed"), encoded[:2]),
    ]


def _packed_message(header, others):
    """Return a batch of packed rows, with other records in front."""
    shapes = {
        1: json.dumps([BEGIN, "fp", "f", "t", None, None, None, [["in", "", ["x"]]], "q"]).encode(),
        2: json.dumps([END, "fp", "f", "t", None, None, "finished", [["out", "", ["z"]]], "[d"]).encode(),
    }
    slots = bytes(SLOT_BYTES) * len(others)
    for n in range(20):
        slots += row_struct("q").pack(n, 1000 + n, 100 + n, n).ljust(ROW_BYTES, b"\x00") + encode_marker(1)
        slots += row_struct("d").pack(n, 2000 + n, 200 + n, n / 7).ljust(ROW_BYTES, b"\x00") + encode_marker(
            2
        )
    return encode_batch(header, [*others, *[None] * 40], shapes, slots)


class Fuzzer:
    """An endless supply of messages.

    Args:
        seed: the same seed gives the same messages.
    """

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._good = good_messages()

    def message(self):
        """Return the next message."""
        make = self._random.choice(
            [
                self._random_bytes,
                self._truncated,
                self._flipped,
                self._mutated_body,
                self._mutated_values,
                self._spliced,
            ]
        )
        return make(self._random.choice(self._good))

    def _random_bytes(self, _message):
        start = self._random.choice(
            [b"", b"OP", *(b"OP\x01" + flags for flags in (b"", b"\x00", b"\x01", b"\x02"))]
        )
        return start + self._random.randbytes(self._random.randrange(300))

    def _truncated(self, message):
        return message[: self._random.randrange(len(message))]

    def _flipped(self, message):
        changed = bytearray(message)
        for _ in range(self._random.randint(1, 8)):
            changed[self._random.randrange(len(changed))] = self._random.randrange(256)
        return bytes(changed)

    def _mutated_body(self, message):
        """Change the text behind the compression."""
        body = bytearray(self._body(message))
        for _ in range(self._random.randint(1, 5)):
            at = self._random.randrange(len(body))
            body[at : at + self._random.randrange(4)] = self._random.choice(_INSERTED)
        return self._repacked(bytes(body), message)

    def _mutated_values(self, message):
        """Change values and shapes of the JSON, so that it still is JSON."""
        lines = self._body(message).split(b"\n", 3 if message[3] & 2 else -1)
        at = self._random.randrange(3 if message[3] & 2 else len(lines))
        value = json.loads(lines[at])
        for _ in range(self._random.randint(1, 4)):
            value = self._changed(value)
        lines[at] = json.dumps(value).encode()
        if at > 1:  # a client of its own, so that it is not dropped as known
            header = json.loads(lines[0])
            header[0] = f"fuzz-{self._random.randrange(1000)}"
            header[1] = header[2] = self._random.choice([1, 1, 5, 2**40])
            lines[0] = json.dumps(header).encode()
        return self._repacked(b"\n".join(lines), message)

    def _changed(self, value):
        if isinstance(value, dict) and value and self._random.random() < 0.8:
            key = self._random.choice(list(value))
            return {**value, key: self._changed(value[key])}
        if isinstance(value, list) and value and self._random.random() < 0.8:
            at = self._random.randrange(len(value))
            if self._random.random() < 0.1:
                return value[:at] + value[at + 1 :]
            return [*value[:at], self._changed(value[at]), *value[at + 1 :]]
        return self._random.choice(_HOSTILE)

    def _spliced(self, message):
        other = self._random.choice(self._good)
        return message[: self._random.randrange(len(message))] + other[self._random.randrange(len(other)) :]

    def _body(self, message):
        return zlib.decompress(message[4:]) if message[3] & 1 else message[4:]

    def _repacked(self, body, message):
        is_deflated, are_rows_packed = self._random.random() < 0.5, message[3] & 2
        return (
            b"OP\x01"
            + bytes([is_deflated | are_rows_packed])
            + (zlib.compress(body, 1) if is_deflated else body)
        )
