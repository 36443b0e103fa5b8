"""template: a file of the scenario, rendered, onto the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optiprov.deploy.modules.base import DirectModule, ModuleContext, Outcome
from optiprov.deploy.modules.placing import ATTRIBUTES, place_file
from optiprov.deploy.template_values import is_true

if TYPE_CHECKING:
    from collections.abc import Mapping


class Template(DirectModule):
    """Renders a file with the variables of the task; `src` is sought as by `copy`.

    As in Ansible, the newline after a block such as `{% endif %}` goes with it (`trim_blocks`).
    """

    name = "template"
    arguments = ("src", "dest", "force", "trim_blocks", "lstrip_blocks", *ATTRIBUTES)
    required = ("src", "dest")
    arguments_of_ansible = frozenset(
        {"attributes", "backup", "block_end_string", "block_start_string", "comment_end_string"}
        | {"comment_start_string", "follow", "newline_sequence", "output_encoding", "selevel", "serole"}
        | {"setype", "seuser", "unsafe_writes", "validate", "variable_end_string", "variable_start_string"}
    )

    def apply(self, arguments: Mapping[str, Any], context: ModuleContext) -> Outcome:
        """Render, write, and say where to."""
        source = context.source(str(arguments["src"]))
        text = context.render_file(
            source.read_text(encoding="utf-8"),
            trim_blocks=is_true(arguments.get("trim_blocks", True)),
            lstrip_blocks=is_true(arguments.get("lstrip_blocks", False)),
        )
        return place_file(text.encode(), source.name.removesuffix(".j2"), arguments, context)
