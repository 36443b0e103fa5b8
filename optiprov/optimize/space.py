"""The search space of a study: its parameters, read from YAML or from a `ray.tune` configuration.

Importing this file imports neither ray nor scikit-optimize; the conversions to them do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from optiprov.errors import SearchSpaceError
from optiprov.optimize.parameters import (
    Choice,
    LogRandInt,
    LogUniform,
    Parameter,
    QUniform,
    RandInt,
    Scalar,
    Uniform,
)
from optiprov.optimize.space_file import read_space_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np

__all__ = [
    "Choice",
    "LogRandInt",
    "LogUniform",
    "Parameter",
    "QUniform",
    "RandInt",
    "SearchSpace",
    "Uniform",
]

DOMAINS_UNDERSTOOD = "uniform, loguniform, quniform, randint, lograndint and choice"


@dataclass(frozen=True)
class SearchSpace:
    """The parameters of a study and the constants that go with them; immutable.

    Two spaces are equal if they hold the same domains and constants, whatever their name and descriptions.

    Attributes:
        parameters: In the order of the file; names are unique.
        constants: Values that every configuration has.
        name: What the file calls the space, for messages and reports.

    Example:
        >>> space = SearchSpace((RandInt("kernel_size", 2, 5),), {"epochs": 8})
        >>> space.names
        ('kernel_size',)
        >>> space.contains({"kernel_size": 5, "epochs": 8})
        True
    """

    parameters: tuple[Parameter, ...]
    constants: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        names = [*self.names, *self.constants]
        for name in names:
            if names.count(name) > 1:
                raise SearchSpaceError(f"the parameter {name!r} is there twice. Give each its own name.")

    def __getitem__(self, name: str) -> Parameter:
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(name)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    @classmethod
    def from_yaml(cls, path: str | Path) -> SearchSpace:
        """Read a search space file.

        Args:
            path: A YAML file with the keys `name` (optional) and `parameters`.

        Raises:
            SearchSpaceError: With every problem of the file, one a line, each as `file:line: ...`.
        """
        name, parameters, constants = read_space_file(path)
        return cls(tuple(parameters), constants, name)

    @classmethod
    def from_tune(cls, config: Mapping[str, Any], *, name: str | None = None) -> SearchSpace:
        """Take over a Tune configuration (`param_space`): its domains, and the rest as constants.

        Raises:
            SearchSpaceError: A domain that is not one of uniform, loguniform, quniform, randint, lograndint
                and choice, a grid search, or a domain inside a nested value.
        """
        from ray.tune.search.sample import Domain

        parameters = [_from_domain(key, value) for key, value in config.items() if isinstance(value, Domain)]
        constants = {key: value for key, value in config.items() if not isinstance(value, Domain)}
        for key, value in constants.items():
            _refuse_hidden_domains(key, value, Domain)
        return cls(tuple(parameters), constants, name)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in the order of the file."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def cardinality(self) -> int | None:
        """How many configurations there are; None if a parameter is continuous."""
        counts = [parameter.cardinality for parameter in self.parameters]
        return None if None in counts else math.prod(count for count in counts if count is not None)

    def to_tune(self) -> dict[str, Any]:
        """The space as a Tune configuration: `ray.tune` domains and constants."""
        return {parameter.name: parameter.to_tune() for parameter in self.parameters} | dict(self.constants)

    def to_skopt(self) -> list[Any]:
        """The space as scikit-optimize dimensions, over the coordinates that `encode` gives."""
        return [parameter.to_skopt() for parameter in self.parameters]

    def encode(self, config: Mapping[str, Any]) -> list[Any]:
        """The coordinates of a configuration in the dimensions of `to_skopt`.

        Raises:
            SearchSpaceError: A parameter is missing or outside its domain.
        """
        self.check(config)
        return [parameter.encode(config[parameter.name]) for parameter in self.parameters]

    def decode(self, coordinates: Any) -> dict[str, Any]:
        """The configuration (plain Python values, constants included) at coordinates of `to_skopt`."""
        values = {p.name: p.decode(at) for p, at in zip(self.parameters, coordinates, strict=True)}
        return values | dict(self.constants)

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw a configuration, each parameter in its own distribution."""
        return {parameter.name: parameter.sample(rng) for parameter in self.parameters} | dict(self.constants)

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Whether every parameter of `config` is there and in its domain; further keys are left alone."""
        return not self._problems(config)

    def check(self, config: Mapping[str, Any]) -> None:
        """Raise if `config` is not in the space.

        Raises:
            SearchSpaceError: Names each parameter that is missing or outside its domain.
        """
        problems = self._problems(config)
        if problems:
            raise SearchSpaceError("a configuration outside the search space: " + "; ".join(problems))

    def _problems(self, config: Mapping[str, Any]) -> list[str]:
        problems = []
        for parameter in self.parameters:
            if parameter.name not in config:
                problems.append(f"{parameter.name!r} is missing")
            elif not parameter.contains(config[parameter.name]):
                problems.append(f"{parameter.name!r} cannot be {config[parameter.name]!r} ({parameter})")
        return problems


def _from_domain(name: str, domain: Any) -> Parameter:
    """The parameter that a `ray.tune` domain stands for."""
    from ray.tune.search import sample

    sampler = domain.get_sampler()
    q = None
    if isinstance(sampler, sample.Quantized):
        q, sampler = sampler.q, sampler.get_sampler()
    is_uniform, is_log = isinstance(sampler, sample.Uniform), isinstance(sampler, sample.LogUniform)
    if isinstance(domain, sample.Float) and is_uniform and q is not None:
        return QUniform(name, float(domain.lower), float(domain.upper), float(q))
    if isinstance(domain, sample.Float) and (is_uniform or is_log) and q is None:
        return (LogUniform if is_log else Uniform)(name, float(domain.lower), float(domain.upper))
    if isinstance(domain, sample.Integer) and (is_uniform or is_log) and q is None:
        return (LogRandInt if is_log else RandInt)(name, int(domain.lower), int(domain.upper) - 1)
    if isinstance(domain, sample.Categorical) and is_uniform and q is None:
        return Choice(name, tuple(_plain(name, value) for value in domain.categories))
    step = "" if q is None else f" with q={q}"
    got = f"{type(domain).__name__.lower()} domain sampled by {type(sampler).__name__.lstrip('_')}{step}"
    raise SearchSpaceError(f"{name!r} is a {got}, which is not understood. Use one of {DOMAINS_UNDERSTOOD}.")


def _plain(name: str, value: Any) -> Scalar:
    """A choice as plain Python; numpy scalars are unwrapped."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, (bool, int, float, str)):
        return plain
    raise SearchSpaceError(
        f"{name!r} has the choice {value!r} of type {type(value).__name__}. "
        "Choose among numbers, texts and booleans, and make the object from them in the objective."
    )


def _refuse_hidden_domains(name: str, value: Any, domain: type) -> None:
    """Raise for a domain or a grid inside a nested value, which would otherwise pass for a constant."""
    if isinstance(value, domain):
        raise SearchSpaceError(f"{name!r} is a domain inside a nested value. Write the search space flat.")
    if isinstance(value, dict):
        if "grid_search" in value:
            raise SearchSpaceError(f"{name!r} is a grid search. Use tune.choice, or a grid searcher.")
        for key, inner in value.items():
            _refuse_hidden_domains(f"{name}.{key}", inner, domain)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            _refuse_hidden_domains(f"{name}[{index}]", inner, domain)
