"""Reads a search space file: YAML in, parameters out, and every problem at once with file, line and key.

    name: digits
    parameters:
      kernel_size: {type: randint, low: 2, high: 5, inclusive: true, unit: px, description: edge of a filter}
      learning_rate: {type: loguniform, low: 0.001, high: 1.0}
      dropout: {type: quniform, low: 0, high: 0.5, q: 0.05}
      optimizer: {type: choice, values: [sgd, adam]}
      epochs: 8

The upper bound of randint and lograndint is not included, as in Ray, unless `inclusive: true`. A plain value
instead of a mapping is a constant of every configuration.
"""

from __future__ import annotations

import math
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from optiprov.errors import SearchSpaceError
from optiprov.optimize.parameters import KINDS, Choice, LogRandInt, LogUniform, QUniform, RandInt, Uniform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from optiprov.optimize.parameters import Parameter, Scalar

TOP_KEYS = ("name", "parameters")
COMMON_KEYS = ("type", "unit", "description")
KIND_KEYS: dict[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "loguniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
    "randint": ("low", "high", "inclusive"),
    "lograndint": ("low", "high", "inclusive"),
    "choice": ("values",),
}
OPTIONAL_KEYS = (*COMMON_KEYS, "inclusive")


class Entry(NamedTuple):
    """A value of a mapping in the file, and where it stands."""

    value: Any
    line: int
    node: yaml.Node


def read_space_file(path: str | Path) -> tuple[str | None, list[Parameter], dict[str, Any]]:
    """Read the name, the parameters and the constants of a search space file.

    Raises:
        SearchSpaceError: The file cannot be read, or has problems: all of them, one a line.
    """
    try:
        return _Reader(Path(path)).read()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        what = getattr(error, "problem", None) or error
        raise SearchSpaceError(f"{path}:{line}: not plain YAML: {what}. Mend the line.") from error


