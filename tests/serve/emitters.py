"""Programs that emit provenance, for tests that run them as processes."""

EMIT = """
import sys, time
from optiprov import Data, Task, Workflow
name, tasks, pause_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
workflow = Workflow("flow")
workflow.begin()
for number in range(tasks):
    task = Task(number, workflow, "step")
    task.begin([Data("step_input", "flow", [], {"program": [name], "number": [number]})])
    task.end([Data("step_output", "flow", [], {"program": [name], "number": [number]})])
    time.sleep(pause_s)
workflow.end()
print("ended", flush=True)
"""
"""Emits tasks under a name: arguments are the name, how many, and the pause between two."""
