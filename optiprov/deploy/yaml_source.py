"""A YAML file as plain values, with the line of each value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import yaml

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from optiprov.deploy.problems import Problems

KeyPath: TypeAlias = "tuple[str | int, ...]"

MAX_VALUES = 100_000
"""The most values that a file may have; aliases count as often as they stand for something."""

MAX_DEPTH = 50
"""How deeply lists and mappings may be nested."""

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@frozen
class YamlSource:
    """What a file holds, and where.

    Attributes:
        path: The file.
        value: Its content as plain Python values; None for an empty file.
        lines: Line number (from 1) by key path: where a mapping's key or a list's element stands.
    """

    path: Path
    value: Any
    lines: Mapping[KeyPath, int]

    def line(self, key_path: KeyPath) -> int:
        """The line of a key path, or of the nearest enclosing one that the file has."""
        while key_path and key_path not in self.lines:
            key_path = key_path[:-1]
        return self.lines.get(key_path, 1)

    def report(self, problems: Problems, key_path: KeyPath, message: str) -> None:
        """Add a problem at a key path; the key is told by its last two names (`services.quantity`)."""
        names = [part for part in key_path if isinstance(part, str)]
        problems.add(self.path, self.line(key_path), ".".join(names[-2:]), message)


def read_yaml(path: Path, problems: Problems) -> YamlSource | None:
    """Read a YAML file; a file that is not readable or not YAML adds a problem and gives None.

    Keys given twice in one mapping are a problem too (YAML forbids them, PyYAML takes the last).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.add(path, 1, "", f"cannot be read: {error}. Give a readable UTF-8 text file.")
        return None
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        reader = _NodeReader(loader, path, problems)
        value = None if node is None else reader.value(node, ())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        hint = f"{problem}. Check indentation, colons and quotes."
        if mark and text[mark.index : mark.index + 1] == "\t":
            hint = "a tab in the indentation. Indent with spaces."
        problems.add(path, line, "", f"is not YAML: {hint}")
        return None
    except RecursionError:
        problems.add(path, 1, "", "is nested too deeply to be read. Scenarios need a few levels only.")
        return None
    finally:
        loader.dispose()
    return YamlSource(path, value, reader.lines)


class _NodeReader:
    """Turns the nodes of one file into values, and keeps their lines."""

    def __init__(self, loader: yaml.SafeLoader, path: Path, problems: Problems) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._loader = loader
        self._path = path
        self._problems = problems
        self._open: set[int] = set()
        self._values = 0

    def value(self, node: yaml.Node, key_path: KeyPath) -> Any:
        self.lines.setdefault(key_path, node.start_mark.line + 1)
        if id(node) in self._open:
            self._refuse("an alias contains itself", node)
        self._values += 1
        if self._values > MAX_VALUES:
            self._refuse(f"more than {MAX_VALUES} values, what aliases stand for counted", node)
        if len(self._open) > MAX_DEPTH:
            self._refuse(f"nested too deeply, more than {MAX_DEPTH} levels", node)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, key_path)
            if isinstance(node, yaml.SequenceNode):
                return [self.value(child, (*key_path, index)) for index, child in enumerate(node.value)]
            return self._scalar(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, key_path: KeyPath) -> dict[Any, Any]:
        self._report_duplicates(node)
        self._loader.flatten_mapping(node)
        result = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            child_path = (*key_path, key if isinstance(key, int) else str(key))
            self.lines[child_path] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, child_path)
        return result

    def _key(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            self._refuse("a key is not a scalar", node)
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node, deep=True)
        except (ValueError, TypeError, OverflowError, LookupError) as error:  # such as the 31st of June
            self._refuse(f"a value that its type cannot have ({error})", node)

    @staticmethod
    def _refuse(problem: str, node: yaml.Node) -> NoReturn:
        raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)

    def _report_duplicates(self, node: yaml.MappingNode) -> None:
        first_lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self._key(key_node)
            line = key_node.start_mark.line + 1
            first = first_lines.get(key)
            first_lines.setdefault(key, line)
            if first is not None:
                message = f"is given twice, first in line {first}. Keep one of the two."
                self._problems.add(self._path, line, str(key), message)
