"""A study whose trials run on machines that are reached by SSH: real sshd processes, real Ray."""

import json

import pytest
import yaml

from optiprov import connect
from tests.deploy.ssh_machines import SshMachines, require_machines
from tests.optimize.studies import StudyRun

pytestmark = pytest.mark.slow

OPTIMIZATION = """
from optiprov import Optimization

class Squares(Optimization):
    def run(self):
        space = self.search_space("space.yaml")
        return self.tune(space, metric="sum", mode="max", num_samples=2, max_concurrent=2)

    def run_objective(self, config):
        self.prepare()
        self.launch(optimization_config=config)
        self.report(sum=self.metric("cloud_output.square") + self.metric("edge_output.square"))
"""
SPACE = "name: squares\nparameters:\n  x: {type: randint, low: 2, high: 9}\n"
APPLICATION = """
import sys, time
from provlight.data import Data
from provlight.task import Task
from provlight.workflow import Workflow

side, value, lives = sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["lives"]
workflow = Workflow("squares")
workflow.begin()
task = Task(1, workflow, side)
task.begin([Data(f"{side}_input", "squares", [], {"x": [value]})])
task.end([Data(f"{side}_output", "squares", [], {"square": [value * value]})])
open("done", "w").close()
while lives:
    time.sleep(1)
workflow.end()
"""
WORKFLOW = """\
- hosts: all
  prepare:
    - copy: {src: application.py, dest: application.py}
- hosts: edge
  launch:
    - shell: exec python3 application.py edge {{ optimization_config.x }} lives
      poll: 0
    - shell: until test -e done; do sleep 0.1; done
- hosts: cloud
  launch:
    - shell: exec python3 application.py cloud {{ optimization_config.x }}
"""


def test_trials_on_two_ssh_hosts_get_their_metrics_behind_the_barrier(tmp_path):
    """Two trials at once, each with an application that ends and one that lives on; nothing is left."""
    require_machines()
    machines = SshMachines(tmp_path)
    pair = [machines.make(), machines.make()]
    scenario = tmp_path / "squares"
    (scenario / "artifacts").mkdir(parents=True)
    layers = [
        {"name": name, "services": [{"name": "Application", "roles": ["provenance"]}]}
        for name in ("cloud", "edge")
    ]
    content = {"environment": {"static": machines.testbed(*pair)}, "layers": layers}
    (scenario / "layers_services.yaml").write_text(yaml.safe_dump(content))
    (scenario / "workflow.yaml").write_text(WORKFLOW)
    (scenario / "artifacts" / "application.py").write_text(APPLICATION)
    (scenario / "space.yaml").write_text(SPACE)
    (scenario / "optimization.py").write_text(OPTIMIZATION)
    run = StudyRun(tmp_path / "run", scenario / "optimization.py")
    try:
        assert run.wait() == 0, run.text()
        trials = connect(run.store).trials("study")
        assert trials["status"].tolist() == ["finished", "finished"]
        for config, metrics in zip(trials["config"], trials["metrics"], strict=True):
            x = json.loads(config)["x"]
            squares = {"cloud_output.square": x * x, "edge_output.square": x * x}
            assert json.loads(metrics) == {**squares, "sum": 2 * x * x}
        statuses = connect(run.store).sql("SELECT status, count(*) AS n FROM prov.run GROUP BY status")
        assert dict(zip(statuses["status"], statuses["n"], strict=True)) == {"finished": 2, "stopped": 2}
        assert not any((machine.home / ".optiprov").exists() for machine in pair)
        assert not list(run.results.glob("trials/*/hosts"))
    finally:
        run.close()
        machines.remove()
