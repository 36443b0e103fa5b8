"""The file workflow_env.yaml: named sets of variables."""

from __future__ import annotations

from optiprov.deploy.kinds import Anything, MappingOf, Text

APP_CONF_NAME = Text(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    "a name of letters, digits, '_', '-' and '.' (results lie in a folder of this name)",
)
_KEY = Text(r"[A-Za-z0-9_]+", "letters, digits and '_' (templates have it as env_<key>)")

WORKFLOW_ENV = MappingOf(MappingOf(Anything(), _KEY), APP_CONF_NAME)
"""What the file holds: sets of variables by name."""
