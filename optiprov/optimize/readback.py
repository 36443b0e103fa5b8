"""Reads what a trial has emitted back from the store, behind the barrier."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from optiprov.capture import send_leftovers, spool_heads
from optiprov.errors import BarrierTimeout, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from optiprov.store import StoredValue
    from optiprov.store.remote import RemoteProvenance
    from optiprov.wire import BrokerAddress

_TIMEOUT_S = 60.0
_RETRY_S = 0.2
_Result = TypeVar("_Result")


def retry_unavailable(ask: Callable[[float], _Result], timeout_s: float = _TIMEOUT_S) -> _Result:
    """Ask a service that may be in the midst of being started again.

    Args:
        ask: asks, given the seconds that are left.
        timeout_s: how long the service may be absent.

    Raises:
        ServiceUnavailable: it does not answer in that time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            return ask(max(left_s, 0.0))
        except ServiceUnavailable:
            if left_s <= 0:
                raise
            time.sleep(_RETRY_S)


class ReadBack:
    """The store as one trial sees it. A service that is being started again is waited for.

    Args:
        trial_id: the trial.
        provenance: the service.
        broker: where ended clients' leftovers are sent.
        timeout_s: how long the barrier, and an absent service, are waited for.
    """

    def __init__(
        self,
        trial_id: str,
        provenance: RemoteProvenance,
        broker: BrokerAddress,
        timeout_s: float = _TIMEOUT_S,
    ) -> None:
        self._trial_id = trial_id
        self._provenance = provenance
        self._broker = broker
        self._timeout_s = timeout_s
        self._heads: dict[str, int] = {}

    def settle(self, spools: Sequence[Path]) -> None:
        """Pass the barrier: all that clients of these spools have emitted until now is stored.

        Raises:
            BarrierTimeout: it is not, in the time allowed; the message says what is missing.
            ServiceUnavailable: no service answers in that time.
        """
        deadline = time.monotonic() + self._timeout_s
        while unsent := [client for spool in spools for client in send_leftovers(spool, self._broker)]:
            if time.monotonic() > deadline:
                raise BarrierTimeout(
                    f"provenance of {', '.join(unsent)} is not sent after {self._timeout_s:g} s."
                )
            time.sleep(_RETRY_S)  # broker or service is being started again
        for spool in spools:
            self._heads.update(spool_heads(spool))
        if self._heads:
            retry_unavailable(
                lambda left_s: self._provenance.wait_stored(self._heads, timeout_s=left_s), self._timeout_s
            )

    def values(self, metric: str, after: tuple[int, int] = (0, -1)) -> list[StoredValue]:
        """Return what is stored of `dataset.attribute` behind a position.

        Raises:
            MetricError: the store has no such dataset or attribute (yet); the message lists what there is.
            ServiceUnavailable: no service answers in the time allowed.
        """
        return retry_unavailable(
            lambda _left_s: self._provenance.values(metric, self._trial_id, after=after), self._timeout_s
        )

    def commit_id(self) -> int:
        """Return the number of the last commit."""
        return retry_unavailable(
            lambda _left_s: self._provenance.wait_commit(-1, timeout_s=0.0), self._timeout_s
        )

    def wait_commit(self, after: int, wait_s: float) -> None:
        """Wait for a commit behind the given one, but not longer than `wait_s`."""
        retry_unavailable(
            lambda _left_s: self._provenance.wait_commit(after, timeout_s=wait_s), self._timeout_s
        )

    def close(self) -> None:
        """Let go of the service."""
        self._provenance.close()
