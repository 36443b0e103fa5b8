"""File systems so small that a test can fill them."""

import functools
import os
import shutil
import subprocess

import pytest

_MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && echo mounted && exec sleep 100000'


@functools.cache
def _namespace():
    """Return what starts a command in a mount namespace where it may mount; none where there is no such way.

    Root has it, and others as the root of a user namespace, where the system lets them make one.
    """
    for command in (["unshare", "-m"], ["unshare", "-rm"]):
        trial = [*command, "mount", "-t", "tmpfs", "none", "/tmp"]  # noqa: S108  in a namespace of its own
        if shutil.which("unshare") and not subprocess.run(trial, capture_output=True, check=False).returncode:
            return command
    return None


def require_mounts():
    """Return what starts a command that may mount; where nothing does, fail for root under CI, or skip."""
    found = _namespace()
    if found is None:
        reason = "no tmpfs can be mounted in a mount namespace: needs util-linux, and root or user namespaces"
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class TinyFilesystem:
    """A tmpfs in a mount namespace of its own, which a process holds; it goes with that.

    Attributes:
        path: where others reach it, by way of that process.
        directory: where it is to those in the namespace.
        inside: what starts a command in the namespace. (DuckDB resolves links, and so does not take `path`.)
    """

    def __init__(self, directory, size_bytes):
        namespace = require_mounts()
        directory.mkdir()
        self.directory = directory
        self._holder = subprocess.Popen(
            [*namespace, "sh", "-c", _MOUNT, "sh", str(size_bytes), str(directory)],
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._holder.stdout.readline() != "mounted\n":
            self.close()
            pytest.fail(f"{size_bytes} bytes cannot be mounted")
        self.path = type(directory)(f"/proc/{self._holder.pid}/root{directory}")
        by_user = ["-U", "--preserve-credentials"] if "-rm" in namespace else []
        self.inside = ["nsenter", "-t", str(self._holder.pid), "-m", *by_user, "--"]
        self._ballast = self.path / "ballast"

    def fill(self, size_bytes):
        """Take away this much room."""
        with self._ballast.open("wb") as file:
            for _ in range(size_bytes >> 16):
                file.write(b"\0" * (1 << 16))

    def make_room(self):
        """Give back what `fill` took."""
        self._ballast.unlink()

    def close(self):
        """Unmount it: it is gone when nobody has it open any more."""
        self._holder.kill()
        self._holder.communicate()