class _Reader:
    """Reads one file; collects its problems in the order of the lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[tuple[int, str]] = []

    def problem(self, line: int, text: str) -> None:
        self.problems.append((line, text))

    def read(self) -> tuple[str | None, list[Parameter], dict[str, Any]]:
        root = self._parse()
        top = self._entries(root, "the file", TOP_KEYS) if root is not None else {}
        name = top["name"].value if "name" in top else None
        if name is not None and not isinstance(name, str):
            self.problem(top["name"].line, f"'name' needs to be a text, got {name!r}. Put it in quotes.")
        parameters: list[Parameter] = []
        constants: dict[str, Any] = {}
        if "parameters" not in top:
            self.problem(1, "'parameters' is missing. Add it, with one key for each parameter.")
        else:
            for key, entry in self._entries(top["parameters"].node, "'parameters'", None).items():
                if isinstance(entry.value, (bool, int, float, str)):
                    constants[key] = entry.value
                elif (parameter := self._parameter(key, entry)) is not None:
                    parameters.append(parameter)
            if not parameters and not self.problems:
                self.problem(top["parameters"].line, "'parameters' has nothing to search. Add a parameter.")
        if self.problems:
            lines = [f"{self.path}:{line}: {text}" for line, text in sorted(self.problems)]
            raise SearchSpaceError("\n".join(lines))
        return name, parameters, constants

    def _parse(self) -> yaml.Node | None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SearchSpaceError(f"{self.path}: cannot be read ({error}). Give a YAML file.") from error
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            self.problem(1, "the file is empty.")
        return root

    def _entries(self, node: yaml.Node, where: str, known: Iterable[str] | None) -> dict[str, Entry]:
        """The entries of a mapping; tells of keys that are unknown or there twice."""
        entries: dict[str, Entry] = {}
        if not isinstance(node, yaml.MappingNode):
            got = repr(_construct(node))
            self.problem(_line(node), f"{where} needs a mapping, got {got}. Write it as `key: value` lines.")
            return entries
        for key_node, value_node in node.value:
            key, line = str(_construct(key_node)), _line(key_node)
            if key in entries:
                self.problem(line, f"{key!r} is there twice, first in line {entries[key].line}. Remove one.")
            elif known is not None and key not in known:
                self.problem(line, f"{where} has the unknown key {key!r}. {_suggest(key, known)}")
            else:
                entries[key] = Entry(_construct(value_node), line, value_node)
        return entries

    def _parameter(self, name: str, entry: Entry) -> Parameter | None:
        """One parameter, or None after telling what is wrong with it."""
        kind = entry.value.get("type") if isinstance(entry.value, dict) else None
        if isinstance(entry.value, dict) and kind not in KINDS:
            known = ", ".join(KINDS)
            got = "no 'type'" if kind is None else f"the unknown type {kind!r}"
            advice = f"Give one of {known}." if kind is None else _suggest(str(kind), KINDS)
            type_line = next((_line(k) for k, _ in _pairs(entry.node) if k.value == "type"), entry.line)
            self.problem(type_line, f"{name!r} has {got}. {advice}")
            return None
        keys = (*COMMON_KEYS, *KIND_KEYS[kind]) if kind is not None else None
        before = len(self.problems)
        given = self._entries(entry.node, repr(name), keys)
        if kind is None or len(self.problems) > before:
            return None
        missing = [key for key in KIND_KEYS[kind] if key not in given and key not in OPTIONAL_KEYS]
        for key in missing:
            self.problem(entry.line, f"{name!r} is a {kind} without {key!r}. Add it.")
        labels = {key: self._text(name, key, given.get(key)) for key in ("unit", "description")}
        if missing:
            return None
        if kind == "choice":
            return self._choice(name, given["values"], labels)
        return self._range(name, kind, entry.line, given, labels)

    def _text(self, name: str, key: str, entry: Entry | None) -> str | None:
        if entry is None or isinstance(entry.value, str):
            return entry.value if entry else None
        self.problem(entry.line, f"{name!r} has {key}={entry.value!r}, not a text. Put it in quotes.")
        return None

    def _choice(self, name: str, entry: Entry, labels: dict[str, str | None]) -> Parameter | None:
        values = entry.value
        if not isinstance(values, list) or not values:
            self.problem(entry.line, f"{name!r} needs a list of values, got {values!r}. Write [a, b].")
            return None
        before = len(self.problems)
        plain: list[Scalar] = []
        for value in values:
            if not isinstance(value, (bool, int, float, str)):
                advice = "Choose among numbers, texts and booleans."
                self.problem(entry.line, f"{name!r} has the value {value!r}. {advice}")
            elif Choice(name, tuple(plain)).contains(value):
                self.problem(entry.line, f"{name!r} has the value {value!r} twice. Remove one.")
            else:
                plain.append(value)
        return Choice(name, tuple(plain), **labels) if len(self.problems) == before else None

    def _range(
        self, name: str, kind: str, line: int, given: dict[str, Entry], labels: dict[str, str | None]
    ) -> Parameter | None:
        before = len(self.problems)
        is_integer = kind in ("randint", "lograndint")
        inclusive = given["inclusive"].value if "inclusive" in given else False
        if not isinstance(inclusive, bool):
            where = given["inclusive"].line
            self.problem(where, f"{name!r} has inclusive={inclusive!r}. Write true or false.")
        numbers = {
            key: self._number(name, key, given[key], is_integer=is_integer)
            for key in ("low", "high", "q")
            if key in given
        }
        if len(self.problems) > before:
            return None
        low, high, q = numbers["low"], numbers["high"], numbers.get("q")
        trouble = _range_trouble(kind, low, high, q)
        if trouble:
            self.problem(line, f"{name!r} {trouble}")
            return None
        if is_integer:
            integer = LogRandInt if kind == "lograndint" else RandInt
            return integer(name, int(low), int(high) if inclusive else int(high) - 1, **labels)
        if q is not None:
            return QUniform(name, float(low), float(high), float(q), **labels)
        return (LogUniform if kind == "loguniform" else Uniform)(name, float(low), float(high), **labels)

    def _number(self, name: str, key: str, entry: Entry, *, is_integer: bool) -> float:
        """A bound. YAML 1.1 reads 1e-3 as a text, everyone else as a number: so do we."""
        value = entry.value
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                value = entry.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self.problem(
                entry.line, f"{name!r} needs a number for {key}, got {entry.value!r}. Give a number."
            )
        elif is_integer and value != int(value):
            advice = "Give an integer, or use uniform."
            self.problem(entry.line, f"{name!r} needs an integer for {key}, got {entry.value!r}. {advice}")
        else:
            return value
        return math.nan


def _range_trouble(kind: str, low: float, high: float, q: float | None) -> str | None:
    """What is wrong with a range, and what to do."""
    got = f"got low={low}, high={high}"
    if low == high:
        return f"needs low < high, {got}. Widen the range, or write the value alone for a constant."
    if low > high:
        return f"needs low < high, {got}. Swap the bounds."
    if kind.startswith("log") and low <= 0:
        return f"needs low > 0 for a logarithm, {got}. Raise low, or use {kind.removeprefix('log')}."
    if q is not None and q <= 0:
        return f"needs q > 0, got q={q}. Give the step between two values."
    if q is not None:
        for key, bound in (("low", low), ("high", high)):
            if not math.isclose(bound / q, round(bound / q), abs_tol=1e-9):
                near = round(round(bound / q) * q, 12)
                return f"needs {key} to be a multiple of q, got {key}={bound}, q={q}. Try {key}={near}."
    return None


def _suggest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(known)}."


def _pairs(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    yield from node.value if isinstance(node, yaml.MappingNode) else ()


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _construct(node: yaml.Node) -> Any:
    """The plain value of a node, by the safe constructor (no Python objects)."""
    constructor = yaml.constructor.SafeConstructor()
    return constructor.construct_document(node)
