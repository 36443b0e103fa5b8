"""How the two ends of a connection talk: frames of a JSON object, and bytes that belong to it."""

from __future__ import annotations

import json
import struct
from typing import IO, Any

_SIZES = struct.Struct(">IQ")


def write_frame(stream: IO[bytes], message: dict[str, Any], payload: bytes = b"") -> None:
    """Write one frame, and flush.

    Raises:
        OSError: The other end is gone.
    """
    text = json.dumps(message).encode()
    stream.write(_SIZES.pack(len(text), len(payload)) + text)
    stream.write(payload)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Read one frame; None at the end, also where that cuts a frame off."""
    sizes = stream.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    text_bytes, payload_bytes = _SIZES.unpack(sizes)
    text, payload = stream.read(text_bytes), stream.read(payload_bytes)
    if len(text) < text_bytes or len(payload) < payload_bytes:
        return None
    return json.loads(text), payload
