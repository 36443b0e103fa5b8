"""Services of a scenario in trials: each has its own, which ends with it."""

import json

from optiprov.deploy.watchdog import find_processes
from optiprov.optimize.trial import Trial, TrialPlace

LAYERS = """\
environment: {job_name: services, local: {}}
layers:
- {name: cloud, services: [{name: Store}]}
- {name: edge, services: [{name: Client}]}
"""
STORE = """\
from optiprov import Service


class Store(Service):
    def deploy(self):
        (host,) = self.hosts
        self.write(str(host.port), "www/port.txt")
        self.start(["python3", "-m", "http.server", "--bind", host.address, str(host.port)], chdir="www")
        self.wait_for_port()
        self.register_service(extra=[{"path": "port.txt"}])
"""
WORKFLOW = """\
- hosts: edge
  depends_on: [{service_selector: cloud.store, prefix: store}]
  prepare:
    - copy: {src: client.py, dest: client.py}
  launch:
    - shell: python3 client.py http://{{ store.url }}/{{ store.path }} {{ optimization_config.weight }}
"""
CLIENT = """\
import sys, urllib.request
from optiprov import Data, Task, Workflow
port = int(urllib.request.urlopen(sys.argv[1]).read())
with Workflow("asking") as workflow:
    Task(1, workflow, "ask").end([Data("answer", "asking", [], {"port": port, "weight": float(sys.argv[2])})])
"""


def test_each_trial_has_services_of_its_own(shared_service, tmp_path):
    """Deployed with its hosts, reached by its application, gone when it is finalized."""
    scenario = tmp_path / "scenario"
    (scenario / "artifacts").mkdir(parents=True)
    for name, text in {
        "layers_services.yaml": LAYERS,
        "workflow.yaml": WORKFLOW,
        "artifacts/Store.py": STORE,
        "artifacts/client.py": CLIENT,
    }.items():
        (scenario / name).write_text(text)
    place = TrialPlace(
        *("services", None, "answer.weight", tmp_path / "study", scenario, None),
        *(shared_service.http, shared_service.mqtt, None, 1, 0.0),
    )
    trials = [Trial(f"services-{number}", number, {"weight": 2.5}, place) for number in ("001", "002")]
    try:
        for trial in trials:
            trial.prepare()
        ports = []
        for trial in trials:
            trial.launch({"weight": 2.5}, wait=True)
            (service,) = json.loads((trial.directory / "services.json").read_text())["services"]
            ports.append(trial.metric("answer.port", "last"))
            assert service["registrations"][0]["port"] == ports[-1]
            assert trial.metric("answer.weight", "last") == 2.5
        assert ports[0] != ports[1]
        assert all(_of(trial) for trial in trials)
        trials[0].finalize()
        assert not _of(trials[0])
        assert _of(trials[1])
    finally:
        for trial in trials:
            trial.close()
    assert not any(_of(trial) for trial in trials)


def _of(trial):
    """The processes of a trial that run."""
    return find_processes((f"OPTIPROV_DEPLOYMENT={trial._deployment.id}",), set())
