"""An application that ends well or badly, as its first argument says."""

import os
import signal
import sys
import time
from pathlib import Path

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
state = Path(os.environ["OPTIPROV_CHECKPOINT_DIR"]) / "steps" if mode == "resuming" else None
done = int(state.read_text()) if state is not None and state.exists() else 0
asked_to_end = []
if state is not None:
    signal.signal(signal.SIGTERM, lambda *_: asked_to_end.append(True))
for step in range(done, steps):
    progress = Task(f"step-{step}", workflow, "step", [1])
    progress.begin([])
    progress.end([Data("step_output", "modes", [], {"step": [step], "score": [float(level + step)]})])
    if state is not None:
        state.with_name("new").write_text(str(step + 1))
        state.with_name("new").replace(state)
        if step == 0 and level < 3:  # it is paused after its first step, however busy the machine is
            deadline = time.monotonic() + 120
            while not asked_to_end and time.monotonic() < deadline:
                time.sleep(0.01)
        if asked_to_end:
            sys.exit(0)
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
