"""The file network.yaml: delay, rate and loss between services."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen
from optiprov.deploy.kinds import Flag, ListOf, Place, Schema, Text
from optiprov.deploy.models.base import Model, Nested, key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_NUMBER = r"\d+(?:\.\d+)?(?:[eE]-\d{1,2})?"  # a small value of a search space is rendered as 5e-05
_UNITS_S = {"us": 1e-6, "usec": 1e-6, "usecs": 1e-6, "ms": 1e-3, "msec": 1e-3, "msecs": 1e-3}
_UNITS_S |= {"s": 1.0, "sec": 1.0, "secs": 1.0}
_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_PREFIXES |= {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_DELAY = re.compile(rf"({_NUMBER})\s*(usecs?|us|msecs?|ms|secs?|s)", re.IGNORECASE)
_RATE = re.compile(rf"({_NUMBER})\s*([kmgt]i?)?bit", re.IGNORECASE)
_LOSS = re.compile(rf"({_NUMBER})\s*%")
_PERCENT = 100


def _check_rate(rate: str) -> str | None:
    if rate_bit_s(rate) == 0:
        return "expected a rate above 0: nothing would pass"
    return None


def _check_loss(loss: str) -> str | None:
    return None if loss_share(loss) <= 1 else "expected at most 100%"


def _in_any_case(units: Iterable[str]) -> str:
    """A regular expression without flags, which editors' do not have."""
    spelled = ("".join(f"[{letter}{letter.upper()}]" for letter in unit) for unit in units)
    return f"(?:{'|'.join(spelled)})"


def is_template(value: Any) -> bool:
    """Whether a value is a text that has to be rendered first."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


@frozen
class Templated(Text):
    """A text of a certain form, or a template, which has to render to one."""

    def read(self, value: Any, place: Place) -> Any:
        """The text, or the template as it stands."""
        return value if is_template(value) else super().read(value, place)

    def json_schema(self, definitions: dict[str, Schema]) -> Schema:
        """A string of the form, or with braces."""
        own = super().json_schema(definitions)
        return {**own, "pattern": rf"{own['pattern']}|\{{[{{%]"}


DELAY = Templated(rf"{_NUMBER}\s*{_in_any_case(_UNITS_S)}", 'a time such as "28ms"')
RATE = Templated(
    rf"{_NUMBER}\s*{_in_any_case(prefix + 'bit' for prefix in _PREFIXES)}",
    'a rate in bits per second such as "100mbit" (tc reads "mbps" as megabytes)',
    _check_rate,
)
LOSS = Templated(rf"{_NUMBER}\s*%", 'a percentage in quotes such as "0.1%"', _check_loss)


PROPERTIES: Mapping[str, Templated] = {"delay": DELAY, "rate": RATE, "loss": LOSS}
"""What a rule may say of what lies between hosts."""


def delay_s(delay: str) -> float:
    """The seconds of a delay.

    >>> delay_s("28ms")
    0.028
    """
    match = _DELAY.fullmatch(delay)
    assert match is not None  # noqa: S101  models have read it
    return float(match[1]) * _UNITS_S[match[2].lower()]


def rate_bit_s(rate: str) -> float:
    """The bits per second of a rate.

    >>> rate_bit_s("100mbit")
    100000000.0
    """
    match = _RATE.fullmatch(rate)
    assert match is not None  # noqa: S101  models have read it
    return float(match[1]) * _PREFIXES[(match[2] or "").lower()]


def loss_share(loss: str) -> float:
    """The share of packets lost, from 0 to 1.

    >>> loss_share("50%")
    0.5
    """
    match = _LOSS.fullmatch(loss)
    assert match is not None  # noqa: S101  models have read it
    return float(match[1]) / _PERCENT


@frozen(kw_only=True)
class Network(Model):
    """One rule of network.yaml: what lies between two sets of hosts.

    Attributes:
        line: Where it stands in the file.
    """

    line: int = 0

    src: str = key(Text(), "The hosts from which.")
    dst: str = key(Text(), "The hosts to which.")
    delay: str | None = key(DELAY, "How long a packet takes, one way.", default=None)
    rate: str | None = key(RATE, "How many bits pass in a second.", default=None)
    loss: str | None = key(LOSS, "The share of packets that is lost.", default=None)
    symmetric: bool = key(Flag(), "Whether the same holds in the other direction.", default=False)

    @property
    def templates(self) -> Mapping[str, str]:
        """The keys whose values have to be rendered, which come before the numbers below."""
        values = {name: getattr(self, name) for name in PROPERTIES}
        return {name: value for name, value in values.items() if is_template(value)}

    @property
    def delay_s(self) -> float | None:
        """The delay in seconds."""
        return None if self.delay is None else delay_s(self.delay)

    @property
    def rate_bit_s(self) -> float | None:
        """The rate in bits per second."""
        return None if self.rate is None else rate_bit_s(self.rate)

    @property
    def loss_share(self) -> float | None:
        """The share of packets lost, from 0 to 1."""
        return None if self.loss is None else loss_share(self.loss)

    @classmethod
    def misfits(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """A rule says something."""
        if all(values.get(name) is None for name in PROPERTIES):
            yield "", "the rule has neither delay, rate nor loss. Add one, or remove the rule."


@frozen(kw_only=True)
class NetworkFile(Model):
    """The file network.yaml."""

    networks: tuple[Network, ...] | None = key(ListOf(Nested(Network)), "The rules.", default=None)
