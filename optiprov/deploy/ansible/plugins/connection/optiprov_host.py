"""Ansible's way to a host of a deployment: commands in the host's namespace, environment and directory."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: optiprov_host
short_description: run on a host of an optiprov deployment
description:
  - Runs commands where the tasks of an optiprov deployment run.
author: The optiprov developers
options:
  pipelining:
    description: Whether modules go through standard input.
    default: true
    type: boolean
    vars:
      - name: ansible_pipelining
"""

HOSTS_VARIABLE = "OPTIPROV_ANSIBLE_HOSTS"
PLACE = "@command@"
SHELL = "/bin/sh"


class Connection(LocalConnection):
    """Runs what Ansible wants to run as the tasks of a host run.

    The file that the environment names has, for each host, the command that runs another one there,
    with a place for that one.
    """

    transport = "optiprov_host"

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> Any:
        """Run a command on the host."""
        return super().exec_command(self._entered(cmd), in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file to the host."""
        content = Path(in_path).read_bytes()
        quoted = shlex.quote(out_path)
        status, _, stderr = self.exec_command(
            f"cat > {quoted}" if content else f": > {quoted}", in_data=content or None
        )
        if status != 0:
            raise AnsibleError(f"cannot write {out_path}: {stderr.decode(errors='replace')}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file from the host."""
        status, stdout, stderr = self.exec_command(f"cat -- {shlex.quote(in_path)}")
        if status != 0:
            raise AnsibleError(f"cannot read {in_path}: {stderr.decode(errors='replace')}")
        Path(out_path).write_bytes(stdout)

    def _entered(self, cmd: str) -> str:
        hosts = json.loads(Path(os.environ[HOSTS_VARIABLE]).read_text(encoding="utf-8"))
        enter = hosts[self._play_context.remote_addr]
        at = enter.index(PLACE)
        return shlex.join([*enter[:at], SHELL, "-c", cmd, *enter[at + 1 :]])
