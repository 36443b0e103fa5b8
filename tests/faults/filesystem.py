"""File systems so small that a test can fill them."""

import shutil
import subprocess

import pytest

_MOUNT = 'mount -t tmpfs -o size="$1" none "$2" && echo mounted && exec sleep 100000'


class TinyFilesystem:
    """A tmpfs in a mount namespace of its own, which a process holds; it goes with that.

    Attributes:
        path: where others reach it, by way of that process.
        directory: where it is to those in the namespace.
        inside: what starts a command in the namespace. (DuckDB resolves links, and so does not take `path`.)
    """

    def __init__(self, directory, size_bytes):
        directory.mkdir()
        self.directory = directory
        self._holder = None
        for prefix in (["unshare", "-m"], ["unshare", "-rm"]):
            if shutil.which("unshare") is None:
                break
            self._holder = subprocess.Popen(
                [*prefix, "sh", "-c", _MOUNT, "sh", str(size_bytes), str(directory)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            if self._holder.stdout.readline() == "mounted\n":
                break
            self.close()
        if self._holder is None:
            pytest.skip("needs the right to mount a tmpfs in a mount namespace")
        self.path = type(directory)(f"/proc/{self._holder.pid}/root{directory}")
        by_user = ["-U", "--preserve-credentials"] if "-rm" in self._holder.args else []
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
        if self._holder is not None:
            self._holder.kill()
            self._holder.communicate()
            self._holder = None
