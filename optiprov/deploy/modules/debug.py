"""debug: a message or the value of an expression, into the task's log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import DirectModule, ModuleContext, Outcome
from optiprov.deploy.template_values import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

UNDEFINED = "VARIABLE IS NOT DEFINED!"


class Debug(DirectModule):
    """Tells `msg`, or what the expression `var` is; changes nothing."""

    name = "debug"
    arguments = ("msg", "var", "verbosity")

    def problems(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """`msg` and `var` are one or the other."""
        if "msg" in arguments and "var" in arguments:
            yield "debug takes either 'msg' or 'var'."

    def apply(self, arguments: Mapping[str, Any], context: ModuleContext) -> Outcome:
        """Tell, unless a verbosity above 0 is asked for: there is none."""
        if int(arguments.get("verbosity", 0)) > 0:
            return Outcome(changed=False, message="Verbosity threshold not met.", is_skipped=True)
        if "var" not in arguments:
            message = arguments.get("msg", "Hello world!")
            return Outcome(
                changed=False, message=_text(message), details={"msg": message}, output=_text(message)
            )
        name = arguments["var"]
        try:
            value = context.evaluate(name) if isinstance(name, str) else name
        except TemplateError:
            value = UNDEFINED
        text = f"{name}: {_text(value)}"
        return Outcome(changed=False, message=text, details={str(name): value}, output=text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
