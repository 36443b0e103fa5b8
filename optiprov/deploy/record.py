"""What a deployment writes down for its user: the hosts it made, and what became of each task."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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
        directory: The directory of the deployment, or that of a set of workflow_env.yaml in it.
        on_play: Called with the stage when a play of it has ended.
    """

    def __init__(self, directory: Path, on_play: Callable[[str], None] = lambda _stage: None) -> None:
        self._path = directory / WORKFLOW_VALIDATE
        self._on_play = on_play
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
        self._on_play(stage)


def write_layers_services(
    scenario: Scenario, variables: Variables, directory: Path, provenance: Mapping[str, str]
) -> None:
    """Write layers_services-validate.yaml: layers, services, and how their hosts are reached.

    Args:
        scenario: The scenario.
        variables: What templates know of its hosts.
        directory: The directory of the deployment.
        provenance: Where the scenario's provenance service is; empty without one.
    """
    layers: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for host, info in variables.selves():
        services = layers.setdefault(host.placement.layer, {})
        services.setdefault(host.placement.service, []).append(
            {
                "selector": host.id,
                "_id": info["_id"],
                "address": host.address,
                **({"address6": host.address6} if host.address6 else {}),
                "port": host.port,
                "url": info["url"],
                "testbed": host.placement.testbed,
                "roles": list(host.roles),
                "working_dir": host.working_dir,
                "metadata": info["metadata"],
            }
        )
    document: dict[str, Any] = {"job_name": scenario.job_name}
    if provenance:
        document["provenance"] = dict(provenance)
    document |= {
        "layers": [
            {"name": layer, "services": [{"name": name, "hosts": hosts} for name, hosts in services.items()]}
            for layer, services in layers.items()
        ],
    }
    path = directory / LAYERS_SERVICES_VALIDATE
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_text(_dump(document), encoding="utf-8")
    unfinished.replace(path)


def _dump(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
