"""Messages that are nearly, partly or not at all batches: made from good ones, by a seed."""

import json
import random
import zlib

from optiprov.records import Annotation, Item, RunBegin, RunEnd, Specification, TaskBegin, TaskData, TaskEnd
from optiprov.wire import BEGIN, END, Header, encode_batch, encode_record

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
    ]


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
        start = self._random.choice([b"", b"OP", b"OP\x01", b"OP\x01\x00", b"OP\x01\x01"])
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
        return self._packed(bytes(body))

    def _mutated_values(self, message):
        """Change values and shapes of the JSON, so that it still is JSON."""
        lines = self._body(message).split(b"\n")
        at = self._random.randrange(len(lines))
        value = json.loads(lines[at])
        for _ in range(self._random.randint(1, 4)):
            value = self._changed(value)
        lines[at] = json.dumps(value).encode()
        if at > 1:  # a client of its own, so that it is not dropped as known
            header = json.loads(lines[0])
            header[0] = f"fuzz-{self._random.randrange(1000)}"
            header[1] = header[2] = self._random.choice([1, 1, 5, 2**40])
            lines[0] = json.dumps(header).encode()
        return self._packed(b"\n".join(lines))

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
        return zlib.decompress(message[4:]) if message[3:4] == b"\x01" else message[4:]

    def _packed(self, body):
        if self._random.random() < 0.5:
            return b"OP\x01\x00" + body
        return b"OP\x01\x01" + zlib.compress(body, 1)
