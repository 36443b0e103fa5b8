"""An application that ends well or badly, as its first argument says."""

import os
import sys
import time

from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

mode, level = sys.argv[1], int(sys.argv[2])
workflow = Workflow("modes")
workflow.begin()
task = Task(1, workflow, "work", [])
task.begin([Data("work_input", "modes", [], {"mode": [mode], "level": [level]})])
print("begun", flush=True)
steps = {"endless": 10_000, "dies": 10_000}.get(mode, 5)
for step in range(steps):
    progress = Task(f"step-{step}", workflow, "step", [1])
    progress.begin([])
    progress.end([Data("step_output", "modes", [], {"step": [step], "score": [float(level + step)]})])
    time.sleep(0.05)
if mode == "crash":
    sys.stderr.write("the sensor is on fire\n")
    sys.exit(3)
if mode == "killed":
    os.kill(os.getpid(), 9)
values = {"nan": float("nan"), "infinite": float("inf"), "text": "high"}
if mode != "silent":
    task.end([Data("work_output", "modes", [], {"score": [values.get(mode, float(level))]})])
workflow.end()
