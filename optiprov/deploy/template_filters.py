"""Ansible's filters beside Jinja2's own: conversions, collections, numbers (`FILTERS` has all of them)."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jinja2
import yaml

from optiprov.deploy.template_text_filters import TEXT_FILTERS
from optiprov.deploy.template_values import TRUE_TEXTS, TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SIZES = {letter: 1 << (10 * power) for power, letter in enumerate("BKMGTPEZY")}


def _bool(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    return str(value).strip().lower() in TRUE_TEXTS


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, **{"default": str, **options})


def _to_nice_json(value: Any, indent: int = 4, sort_keys: bool = True) -> str:
    return json.dumps(value, default=str, indent=indent, sort_keys=sort_keys, separators=(",", ": "))


def _to_yaml(value: Any, **options: Any) -> str:
    return str(yaml.dump(value, Dumper=yaml.SafeDumper, **{"allow_unicode": True, **options}))


def _to_nice_yaml(value: Any, indent: int = 4, **options: Any) -> str:
    return _to_yaml(value, indent=indent, **{"default_flow_style": False, **options})


def _from_yaml(text: Any) -> Any:
    return yaml.load(text, Loader=_Loader) if isinstance(text, str) else text  # noqa: S506  a safe loader


def _from_yaml_all(text: Any) -> Any:
    return list(yaml.load_all(text, Loader=_Loader)) if isinstance(text, str) else text


def _mandatory(value: Any, msg: str | None = None) -> Any:
    if isinstance(value, jinja2.Undefined):
        raise TemplateError(msg or f"mandatory variable {value._undefined_name!r} is not defined")  # noqa: SLF001  Jinja2 has no other way
    return value


def _ternary(value: Any, true_value: Any, false_value: Any, none_value: Any = None) -> Any:
    if value is None and none_value is not None:
        return none_value
    return true_value if value else false_value


def _combine(*mappings: Any, recursive: bool = False, list_merge: str = "replace") -> dict[str, Any]:
    combined: dict[str, Any] = {}
    for mapping in _flatten(list(mappings)):
        if not isinstance(mapping, Mapping):
            raise TemplateError(f"combine: got {mapping!r}, expected a mapping")
        combined = _merged(combined, mapping, recursive, list_merge)
    return combined


def _merged(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    recursive: bool,
    list_merge: str,
) -> dict[str, Any]:
    merged = dict(ours)
    for key, value in theirs.items():
        old = merged.get(key)
        if recursive and isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(old, value, recursive, list_merge)
        elif isinstance(old, list) and isinstance(value, list):
            merged[key] = _LIST_MERGES[list_merge](old, value)
        else:
            merged[key] = value
    return merged


_LIST_MERGES: Mapping[str, Callable[[list[Any], list[Any]], list[Any]]] = {
    "replace": lambda _, new: new,
    "keep": lambda old, _: old,
    "append": lambda old, new: old + new,
    "prepend": lambda old, new: new + old,
    "append_rp": lambda old, new: [one for one in old if one not in new] + new,
    "prepend_rp": lambda old, new: new + [one for one in old if one not in new],
}


def _dict2items(mapping: Mapping[Any, Any], key_name: str = "key", value_name: str = "value") -> list[Any]:
    return [{key_name: key, value_name: value} for key, value in mapping.items()]


def _items2dict(items: Iterable[Any], key_name: str = "key", value_name: str = "value") -> dict[Any, Any]:
    return {item[key_name]: item[value_name] for item in items}


def _flatten(values: Iterable[Any], levels: int | None = None, skip_nulls: bool = True) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        if value in (None, "None", "null") and skip_nulls:
            continue
        if isinstance(value, list | tuple) and (levels is None or levels >= 1):
            flat += _flatten(value, None if levels is None else levels - 1, skip_nulls)
        else:
            flat.append(value)
    return flat


def _unique(values: Iterable[Any], case_sensitive: bool | None = None, attribute: Any = None) -> list[Any]:
    seen: list[Any] = []
    found = []
    for value in values:
        key = value[attribute] if attribute is not None else value
        key = key.lower() if case_sensitive is False and isinstance(key, str) else key
        if key not in seen:
            seen.append(key)
            found.append(value)
    return found


def _union(one: list[Any], other: list[Any]) -> list[Any]:
    return _unique([*one, *other])


def _intersect(one: list[Any], other: list[Any]) -> list[Any]:
    return _unique(value for value in one if value in other)


def _difference(one: list[Any], other: list[Any]) -> list[Any]:
    return _unique(value for value in one if value not in other)


def _symmetric_difference(one: list[Any], other: list[Any]) -> list[Any]:
    return _unique([value for value in [*one, *other] if (value in one) != (value in other)])


def _extract(key: Any, container: Any, morekeys: Any = None) -> Any:
    more = [] if morekeys is None else morekeys if isinstance(morekeys, list) else [morekeys]
    for one in (key, *more):
        container = container[one]
    return container


def _subelements(values: Any, keys: Any, skip_missing: bool = False) -> list[Any]:
    path = keys if isinstance(keys, list) else str(keys).split(".")
    pairs = []
    for value in values.values() if isinstance(values, Mapping) else values:
        below = value
        for key in path:
            below = below.get(key, []) if skip_missing else below[key]
        pairs += [(value, element) for element in below]
    return pairs


@jinja2.pass_environment
def _random(
    environment: jinja2.Environment,
    end: Any,
    start: int | None = None,
    step: int | None = None,
    seed: Any = None,
) -> Any:
    del environment
    generator = random.SystemRandom() if seed is None else random.Random(seed)
    if isinstance(end, int):
        return generator.randrange(start or 0, end, step or 1)
    return generator.choice(list(end))


def _shuffle(values: Iterable[Any], seed: Any = None) -> list[Any]:
    shuffled = list(values)
    (random.SystemRandom() if seed is None else random.Random(seed)).shuffle(shuffled)
    return shuffled


def _human_readable(size: float, isbits: bool = False, unit: str | None = None) -> str:
    base = "bits" if isbits else "Bytes"
    for letter, factor in reversed(_SIZES.items()):
        if (unit is None and size >= factor) or (unit is not None and unit.upper() == letter):
            suffix = base if factor == 1 else f"{letter}{base[0].lower() if isbits else base[0]}"
            return f"{size / factor:.2f} {suffix}"
    return f"{size:.2f} {base}"


def _human_to_bytes(size: Any, default_unit: str | None = None) -> int:
    text = str(size).strip()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = (text[len(number) :].strip() or default_unit or "B")[0].upper()
    return round(float(number) * _SIZES[unit])


def _root(value: float, base: float = 2) -> float:
    return math.sqrt(value) if base == 2 else value ** (1.0 / base)


FILTERS: Mapping[str, Callable[..., Any]] = {
    **TEXT_FILTERS,
    "bool": _bool,
    "combinations": lambda values, size: list(itertools.combinations(values, size)),
    "combine": _combine,
    "dict2items": _dict2items,
    "difference": _difference,
    "extract": _extract,
    "flatten": _flatten,
    "from_json": lambda text: json.loads(text),
    "from_yaml": _from_yaml,
    "from_yaml_all": _from_yaml_all,
    "human_readable": _human_readable,
    "human_to_bytes": _human_to_bytes,
    "intersect": _intersect,
    "items2dict": _items2dict,
    "log": lambda value, base=math.e: math.log(value, base),
    "mandatory": _mandatory,
    "permutations": lambda values, size=None: list(itertools.permutations(values, size)),
    "pow": lambda value, power: value**power,
    "product": lambda *values, repeat=1: list(itertools.product(*values, repeat=repeat)),
    "random": _random,
    "root": _root,
    "shuffle": _shuffle,
    "subelements": _subelements,
    "symmetric_difference": _symmetric_difference,
    "ternary": _ternary,
    "to_json": _to_json,
    "to_nice_json": _to_nice_json,
    "to_nice_yaml": _to_nice_yaml,
    "to_yaml": _to_yaml,
    "type_debug": lambda value: type(value).__name__,
    "union": _union,
    "unique": _unique,
    "zip": lambda *values, strict=False: [list(one) for one in zip(*values, strict=strict)],
    "zip_longest": lambda *values, fillvalue=None: [
        list(one) for one in itertools.zip_longest(*values, fillvalue=fillvalue)
    ],
}
"""Filters by name. Jinja2 has `default`, `int`, `join`, `map`, `select`, `sort` and others itself."""
