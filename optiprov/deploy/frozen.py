"""Classes of values that do not change: dataclasses that cost an eighth to define.

`dataclass(frozen=True)` compiles six methods for each class, which was a seventh of what a short command
takes. Here all classes share one set of methods, which look at the fields when they are called.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: object) -> Any:
        """Change nothing: it tells type checkers, who have the real one, what `frozen` makes."""
        return lambda function: function


C = TypeVar("C")


@overload
def frozen(cls: type[C], /) -> type[C]: ...
@overload
def frozen(*, kw_only: bool) -> Callable[[type[C]], type[C]]: ...


@dataclass_transform(frozen_default=True)
def frozen(cls: type[Any] | None = None, /, *, kw_only: bool = False) -> Any:
    """Make a class what `dataclass(frozen=True)` makes of it; methods of its own stay.

    >>> @frozen
    ... class Pool:
    ...     name: str
    ...     threads: int = 40
    >>> Pool("http", threads=54)
    Pool(name='http', threads=54)
    >>> Pool("http") == Pool("http"), Pool("http") == Pool("download")
    (True, False)
    """

    def make(given: type[C]) -> type[C]:
        if given.__doc__ is None:
            given.__doc__ = given.__name__  # else it is made from the signature, which takes long
        made = dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(given)
        for name, method in _METHODS.items():
            if name not in given.__dict__:
                setattr(made, name, method)
        return made

    return make if cls is None else make(cls)


def _init(self: Any, *given: Any, **named: Any) -> None:
    every = fields(self)
    placed = [each.name for each in every if not each.kw_only]
    values = dict(zip(placed, given))  # noqa: B905 - which may be fewer
    odd = [name for name in named if name in values or all(each.name != name for each in every)]
    if odd or len(given) > len(placed):
        raise TypeError(f"{type(self).__name__} got more than its fields: {', '.join(odd) or given}")
    values |= named
    for each in every:
        if each.name not in values:
            if each.default is not MISSING:
                values[each.name] = each.default
            elif each.default_factory is not MISSING:
                values[each.name] = each.default_factory()
            else:
                raise TypeError(f"{type(self).__name__} needs {each.name!r}")
    self.__dict__.update(values)


def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__name__}({', '.join(shown)})"


def _eq(self: Any, other: object) -> Any:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _refuse_to_set(self: Any, name: str, _value: object) -> None:
    raise FrozenInstanceError(f"{type(self).__name__}.{name} does not change")


def _refuse_to_delete(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"{type(self).__name__}.{name} stays")


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, each.name) for each in fields(self) if each.compare)


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse_to_set,
    "__delattr__": _refuse_to_delete,
}
