"""Ansible's `fetch`, whose relative destinations lie where optiprov puts what was fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.action.fetch import ActionModule as FetchAction

FETCHED_VARIABLE = "OPTIPROV_ANSIBLE_FETCHED"


class ActionModule(FetchAction):
    """Fetches to `fetched/<host id>/<dest>` where `dest` is relative or below the working directory."""

    def run(self, tmp: Any = None, task_vars: Any = None) -> Any:
        """Fetch a file."""
        variables = task_vars or {}
        dest = str(self._task.args.get("dest", ""))
        working_dir = str(variables.get("working_dir", os.sep))
        if dest and Path(dest).is_relative_to(working_dir):
            dest = os.path.relpath(dest, working_dir) + ("/" if dest.endswith("/") else "")
        if dest and not Path(dest).is_absolute():
            below = Path(os.environ[FETCHED_VARIABLE]) / variables["inventory_hostname"] / dest
            self._task.args["dest"] = f"{below}/" if dest.endswith("/") else str(below)
            self._task.args["flat"] = True
        return super().run(tmp, task_vars)
