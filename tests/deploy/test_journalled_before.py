"""What is made is in the journal before it is made: seen at the moment of making."""

import subprocess
from pathlib import Path

import pytest

from optiprov.deploy import Deployment, load_scenario, monitoring, scenario_service
from optiprov.deploy.journal import JOURNAL_NAME, Journal, read_journal


def test_hosts_are_journalled_before_their_directories(deploy, monkeypatch):
    """Each directory is made when its host has its line, in the journal of its deployment."""
    deployment = deploy()
    hosts = deployment.directory / "hosts"
    make, made = Path.mkdir, []

    def look_and_make(path, *given, **options):
        if hosts in path.parents:
            journalled = read_journal(deployment.directory / JOURNAL_NAME)
            made.append((path.relative_to(hosts).parts[0], journalled and {*journalled.hosts}))
        make(path, *given, **options)

    monkeypatch.setattr(Path, "mkdir", look_and_make)
    deployment.prepare()
    assert {host for host, _ in made} == {"cloud.master.1.1", "edge.worker.1.1"}
    assert [host for host, journalled in made if host not in journalled] == []


def test_marker_of_processes_is_journalled_before_they_start(deploy, monkeypatch):
    """By it they are ended where their own line, which has the process id, could not be written any more."""
    deployment = deploy("- hosts: all\n  launch:\n    - shell: echo\n")
    journal = deployment.directory / JOURNAL_NAME
    start, markers = subprocess.Popen.__init__, []

    def begin(process, *given, **options):
        found = read_journal(journal)
        markers.append((found and found.marker, "echo" in given[0]))
        start(process, *given, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", begin)
    deployment.prepare()
    deployment.launch()
    assert [marker for marker, is_task in markers if is_task] == [f"OPTIPROV_DEPLOYMENT={deployment.id}"] * 2


def test_service_and_monitor_are_journalled_before_they_start(tmp_path, write_scenario, monkeypatch):
    """Both are processes that outlive the command that started them."""
    layers = (
        "environment: {local: }\nprovenance: {}\nmonitoring: {type: dstat}\n"
        "layers:\n- {name: edge, services: [{name: W}]}\n"
    )
    scenario = load_scenario(write_scenario("- hosts: all\n  launch:\n    - shell: echo\n", layers))
    texts = {}

    class NotStarted(Exception):
        """Nothing needs to run: it is seen what would be started after what was written."""

    def stop(name, journal):
        texts[name] = journal.read_text()
        raise NotStarted

    own = Journal(tmp_path / "j")
    monkeypatch.setattr(scenario_service, "start_service", lambda *_, **__: stop("service", own.path))
    service = scenario_service.ScenarioService("of-a-test", tmp_path, scenario.provenance_service, own)
    with pytest.raises(NotStarted):
        service.ensure()
    assert '"event": "service"' in texts["service"]
    deployment = Deployment(scenario, tmp_path / "d", environment={"OPTIPROV_BROKER": "mqtt://127.0.0.1:1"})
    deployment.prepare()
    journal = deployment.directory / JOURNAL_NAME
    with monkeypatch.context() as patch:
        patch.setattr(monitoring.subprocess, "Popen", lambda *_, **__: stop("monitor", journal))
        with pytest.raises(NotStarted):
            deployment.launch()
    deployment.finalize()
    assert '"event": "monitor"' in texts["monitor"]
