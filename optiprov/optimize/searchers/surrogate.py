"""The surrogate model of `SkOptSearch`: scikit-optimize's models and acquisition functions, over our ledger.

scikit-optimize's `Optimizer` believes what it was told once and for all, and hands out the same initial
point until its value arrives. With trials in flight both are wrong, so here an `Optimizer` lives for one
proposal: it is told all observations and the lies of the moment, and only the gains of `gp_hedge` are
carried on. A proposal is a function of the targets and a seed, which makes a study repeatable and its state
small.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from optiprov.errors import InputError
from optiprov.optimize.searchers.blas import one_blas_thread
from optiprov.optimize.searchers.proposer import ModelProposer, Proposal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optiprov.optimize.searchers.observations import Ledger
    from optiprov.optimize.searchers.proposer import Key, Target
    from optiprov.optimize.space import SearchSpace

Hedge: TypeAlias = "dict[str, list[Any]]"

ESTIMATORS = ("GP", "ET", "RF", "DUMMY")
ACQUISITION_FUNCTIONS = ("gp_hedge", "EI", "LCB", "PI")
INITIAL_POINT_GENERATORS = ("lhs", "sobol", "halton", "hammersly", "grid", "random")

# Bounds on the work of one proposal, which has to stay under 0.3 s of CPU at 60 observations:
# scikit-optimize's own defaults (10,000 candidates, 5 searches from the best, 3 fits of the kernel) take
# 1.0 s, and 5 s of spinning BLAS threads on two shared cores.
ACQ_OPTIMIZER_KWARGS = {"n_points": 1000, "n_restarts_optimizer": 2, "n_jobs": 1}
GP_RESTARTS = 1

UNSEEN_CANDIDATES = 500


@dataclass(frozen=True)
class Settings:
    """What a surrogate is built from, in scikit-optimize's own terms.

    Raises:
        InputError: An estimator, an acquisition function or a generator that does not exist or cannot work.
    """

    base_estimator: Any = "GP"
    n_initial_points: int = 10
    initial_point_generator: Any = "lhs"
    acq_func: str = "gp_hedge"
    acq_optimizer: str = "auto"
    acq_func_kwargs: Mapping[str, Any] | None = None
    acq_optimizer_kwargs: Mapping[str, Any] = field(default_factory=lambda: dict(ACQ_OPTIMIZER_KWARGS))

    def __post_init__(self) -> None:
        if isinstance(self.base_estimator, str):
            if self.base_estimator.upper() == "GBRT":
                raise InputError(
                    "base_estimator='GBRT' cannot work: scikit-optimize 0.10 builds it on a class that "
                    "scikit-learn 1.6 and later do not take for a regressor. Use 'GP', 'ET' or 'RF'."
                )
            _check_one_of("base_estimator", self.base_estimator.upper(), ESTIMATORS)
        if isinstance(self.initial_point_generator, str):
            _check_one_of("initial_point_generator", self.initial_point_generator, INITIAL_POINT_GENERATORS)
        _check_one_of("acq_func", self.acq_func, ACQUISITION_FUNCTIONS)
        if self.n_initial_points < 1:
            raise InputError(
                f"n_initial_points needs to be at least 1, got {self.n_initial_points}. Raise it."
            )

    @property
    def has_model(self) -> bool:
        """Whether there is anything to fit: "DUMMY" is random search."""
        return not (isinstance(self.base_estimator, str) and self.base_estimator.upper() == "DUMMY")


class Surrogate(ModelProposer):
    """Proposes configurations by scikit-optimize.

    Its state are the gains of the acquisition functions of `gp_hedge`, and their candidates.
    """

    def __init__(self, space: SearchSpace, settings: Settings) -> None:
        super().__init__(space)
        self.settings = settings
        self._hedge: Hedge | None = None

    def design(self, size: int, seed: int) -> list[dict[str, Any]]:
        """An initial design by the generator of the settings."""
        from skopt.space import Space
        from skopt.utils import cook_initial_point_generator

        generator = cook_initial_point_generator(self.settings.initial_point_generator)
        dimensions = self.space.to_skopt()
        with _quiet_libraries():
            if generator is None:
                points = list(Space(dimensions).rvs(size, random_state=seed))
            else:
                points = list(generator.generate(dimensions, size, random_state=seed))
        return [self.space.decode(point) for point in points]

    def next(self, ledger: Ledger, known: set[Key], seed: int) -> Proposal | None:
        """As of `ModelProposer`; nothing where there is no model."""
        return super().next(ledger, known, seed) if self.settings.has_model else None

    def propose(
        self, targets: Sequence[Target], known: set[Key], seed: int, pending: Sequence[Target] = ()
    ) -> Proposal:
        """Fit the estimator and take what the acquisition function likes best."""
        optimizer = self._optimizer(seed)
        decode = self.space.decode
        told = [*targets, *pending]
        with _quiet_libraries():
            if self._hedge is not None:
                optimizer.gains_ = np.array(self._hedge["gains"])
                optimizer.next_xs_ = [np.array(x) for x in self._hedge["next_xs"]]
            optimizer.tell([self.space.encode(config) for config, _ in told], [value for _, value in told])
            first = optimizer.ask()
            others = optimizer.space.inverse_transform(np.vstack(optimizer.next_xs_))
            fresh = next((x for x in [first, *others] if self.key(decode(x)) not in known), None)
            chosen = fresh if fresh is not None else self._best_unseen(optimizer, known, seed)
            at = optimizer.space.transform([first if chosen is None else chosen])
            mean, std = optimizer.models[-1].predict(at, return_std=True)
        self._hedge = _hedge_of(optimizer)
        point = first if chosen is None else chosen
        return Proposal(decode(point), float(mean[0]), float(std[0]), fresh is None)

    def state(self) -> Hedge | None:
        """The gains and candidates of `gp_hedge`."""
        return self._hedge

    def restore(self, state: Hedge | None) -> None:
        """Take over gains and candidates."""
        self._hedge = state

    def _best_unseen(self, optimizer: Any, known: set[Key], seed: int) -> list[Any] | None:
        """The unseen point with the highest expected improvement, among a random sample."""
        from skopt.acquisition import gaussian_ei

        candidates = [self.space.encode(config) for config in self.unseen(known, seed, UNSEEN_CANDIDATES)]
        if not candidates:
            return None
        at = optimizer.space.transform(candidates)
        return candidates[int(np.argmax(gaussian_ei(at, optimizer.models[-1], min(optimizer.yi))))]

    def _optimizer(self, seed: int) -> Any:
        from skopt import Optimizer
        from skopt.utils import cook_estimator

        dimensions = self.space.to_skopt()
        estimator = self.settings.base_estimator
        if isinstance(estimator, str):
            limits = {"n_restarts_optimizer": GP_RESTARTS} if estimator.upper() == "GP" else {"n_jobs": 1}
            estimator = cook_estimator(estimator, space=dimensions, random_state=seed, **limits)
        return Optimizer(
            dimensions,
            base_estimator=estimator,
            n_initial_points=0,
            initial_point_generator="random",
            acq_func=self.settings.acq_func,
            acq_optimizer=self.settings.acq_optimizer,
            acq_func_kwargs=self.settings.acq_func_kwargs,
            acq_optimizer_kwargs=dict(self.settings.acq_optimizer_kwargs),
            avoid_duplicates=False,
            model_queue_size=1,
            random_state=seed,
            n_jobs=1,
        )


def _hedge_of(optimizer: Any) -> Hedge | None:
    """The gains of the acquisition functions and their candidates, as the next proposal wants them."""
    if optimizer.acq_func != "gp_hedge":
        return None
    return {"gains": optimizer.gains_.tolist(), "next_xs": [x.tolist() for x in optimizer.next_xs_]}


def _check_one_of(name: str, got: str, known: Sequence[str]) -> None:
    if got not in known:
        raise InputError(f"{name} cannot be {got!r}. Use one of {', '.join(known)}.")


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """One BLAS thread, and no chatter from the fits.

    Silenced: points evaluated before (which we handle), variances that rounding made negative, fits that
    stop at a bound, and Sobol sequences that are not a power of 2 long.
    """
    with one_blas_thread(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"skopt|sklearn|scipy\.stats", category=UserWarning)
        warnings.filterwarnings("ignore", module=r"skopt|sklearn", category=RuntimeWarning)
        yield
