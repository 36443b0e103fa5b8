"""What clients have sent ahead of records that are missing, and what of that was counted as lost.

A batch that comes before what it follows is not stored: its client sends it again, behind what is missing.
Where that client and its spool are gone nobody will. So how far a client has come is noted when that is
first seen, and once nothing is heard of it any more, what is not stored up to there is counted. That does not
move its mark: should its spool turn up after all, what it has is stored as ever, and the count is taken back.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from optiprov.records import now_us
from optiprov.store.rows import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from optiprov.store.backend import Backend

TAKEN_BACK = "taken back: the client was heard again"
_Row = tuple[Any, ...]


class Gaps:
    """The clients that are ahead of their marks. Owned by the writer's thread.

    Args:
        backend: the open database, which says what was noted before.
        marks: up to where each client is stored; the writer's own, as it moves them.
    """

    def __init__(self, backend: Backend, marks: Mapping[str, int]) -> None:
        self._marks = marks
        ahead = backend.rows("SELECT client_id, max(last_sequence) FROM prov.ingest_ahead GROUP BY client_id")
        self._ahead: dict[str, int] = {client: last for client, last in ahead if last > marks.get(client, 0)}
        # Of all that is lost only this lies behind the mark: whatever else is counted moves it.
        counts: Counter[tuple[str, int]] = Counter()
        for client, first, count in backend.rows(
            "SELECT client_id, first_sequence, record_count FROM prov.lost"
        ):
            if first > marks.get(client, 0):
                counts[client, first] += count
        self._counted: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for (client, first), count in counts.items():
            if count > 0:
                self._counted[client][first] = count

    def is_news(self, client: str, last: int) -> bool:
        """Whether nothing was noted of a client that goes as far as this."""
        return last > self._ahead.get(client, 0)

    def note(self, ahead: Iterable[tuple[str, int]]) -> None:
        """Note how far clients have come."""
        for client, last in ahead:
            self._ahead[client] = max(last, self._ahead.get(client, 0))

    @property
    def waiting(self) -> list[str]:
        """The clients of which something is missing that is not counted."""
        return [client for client in self._ahead if self._missing(client)]

    def count(self, clients: Iterable[str], reason: str) -> Iterator[_Row]:
        """Yield the rows of `lost` by which what is missing of these clients is counted."""
        for client in clients:
            if missing := self._missing(client):
                yield (client, missing.start, len(missing), reason, timestamp(now_us()))

    def note_counted(self, rows: Iterable[_Row]) -> None:
        """Note that these rows are stored."""
        for client, first, count, *_ in rows:
            self._counted[client][first] = count

    def take_back(self, clients: Iterable[str]) -> Iterator[_Row]:
        """Yield the rows of `lost` by which the counts of clients whose marks move are undone."""
        for client in clients:
            for first, count in self._counted.get(client, {}).items():
                yield (client, first, -count, TAKEN_BACK, timestamp(now_us()))

    def note_moved(self, clients: Iterable[str]) -> None:
        """Note that the marks of these clients have moved, and that their counts are undone."""
        for client in clients:
            self._counted.pop(client, None)
            if self._ahead.get(client, 0) <= self._marks.get(client, 0):
                self._ahead.pop(client, None)

    def _missing(self, client: str) -> range:
        counted = (first + count - 1 for first, count in self._counted.get(client, {}).items())
        known = max(self._marks.get(client, 0), *counted, 0)
        return range(known + 1, self._ahead.get(client, 0) + 1)
