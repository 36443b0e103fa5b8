"""What the files of a scenario are checked against: its directories, its hosts, its sets of variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from optiprov.deploy.patterns import KnownHosts


@frozen
class Surroundings:
    """What a file of a scenario may name.

    Attributes:
        directory: Where the scenario lies.
        artifacts_dir: Where its artifacts lie.
        known: Its hosts.
        app_confs: The sets of variables with which it runs; all that there are where none is chosen.
        is_chosen: Whether sets are chosen, so that each of them needs what templates use.
    """

    directory: Path
    artifacts_dir: Path
    known: KnownHosts
    app_confs: Sequence[Mapping[str, Any]]
    is_chosen: bool

    @property
    def env_names(self) -> set[str]:
        """The variables `env_<key>` that there are: in every chosen set, or in any where none is chosen."""
        names = [{f"env_{key}" for key in values} for values in self.app_confs]
        if not names:
            return set()
        return set.intersection(*names) if self.is_chosen else set.union(*names)
