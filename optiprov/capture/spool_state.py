"""The counters of a spool: the last number given, the high-water mark, and what found no room."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_STATE_BYTES = 4096
_UINT64 = struct.Struct("<Q")
_MARK = struct.Struct("<QQ")
_ALL_BITS = (1 << 64) - 1


class SpoolState:
    """The counters of a spool, shared between processes through a mapped file.

    The mark is there a second time with its bits turned, since a wrong one would free what nobody has stored;
    so is the number of the tombstone, since a wrong one would forget what was lost.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if create:
                os.posix_fallocate(descriptor, 0, _STATE_BYTES)
            self.counters = mmap.mmap(descriptor, _STATE_BYTES)
        finally:
            os.close(descriptor)

    def _get(self, offset: int) -> int:
        return int(_UINT64.unpack_from(self.counters, offset)[0])

    @property
    def head(self) -> int:
        """The sequence number of the last record, 0 before the first."""
        return self._get(0)

    @head.setter
    def head(self, value: int) -> None:
        _UINT64.pack_into(self.counters, 0, value)

    @property
    def acked(self) -> int:
        """The high-water mark: every record up to it is stored."""
        return self._get(8)

    @acked.setter
    def acked(self, value: int) -> None:
        _MARK.pack_into(self.counters, 8, value, value ^ _ALL_BITS)

    @property
    def is_sound(self) -> bool:
        """Whether the mark is one that was written, and no garbage."""
        mark, turned = _MARK.unpack_from(self.counters, 8)
        return bool(mark == turned ^ _ALL_BITS or (mark == 0 and turned == 0))

    @property
    def lost(self) -> int:
        """Records that found no room and are not yet counted in a tombstone."""
        return self._get(24)

    @lost.setter
    def lost(self, value: int) -> None:
        _UINT64.pack_into(self.counters, 24, value)

    @property
    def tombstone(self) -> int:
        """The number that the tombstone of `lost` gets, from before it is written on; 0 where none is due."""
        number, turned = _MARK.unpack_from(self.counters, 32)
        return int(number) if number == turned ^ _ALL_BITS else 0

    @tombstone.setter
    def tombstone(self, value: int) -> None:
        _MARK.pack_into(self.counters, 32, value, value ^ _ALL_BITS)

    def settle_tombstone(self, last: int) -> None:
        """Count nothing twice: what is lost has been counted if its tombstone is among the records.

        Args:
            last: the number of the last record that there is.
        """
        if self.tombstone:
            if self.tombstone <= last:
                self.lost = 0
            self.tombstone = 0

    def close(self) -> None:
        """Let go of the file."""
        self.counters.close()
