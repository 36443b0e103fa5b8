"""Reads a dataflow's specification from YAML, and tells every problem at once with file, line and key.

dataflow: digits
transformations:
  extraction: {uses: [images], generates: [features]}
  training:
    uses: [features, training_input]
    generates: [training_output]
    programs: {train: bin/train.py}
datasets:
  images: {path: file}
  features: {num_features: numeric}
  training_input: {kernel_size: numeric, optimizer: text}
  training_output: {accuracy: numeric}
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from optiprov.errors import SpecificationError
from optiprov.records import Specification, now_us
from optiprov.store.specification import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

TOP_KEYS = ("dataflow", "transformations", "datasets")
TRANSFORMATION_KEYS = ("uses", "generates", "programs")


def read_spec_file(path: str | Path) -> Specification:
    """Read the specification in a file.

    A dataset that exactly one other transformation generates is used as coming from that one.

    Args:
        path: the YAML file.

    Raises:
        SpecificationError: the file cannot be read, or has problems: all of them, one a line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError(f"{path}: cannot be read ({error}). Give a YAML file.") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        what = getattr(error, "problem", None) or error
        raise SpecificationError(f"{path}:{line}: is not YAML: {what}. Mend the line.") from error
    reader = _Reader()
    specification = reader.read(root)
    if reader.problems:
        raise SpecificationError(
            "\n".join(f"{path}:{line}: {said}" for line, said in sorted(reader.problems))
        )
    return specification


class _Reader:
    """Reads the nodes of one file; collects its problems."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []

    def problem(self, node: yaml.Node | None, text: str) -> None:
        self.problems.append((node.start_mark.line + 1 if node else 1, text))

    def read(self, root: yaml.Node | None) -> Specification:
        top = self._mapping(root, "the file", TOP_KEYS)
        for key in TOP_KEYS:
            if key not in top:
                self.problem(root, f"{key!r} is missing. Add it.")
        dataflow = self._text(top.get("dataflow"), "'dataflow'")
        attributes = {
            name: self._attributes(name, node)
            for name, node in self._mapping(top.get("datasets"), "'datasets'").items()
        }
        given = self._mapping(top.get("transformations"), "'transformations'")
        transformations = {name: self._transformation(name, node, attributes) for name, node in given.items()}
        for name, described in transformations.items():
            for dataset in described["used"]:
                makers = [
                    other
                    for other, one in transformations.items()
                    if dataset in one["generated"] and other != name
                ]
                described["used"][dataset] = makers[0] if len(makers) == 1 else None
        return Specification(dataflow, now_us(), transformations, attributes)

    def _transformation(self, name: str, node: yaml.Node, datasets: Iterable[str]) -> dict[str, Any]:
        given = self._mapping(node, repr(name), TRANSFORMATION_KEYS)
        programs = self._mapping(given.get("programs"), f"{name}.programs")
        return {
            "used": dict.fromkeys(self._datasets(given.get("uses"), f"{name}.uses", datasets)),
            "generated": self._datasets(given.get("generates"), f"{name}.generates", datasets),
            "programs": [
                [program, self._text(path, f"{name}.programs.{program}")]
                for program, path in programs.items()
            ],
        }

    def _datasets(self, node: yaml.Node | None, where: str, known: Iterable[str]) -> list[str]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.problem(node, f"{where} needs a list of datasets. Write [a, b].")
            return []
        names = []
        for child in node.value:
            name = self._text(child, where)
            if name in names:
                self.problem(child, f"{where} has {name!r} twice. Remove one.")
            elif name not in known:
                self.problem(
                    child, f"{where} has {name!r}, which is not in 'datasets'. {_suggest(name, known)}"
                )
            else:
                names.append(name)
        return names

    def _attributes(self, dataset: str, node: yaml.Node) -> list[list[str]]:
        attributes = []
        for name, child in self._mapping(node, f"datasets.{dataset}").items():
            where = f"datasets.{dataset}.{name}"
            kind = self._text(child, where).upper()
            if kind not in TYPES:
                known = ", ".join(one.lower() for one in TYPES)
                self.problem(child, f"{where} is {kind.lower()!r}. Give one of {known}.")
            attributes.append([name, kind])
        return attributes

    def _mapping(self, node: yaml.Node | None, where: str, known: Iterable[str] = ()) -> dict[str, yaml.Node]:
        """Return the values of a mapping by key; tells of keys that are unknown or there twice."""
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.problem(node, f"{where} needs a mapping. Write it as `key: value` lines.")
            return {}
        entries: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self._text(key_node, where)
            if key in entries:
                self.problem(key_node, f"{where} has {key!r} twice. Remove one.")
            elif known and key not in known:
                self.problem(key_node, f"{where} has the unknown key {key!r}. {_suggest(key, known)}")
            else:
                entries[key] = value
        return entries

    def _text(self, node: yaml.Node | None, where: str) -> str:
        """Return a scalar as it is written: a name that looks like a number is one all the same."""
        if node is None:
            return ""
        if not isinstance(node, yaml.ScalarNode) or not node.value:
            self.problem(node, f"{where} needs a name. Write a text.")
            return ""
        return str(node.value)


def _suggest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(known) or 'none'}."
