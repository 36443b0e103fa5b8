"""`optiprov init`."""

from __future__ import annotations

from pathlib import Path

import click

from optiprov.errors import InputError

LAYERS_SERVICES = """\
# The hosts: each layer has services, each service as many hosts as its quantity.
environment:
  job_name: {name}
  walltime: "00:10:00"
  local: {{}}            # this machine
provenance: {{}}         # run a provenance service for the hosts with the role provenance
layers:
  - name: cloud
    services:
      - name: Master
  - name: edge
    services:
      - name: Worker
        quantity: 2
        roles: [provenance]
"""
NETWORK = """\
# What lies between the hosts, such as
# networks:
#   - {src: cloud, dst: edge, delay: 28ms, rate: 1gbit, loss: "0.1%"}
networks:
"""
WORKFLOW = """\
# What is done on the hosts, in three stages. The tasks are Ansible's.
- hosts: cloud.*
  prepare:
    - copy: {src: master.py, dest: master.py}
  launch:
    - shell: python3 master.py {{ _self.port }}
      poll: 0            # in the background, until the experiment is finalized

- hosts: edge.*
  depends_on:
    - {service_selector: cloud.*, grouping: round_robin, prefix: master}
  prepare:
    - copy: {src: worker.py, dest: worker.py}
  launch:
    - shell: python3 worker.py {{ master.url }} {{ env_rounds | default(3) }} > answers.txt
  finalize:
    - fetch: {src: answers.txt, dest: answers.txt}
"""
WORKFLOW_ENV = """\
# Sets of variables, env_rounds here: optiprov deploy ... --app-conf short,long
short: {rounds: 2}
long: {rounds: 20}
"""
MASTER = '''\
"""Answer each number with its square."""

import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(b"%d\\n" % int(line) ** 2)


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
'''
WORKER = '''\
"""Ask the master for squares, and record each question with its answer."""

import socket
import sys
import time

from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

host, port = sys.argv[1].split(":")
while True:  # the master starts at the same time
    try:
        link = socket.create_connection((host, int(port)))
        break
    except ConnectionRefusedError:
        time.sleep(0.1)

workflow = Workflow("squares")
workflow.begin()
answers = link.makefile()
for number in range(int(sys.argv[2])):
    task = Task(number, workflow, "ask")
    task.begin([Data("question", "squares", [], {"number": [number]})])
    link.sendall(b"%d\\n" % number)
    square = int(answers.readline())
    task.end([Data("answer", "squares", [], {"square": [square]})])
    print(number, square)
workflow.end()
'''


@click.command(
    epilog="""\b
Examples:
  optiprov init my_scenario && optiprov deploy my_scenario"""
)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=Path())
def command(directory: Path) -> None:
    """Write a scenario into DIRECTORY that runs at once: a master and two workers on this machine.

    DIRECTORY is by default the present one. Files that are there already are left alone: where there is one
    of the scenario's, nothing is written.
    """
    name = "".join(char if char.isalnum() or char in "-_" else "-" for char in directory.resolve().name)
    files = {
        "layers_services.yaml": LAYERS_SERVICES.format(name=name or "squares"),
        "network.yaml": NETWORK,
        "workflow.yaml": WORKFLOW,
        "workflow_env.yaml": WORKFLOW_ENV,
        "artifacts/master.py": MASTER,
        "artifacts/worker.py": WORKER,
    }
    if taken := [file for file in files if (directory / file).exists()]:
        raise InputError(f"{directory}: has {', '.join(taken)} already. Give a directory without them.")
    try:
        for file, text in files.items():
            path = directory / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{directory}: cannot be written: {error.strerror}. Give another one.") from error
    click.echo(f"{directory}: a scenario with {len(files)} files. Run it: optiprov deploy {directory}")
