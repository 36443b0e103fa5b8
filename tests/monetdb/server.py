"""A MonetDB server in a process of its own: MonetDB's engine with its MAPI listener, on loopback.

`python -m tests.monetdb.server DIRECTORY` serves the database in a directory, made where it is absent, and
prints its URL when it is ready. SIGTERM stops it; after that, and after a SIGKILL, the data is there.

The engine comes as a library for embedding (see `engine`). That it serves clients takes what MonetDB's own
`mserver5` does around it: registering the database, unlocking the vault of passwords, announcing SQL.
"""

import argparse
import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.monetdb import engine

USER = PASSWORD = "monetdb"  # what every new database of MonetDB has
_ATTEMPTS = 3
_READY_TIMEOUT_S = 120
_STOP_TIMEOUT_S = 20
_START_TIMES = 3
_CLOSE_TIMEOUT_S = 5
_STOPS = {signal.SIGTERM, signal.SIGINT}


class _MapiServer(ctypes.Structure):
    _fields_ = (("port", ctypes.c_char_p), ("usock", ctypes.c_char_p))


class _Options(ctypes.Structure):
    _fields_ = (
        ("memorylimit", ctypes.c_int),
        ("querytimeout", ctypes.c_int),
        ("sessiontimeout", ctypes.c_int),
        ("nr_threads", ctypes.c_int),
        ("remote", ctypes.c_void_p),
        ("mapi_server", ctypes.POINTER(_MapiServer)),
        ("trace_file", ctypes.c_char_p),
    )


def _libraries():
    """Load the libraries, each after those it needs, which are then found wherever they are."""
    names = ("libpcre", "libstream", "libbat", "libmapi", "libmonetdb5", "libmonetdbsql", "libmonetdbe")
    paths = {name: next(engine.LIBRARIES.glob(f"{name}-*.so*")) for name in names}
    return {name: ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL) for name, path in paths.items()}


def serve(directory, port, ready):
    """Serve the database in a directory until SIGTERM or SIGINT; `ready` is called when it is."""
    libraries = _libraries()
    embedded, server = libraries["libmonetdbe"], libraries["libmonetdb5"]

    def call(name, *arguments):
        function = getattr(server, name)
        function.restype = ctypes.c_char_p
        if message := function(*arguments):
            sys.exit(f"{name}: {message.decode(errors='replace')}")

    directory.mkdir(parents=True, exist_ok=True)
    vault = directory / ".vaultkey"
    if not vault.exists():
        vault.write_text(secrets.token_hex(16))
    call("msab_dbpathinit", bytes(directory))
    call("msab_registerStarting")
    call("AUTHunlockVault", vault.read_bytes())
    database = ctypes.c_void_p()
    listener = _MapiServer(str(port).encode(), None)
    options = _Options(mapi_server=ctypes.pointer(listener))
    if status := embedded.monetdbe_open(ctypes.byref(database), bytes(directory), ctypes.byref(options)):
        embedded.monetdbe_error.restype = ctypes.c_char_p
        why = embedded.monetdbe_error(database) if database else None
        sys.exit(f"monetdbe_open: {status} {(why or b'').decode(errors='replace')}")
    call("msab_registerStarted")
    call("msab_marchScenario", b"sql")
    ready()
    signal.sigwait(_STOPS)
    closing = threading.Timer(
        _CLOSE_TIMEOUT_S, os._exit, (0,)
    )  # clients may hold it up; what is committed is kept
    closing.daemon = True
    closing.start()
    embedded.monetdbe_close(database)
    os._exit(0)


def _stop_with_parent():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


class MonetDBServer:
    """A running server.

    Args:
        directory: of its database; its name is the database's name.
        port: to listen on; 0 picks a free one.
    """

    is_ours = True  # to kill

    def __init__(self, directory, port=0):
        self.directory = Path(directory)
        for attempt in range(_ATTEMPTS):
            self.port = port or free_port()
            try:
                self.start()
            except RuntimeError:
                if port or attempt == _ATTEMPTS - 1:
                    raise
                continue  # another process may have taken the port first
            return

    @property
    def url(self):
        """The URL of the database."""
        return f"monetdb://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{self.directory.name}"

    def start(self):
        """Start it, also again after it has been stopped or killed, on the same port.

        That port may be another's for a moment: connections get theirs from the same range.
        """
        for attempt in range(_START_TIMES):
            time.sleep(attempt)
            log = self._try_start()
            if log is None:
                return
        raise RuntimeError(f"MonetDB does not start: {log[-2000:]}")

    def _try_start(self):
        """Start it; return its log where it does not come up, None where it does."""
        command = [
            sys.executable,
            "-m",
            "tests.monetdb.server",
            str(self.directory),
            "--port",
            str(self.port),
        ]
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        log = self.directory.with_suffix(".log")
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [*command, "--with-parent"],
                stdin=subprocess.PIPE,  # it is closed when we are gone, however that comes
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=engine.HERE.parents[1],
                start_new_session=True,  # Ctrl-C is for those who use it
            )
        timer = threading.Timer(_READY_TIMEOUT_S, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if line.startswith("monetdb:"):
            return None
        self.kill()
        return log.read_text(errors="replace")

    def stop(self):
        """Stop it in good order."""
        self.process.terminate()
        with self.process, contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOP_TIMEOUT_S)
        self.kill()

    def kill(self):
        """Kill it at once."""
        self.process.kill()
        with self.process:
            self.process.wait()


def free_port():
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, help="of the database; its name is the database's name")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input does")
    arguments = parser.parse_args()
    if os.environ.get("LD_PRELOAD") != str(engine.PRELOADED):
        engine.fetch()
        environment = {**os.environ, "LD_PRELOAD": str(engine.PRELOADED)}
        os.execve(sys.executable, [sys.executable, "-m", "tests.monetdb.server", *sys.argv[1:]], environment)  # noqa: S606
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)  # before there is any other thread
    if arguments.with_parent:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    directory, port = arguments.directory.absolute(), arguments.port or free_port()
    answers = os.dup(1)
    os.dup2(2, 1)  # what the engine prints is for the log
    url = f"monetdb://{USER}:{PASSWORD}@127.0.0.1:{port}/{directory.name}\n"
    serve(directory, port, lambda: os.write(answers, url.encode()))


if __name__ == "__main__":
    main()
