"""What a deployment writes down for its user: the hosts it made, and what became of each task."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from optiprov.deploy.results import TaskResult
    from optiprov.deploy.scenario import Scenario
    from optiprov.deploy.variables import Variables
    from optiprov.deploy.workflow import Play

LAYERS_SERVICES_VALIDATE = "layers_services-validate.yaml"
WORKFLOW_VALIDATE = "workflow-validate.out"

_Dumper: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class WorkflowRecord:
    """The file workflow-validate.out: a YAML document for each play of each stage.

    Args:
        directory: The directory of the deployment.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / WORKFLOW_VALIDATE
        self._lock = threading.Lock()

    def write_play(self, stage: str, play: Play, results: Sequence[TaskResult]) -> None:
        """Write what a play did in a stage, or how background tasks of it ended."""
        hosts = list(dict.fromkeys(result.host for result in results))
        document: dict[str, Any] = {"stage": stage, "play": {"hosts": play.hosts, "line": play.line}}
        document["hosts"] = hosts
        document["tasks"] = [result.as_record() for result in results]
        text = _dump(document)
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(f"---\n{text}")


def write_layers_services(scenario: Scenario, variables: Variables, directory: Path) -> None:
    """Write layers_services-validate.yaml: layers, services, and how their hosts are reached."""
    layers: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for host, info in variables.selves():
        services = layers.setdefault(host.placement.layer, {})
        services.setdefault(host.placement.service, []).append(
            {
                "selector": host.id,
                "_id": info["_id"],
                "address": host.address,
                "port": host.port,
                "url": info["url"],
                "testbed": host.placement.testbed,
                "roles": list(host.roles),
                "working_dir": host.working_dir,
                "metadata": info["metadata"],
            }
        )
    document = {
        "job_name": scenario.job_name,
        "layers": [
            {"name": layer, "services": [{"name": name, "hosts": hosts} for name, hosts in services.items()]}
            for layer, services in layers.items()
        ],
    }
    (directory / LAYERS_SERVICES_VALIDATE).write_text(_dump(document), encoding="utf-8")


def _dump(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
