"""Becomes an ssh that runs a command on a host; a script for who has the command's words, not its text.

    python enclosing.py COUNT SSH... ENTER WORDS...

COUNT is how many words SSH... are; ENTER goes before the WORDS, quoted for the shell of the host.
"""

import os
import shlex
import sys


def main(arguments: "list[str]") -> None:
    """Become the ssh."""
    count = int(arguments[0])
    ssh, enter, words = arguments[1 : count + 1], arguments[count + 1], arguments[count + 2 :]
    os.execvp(ssh[0], [*ssh, f"{enter} {shlex.join(words)}"])  # noqa: S606  that is what it is for


if __name__ == "__main__":
    main(sys.argv[1:])
