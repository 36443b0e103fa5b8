"""A terminal for tests: what is typed there and shown there, around a process of its own."""

import fcntl
import os
import select
import subprocess
import termios
import time

from tests.waiting import PATIENCE_S


class Terminal:
    """A process in the foreground of a new terminal.

    Args:
        command: The process.
        environment: Its environment.
    """

    def __init__(self, command, environment):
        self._own, other = os.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            command,
            stdin=other,
            stdout=other,
            stderr=other,
            env={**environment, "TERM": "dumb"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(other)

    def type(self, text):
        """Type something."""
        os.write(self._own, text.encode())

    def wait_for(self, text):
        """Wait until something is shown, after what was waited for before."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} is not shown: {self.shown!r}"
            if select.select([self._own], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self._own, 1 << 12).decode(errors="replace")
                except OSError:  # the last process has closed it
                    assert text in self.shown, f"{text!r} was not shown: {self.shown!r}"
        self.shown = self.shown.partition(text)[2]

    def wait(self):
        """The exit status of the process."""
        return self.process.wait(PATIENCE_S)

    def close(self):
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self._own)
