"""The classes of services in a Python file, found without running it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HOMES = ("optiprov", "e2clab")
_BASE = "Service"
_OURS = frozenset({_BASE, "Container", "Mosquitto", "Provenance"})


@frozen
class ServiceClass:
    """A class of a service, as its file has it.

    Attributes:
        name: Its name.
        line: Where it begins.
        has_deploy: Whether it has a method `deploy`, of its own or of a class in the file or of ours.
        is_extended: Whether another class of the file is made from it.
        about: The first line of its docstring.
    """

    name: str
    line: int
    has_deploy: bool
    is_extended: bool
    about: str


@frozen
class ServiceFile:
    """What a file has of services.

    Attributes:
        path: The file.
        classes: The classes of services in it.
        others: Its other classes, with their lines.
        imports_service: Whether it imports what services are made from.
        words: The texts in it, in lower case, names of sub services and roles among them; None where some of
            these names are made when it runs.
        enoslib_line: Where it imports EnOSlib whatever happens, None where it does not.
        problem: Why it cannot be read, with the line; None if it can.
    """

    path: Path
    classes: tuple[ServiceClass, ...] = ()
    others: tuple[tuple[str, int], ...] = ()
    imports_service: bool = False
    words: frozenset[str] | None = frozenset()
    enoslib_line: int | None = None
    problem: tuple[int, str] | None = None

    @property
    def leaves(self) -> list[ServiceClass]:
        """The classes from which no other one of the file is made."""
        return [one for one in self.classes if not one.is_extended]


def read_file(path: Path) -> ServiceFile:
    """What a file has of services. Nothing of it is run."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        return ServiceFile(path, problem=(error.lineno or 1, f"is no Python: {error.msg}."))
    except (OSError, ValueError, RecursionError) as error:
        return ServiceFile(path, problem=(1, f"cannot be read: {error}."))
    imported = _imported(tree)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    found = {name: node for name, node in classes.items() if _is_service(node, classes, imported)}
    extended = {base for node in classes.values() for base in _bases(node)}
    return ServiceFile(
        path,
        tuple(
            ServiceClass(
                name,
                node.lineno,
                _has_deploy(node, classes, imported),
                name in extended,
                (ast.get_docstring(node) or "").partition("\n")[0],
            )
            for name, node in found.items()
        ),
        tuple((name, node.lineno) for name, node in classes.items() if name not in found),
        _BASE in imported.values() or bool(found),
        None if any(map(_makes_names, ast.walk(tree))) else frozenset(_texts(tree)),
        next((node.lineno for node in tree.body if "enoslib" in _modules(node)), None),
    )


def _texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.lower()


def _makes_names(node: ast.AST) -> bool:
    """Whether a name of a sub service or a role is no text that stands there."""
    if isinstance(node, ast.Dict):
        return any(isinstance(key, ast.JoinedStr) for key in node.keys)
    return (
        isinstance(node, ast.keyword)
        and node.arg == "sub_service"
        and not isinstance(node.value, ast.Constant)
    )


def _modules(node: ast.stmt) -> set[str]:
    """The packages that a statement imports from."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return {node.module.partition(".")[0]}
    return set()


def _imported(tree: ast.Module) -> dict[str, str]:
    """What a file imports from where services are made from: the name here, and the name there."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _HOMES:
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            ours = [alias for alias in node.names if alias.name.partition(".")[0] in _HOMES]
            names |= {alias.asname or alias.name.partition(".")[0]: "" for alias in ours}
    return names


def _bases(node: ast.ClassDef) -> list[str]:
    """The names of the bases of a class, dotted ones too."""
    return [ast.unparse(base) for base in node.bases]


def _base_there(base: str, imported: dict[str, str]) -> str | None:
    """What a base is called in the package that it comes from; None if it is of another one."""
    first, _, rest = base.partition(".")
    if first not in imported:
        return None
    return (rest or imported[first]).rpartition(".")[2]


def _is_service(node: ast.ClassDef, classes: dict[str, ast.ClassDef], imported: dict[str, str]) -> bool:
    """Whether a class is made from ours, also through others of the file."""
    others = _without(classes, node)
    return any(
        _is_service(others[base], others, imported)
        if base in others
        else _base_there(base, imported) in _OURS
        for base in _bases(node)
    )


def _has_deploy(node: ast.ClassDef, classes: dict[str, ast.ClassDef], imported: dict[str, str]) -> bool:
    """Whether a class has the method, by itself, from others of the file, or from one of ours that ship."""
    if any(isinstance(each, ast.FunctionDef) and each.name == "deploy" for each in node.body):
        return True
    others = _without(classes, node)
    return any(
        _has_deploy(others[base], others, imported)
        if base in others
        else _base_there(base, imported) in _OURS - {_BASE}
        for base in _bases(node)
    )


def _without(classes: dict[str, ast.ClassDef], node: ast.ClassDef) -> dict[str, ast.ClassDef]:
    """The other classes: one that is made from itself, round a corner, has no end."""
    return {name: one for name, one in classes.items() if one is not node}
