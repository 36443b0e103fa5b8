"""Finds the Optimization in a user's Python file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optiprov.errors import OptimizationFileError, OptiprovError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from optiprov.optimize.optimization import Optimization


def load_optimization(target: str) -> type[Optimization]:
    """Import `FILE` or `FILE:Class` and return its Optimization class.

    The file's directory goes on the import path for its neighbours, and the module is sent to the trials by
    value, so that it need not be installed anywhere.

    Raises:
        OptimizationFileError: no such file, it does not import, or it does not hold one Optimization.
    """
    name, wanted = (target, "") if Path(target).exists() else _split(target)
    path = Path(name).resolve()
    if path.is_dir():
        raise OptimizationFileError(f"{name} is a directory. Give the Python file in it.")
    if not path.is_file():
        raise OptimizationFileError(f"{name}: there is no such file.")
    module = _import(path)
    return _choose(path, module, wanted)


def _split(target: str) -> tuple[str, str]:
    name, _, wanted = target.rpartition(":")
    return (name, wanted) if name else (target, "")


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_optiprov_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise OptimizationFileError(f"{path}: this is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing beside the user's file
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the boundary to a user's file: whatever it raises is its own
        lines = [frame.lineno for frame in _frames(error) if frame.filename == str(path)]
        line = lines[-1] if lines else getattr(error, "lineno", None) or 1
        raise OptimizationFileError(
            f"{path}:{line}: it does not import: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.dont_write_bytecode = writes_bytecode
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    return module


def construct(cls: type[Optimization], **arguments: Any) -> Optimization:
    """Make the Optimization of a class with the arguments that the command line has for it.

    Raises:
        OptimizationFileError: its constructor does not take them.
    """
    try:
        inspect.signature(cls).bind(**arguments)
    except TypeError as error:
        raise OptimizationFileError(
            f"{inspect.getfile(cls)}: {cls.__name__}(...) does not take {', '.join(arguments)} ({error}). "
            "Have its __init__ take **options and call super().__init__(**options)."
        ) from error
    return cls(**arguments)


@contextmanager
def errors_of(cls: type[Optimization]) -> Iterator[None]:
    """Turn an error that arises in the file of a class into one that says its line; others pass as they are.

    Raises:
        OptimizationFileError: the block raised, and the line that did is in the file of the class.
    """
    try:
        yield
    except OptiprovError:
        raise
    except Exception as error:
        path = inspect.getfile(cls)
        innermost = _frames(error)[-1:]
        if not innermost or innermost[0].filename != path:
            raise
        raise OptimizationFileError(
            f"{path}:{innermost[0].lineno}: {type(error).__name__}: {error}"
        ) from error


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__))


def _choose(path: Path, module: ModuleType, wanted: str) -> type[Optimization]:
    from optiprov.optimize.optimization import Optimization

    found = {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Optimization) and value.__module__ == module.__name__
    }
    if wanted:
        if wanted not in found:
            raise OptimizationFileError(
                f"{path}: there is no Optimization {wanted!r}; there are: {', '.join(found) or 'none'}."
            )
        return found[wanted]
    if len(found) != 1:
        there = ", ".join(found)
        hint = (
            f"Choose one: {path.name}:{next(iter(found))}"
            if found
            else "Subclass optiprov.Optimization in it."
        )
        raise OptimizationFileError(
            f"{path}: expected one Optimization, found {len(found)} ({there}). {hint}"
        )
    return next(iter(found.values()))
