"""Becomes a command in the environment and working directory of a host; a script that sshd starts."""

from __future__ import annotations

import json
import os
import sys


def main(description: str, argv: list[str]) -> None:
    """Become the command.

    Args:
        description: The file with `environment` and `directory`.
        argv: The command.
    """
    with open(description, encoding="utf-8") as file:
        host = json.load(file)
    os.chdir(host["directory"])
    os.execvpe(argv[0], argv, host["environment"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
