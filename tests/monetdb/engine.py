"""MonetDB's engine for tests: fetches its libraries into `.cache/monetdb`, once.

`python -m tests.monetdb.engine` does so; `make test` calls it.
"""

import fcntl
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "monetdb"
LIBRARIES = CACHE / "monetdbe.libs"
PRELOADED = CACHE / "not_embedded.so"


def is_there():
    """Return whether the engine has been fetched."""
    return LIBRARIES.is_dir() and PRELOADED.is_file()


def fetch():
    """Fetch the engine where it is absent; processes that do so at once wait for each other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_there():
            return
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        download += ["--no-deps", "--only-binary=:all:", "--python-version=3.10", "--require-hashes"]
        subprocess.run(
            [*download, f"--dest={CACHE}", f"--requirement={HERE / 'requirements.txt'}"], check=True
        )
        (wheel,) = CACHE.glob("monetdbe-*.whl")
        unpacked = CACHE / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(
                unpacked, [name for name in archive.namelist() if name.startswith("monetdbe.libs/")]
            )
        compiler = ["gcc", "-shared", "-fPIC", "-o", str(PRELOADED)]
        subprocess.run([*compiler, str(HERE / "not_embedded.c")], check=True)
        shutil.rmtree(LIBRARIES, ignore_errors=True)
        (unpacked / "monetdbe.libs").rename(LIBRARIES)
        shutil.rmtree(unpacked)


if __name__ == "__main__":
    try:
        fetch()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(
            f"MonetDB's engine is not there: {error}. The tests of the MonetDB backend need gcc, x86-64 Linux"
            " and a package index; or set OPTIPROV_TEST_MONETDB to a server's monetdb://user:password@host/db."
        )
