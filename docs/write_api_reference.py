"""Writes docs/api.md from the docstrings of what users of the Python interface meet."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ForwardRef

from optiprov import errors
from optiprov.capture import Data, File, Task, Workflow
from optiprov.deploy import Deployment, load_scenario
from optiprov.deploy.services import Ran, Running, Service, ServiceHost
from optiprov.optimize import Optimization, SearchSpace, SkOptSearch, maximize, minimize
from optiprov.optimize.results import Answer, Best, StudyResult
from optiprov.optimize.searchers import AutoSearch, DesignSearch, OptunaSearch
from optiprov.store import Lineage, Provenance, StoredValue, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TARGET = Path(__file__).parent / "api.md"
WIDTH = 100
_HEAD = """# Python

This page is written by `make docs` from the docstrings. Scenarios, search spaces and searchers have
pages of their own: [scenario.md](scenario.md), [search-space.md](search-space.md),
[searching.md](searching.md); how to instrument and to ask is in [provenance.md](provenance.md).
"""
PAGES: dict[str, dict[str, Any]] = {
    "Optimization": {
        "optiprov.Optimization": Optimization,
        "optiprov.maximize": maximize,
        "optiprov.minimize": minimize,
        "optiprov.optimize.searchers.AutoSearch": AutoSearch,
        "optiprov.optimize.searchers.DesignSearch": DesignSearch,
        "optiprov.optimize.searchers.OptunaSearch": OptunaSearch,
        "optiprov.optimize.SkOptSearch": SkOptSearch,
        "optiprov.optimize.SearchSpace": SearchSpace,
        "optiprov.optimize.results.StudyResult": StudyResult,
        "optiprov.optimize.results.Best": Best,
        "optiprov.optimize.results.Answer": Answer,
    },
    "Asking": {
        "optiprov.connect": connect,
        "optiprov.store.Provenance": Provenance,
        "optiprov.store.Lineage": Lineage,
        "optiprov.store.StoredValue": StoredValue,
    },
    "Instrumenting": {
        "optiprov.Workflow": Workflow,
        "optiprov.Task": Task,
        "optiprov.Data": Data,
        "optiprov.File": File,
    },
    "Deploying": {
        "optiprov.deploy.load_scenario": load_scenario,
        "optiprov.deploy.Deployment": Deployment,
    },
    "Services": {
        "optiprov.Service": Service,
        "optiprov.deploy.services.ServiceHost": ServiceHost,
        "optiprov.deploy.services.Ran": Ran,
        "optiprov.deploy.services.Running": Running,
    },
}
# Public for other packages of ours, of no use to anyone else.
_INTERNAL = {
    (Optimization, "run_trial"),
    (Workflow, "counted"),
    (Workflow, "emit"),
    (Data, "is_plain"),
    (Data, "to_item"),
    (Data, "to_row"),
    (File, "is_plain"),
    (File, "to_item"),
    (File, "to_row"),
    (Deployment, "spool_dirs"),
    (Service, "misfits"),
    (Service, "obstacle"),
    (Service, "registrations"),
    (Running, "last_words"),
    (Provenance, "fetch"),
}
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example|Examples):$")
_ENTRY = re.compile(r"^([\w*][\w, .*]*): (.*)$")


def reference() -> str:
    """Return the page: signature and docstring of each class, function, method and property."""
    parts = [_HEAD]
    for title, members in PAGES.items():
        parts.append(f"\n## {title}\n")
        for name, member in members.items():
            parts.append(f"\n### {name}\n\n{_described(member, name.rpartition('.')[2])}")
            if inspect.isclass(member):
                parts += _methods(member)
    tree = inspect.cleandoc(errors.__doc__ or "").split("\n\n", 1)[1]
    explanation, _, drawn = tree.partition("\n\n")
    drawn = "\n".join(line.removeprefix("    ") for line in drawn.splitlines())
    parts.append(f"\n## Errors\n\nIn `optiprov.errors`. {explanation}\n\n```text\n{drawn}\n```\n")
    return "".join(parts)


def _methods(cls: type) -> Iterator[str]:
    """The public methods and properties that a class defines itself, in the order of its file."""
    for name, member in vars(cls).items():
        if name.startswith("_") or (cls, name) in _INTERNAL:
            continue
        if isinstance(member, property) and member.fget is not None:
            yield f"\n#### {cls.__name__}.{name}\n\n{_property(member.fget)}{_markdown(member.__doc__)}"
        elif isinstance(member, classmethod):
            yield f"\n#### {cls.__name__}.{name}\n\n{_described(getattr(cls, name), name)}"
        elif inspect.isfunction(member):
            yield f"\n#### {cls.__name__}.{name}\n\n{_described(member, name)}"


def _property(getter: Callable[..., Any]) -> str:
    kind = _annotation(inspect.signature(getter).return_annotation)
    return f"```python\n{getter.__name__}: {kind}\n```\n\n"


def _described(member: Any, name: str) -> str:
    signature = _signature(name, inspect.signature(member), is_class=inspect.isclass(member))
    return f"```python\n{signature}\n```\n\n{_bases(member)}{_markdown(member.__doc__)}"


def _bases(member: Any) -> str:
    """What a class inherits from another one of the page."""
    listed = [one for members in PAGES.values() for one in members.values()]
    known = [base.__name__ for base in getattr(member, "__bases__", ()) if base in listed]
    return f"A {' and a '.join(f'`{name}`' for name in known)}, with all that it has.\n\n" if known else ""


def _signature(name: str, signature: inspect.Signature, *, is_class: bool) -> str:
    """A signature as code, one parameter a line where it is long."""
    shown, is_keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword_only:
            is_keyword_only = True
            shown.append("*")
        shown.append(_parameter(parameter))
    returns = "" if is_class else f" -> {_annotation(signature.return_annotation)}"
    line = f"{name}({', '.join(shown)}){returns}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in shown), f"){returns}"])


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(parameter.kind.name, "")
    text = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_annotation(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    default = repr(parameter.default)
    return f"{text} = {'...' if default.startswith('<') else default}"


def _annotation(annotation: Any) -> str:
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else str(getattr(annotation, "__name__", annotation))


def _markdown(docstring: str | None) -> str:
    """A docstring in Google's style as Markdown."""
    if not docstring:
        return ""
    lines, parts = inspect.cleandoc(docstring).splitlines(), []
    while lines:
        heading = _SECTION.match(lines[0])
        if heading is None:
            parts.append(lines.pop(0))
            continue
        lines.pop(0)
        body = []
        while lines and (not lines[0] or lines[0].startswith(" ")):
            body.append(lines.pop(0))
        parts += ["", *_section(heading[1], inspect.cleandoc("\n".join(["", *body])).splitlines()), ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).strip() + "\n"


def _section(title: str, body: list[str]) -> list[str]:
    if title.startswith("Example"):
        return ["```pycon", *body, "```"]
    if title in ("Returns", "Yields"):
        return [f"**{title}**: {' '.join(line.strip() for line in body)}"]
    entries: list[str] = []
    for line in body:
        entry = _ENTRY.match(line)
        if entry:
            entries.append(f"- `{entry[1]}`: {entry[2]}")
        elif entries and line.strip():
            entries[-1] += f" {line.strip()}"
        elif line.strip():
            entries.append(f"- {line.strip()}")
    return [f"**{'Arguments' if title == 'Args' else title}**:", "", *entries]


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"{TARGET}\n")
