"""What telemetry can be asked for."""

from __future__ import annotations

from typing import Final, Iterable, Tuple, Union

from optiprov.errors import InputError

RESOURCES: Final = ("cpu", "memory", "disk", "network")
"""What is sampled, in the order it is."""

Asked = Union[bool, str, Iterable[str], None]
"""How users ask: all or nothing, names in a text, or a list of them."""

_ALL = ("1", "true", "yes", "on", "all")
_NONE = ("", "0", "false", "no", "off", "none")


def parse_resources(asked: Asked) -> Tuple[str, ...]:
    """Return the resources that are asked for.

    Args:
        asked: True or "1" for all, False, None or "0" for none, or names: "cpu,memory" or a list of them.

    Raises:
        InputError: there is no such resource.

    >>> parse_resources("memory, cpu")
    ('cpu', 'memory')
    >>> parse_resources(True) == RESOURCES
    True
    """
    if asked is None or isinstance(asked, bool):
        return RESOURCES if asked else ()
    if isinstance(asked, str):
        if asked.strip().lower() in _NONE:
            return ()
        if asked.strip().lower() in _ALL:
            return RESOURCES
        asked = asked.split(",")
    names = [str(name).strip().lower() for name in asked]
    unknown = [name for name in names if name not in RESOURCES]
    if unknown:
        raise InputError(
            f"telemetry has {', '.join(RESOURCES)}, got {', '.join(map(repr, unknown))}. "
            "Name some of them, separated by commas, or write 1 for all."
        )
    return tuple(name for name in RESOURCES if name in names)
