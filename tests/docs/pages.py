"""Pages of the documentation as programs: their files, their commands, and what these print."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from optiprov.cli.main import cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 120


def blocks(page):
    """The code blocks of a page: (language, what follows it on the line, text)."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def run_page(page, directory, environment, *, in_process=False):
    """Do what a reader of a page does, in an empty directory, and return what the commands printed.

    A block with `title=PATH` is a file; `sh` and `python` are run in turn and must succeed; `text output` is
    what the one before printed. Other languages (`shell`, `yaml`, `text`) are for reading only.

    With `in_process`, commands of optiprov run in this process: a second less for each.
    """
    environment = {**environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    outputs = []
    for language, info, text in blocks(page):
        if info.startswith("title="):
            path = directory / info.removeprefix("title=")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif info == "output":
            assert _lines(outputs[-1]) == _lines(text), page
        elif language in ("sh", "python"):
            if in_process and text.startswith("optiprov "):
                with contextlib.chdir(directory):
                    outputs.append(invoke(text, environment))
                continue
            command = ["bash", "-ec", text] if language == "sh" else [sys.executable, "-c", text]
            outputs.append(_output(command, directory, environment))
    return outputs


def _lines(text):
    return [line.rstrip() for line in text.rstrip().splitlines()]


def invoke(command, environment):
    """Run one command of optiprov in this process, and return what it printed."""
    result = CliRunner().invoke(cli, shlex.split(command)[1:], env=environment, catch_exceptions=False)
    assert result.exit_code == 0, f"{command}\n{result.output}"
    return result.stdout


def _output(command, directory, environment):
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page):
    """The relative links of a page."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
