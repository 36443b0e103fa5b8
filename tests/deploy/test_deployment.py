import itertools
import threading
import time
from contextlib import nullcontext

import pytest
import yaml

from optiprov.deploy import Deployment, load_scenario
from optiprov.errors import DeploymentError, ScenarioError
from tests.waiting import PATIENCE_S, least_of, wait_until

from .conftest import LAYERS, SCENARIOS

SERVER = """\
- hosts: cloud
  launch:
    - name: server
      shell: echo up; exec sleep 300
      poll: 0
- hosts: edge
  launch:
    - name: client
      shell: {command}
"""
UNTIL_GO = "until test -e {{ scenario_dir }}/go; do sleep 0.02; done"


def runs(deployment):
    """Whether the stage launch goes on, or a process that it started lives, servers included."""
    launch = deployment._runs.launch
    return launch is not None and (launch.goes_on() or deployment._equipment.processes.running("launch"))


def output(deployment, host, name):
    """The standard output of a task, from its log."""
    return (deployment.directory / "logs" / host / f"{name}.out").read_text()


def test_scenario_runs_from_prepare_to_finalize(deploy):
    """Two hosts with their own /tmp/user-application.py talk over the allotted port."""
    deployment = deploy(scenario=SCENARIOS / "two_hosts")
    directory = deployment.prepare()
    deployment.launch({"kernel_size": 3}, timeout_s=PATIENCE_S)
    port = deployment.hosts[0].port
    assert deployment.spool_dirs() == [directory / "hosts" / host.id / "spool" for host in deployment.hosts]
    assert deployment.finalize() == directory
    answer = (directory / "fetched" / "edge.worker.1.1" / "results" / "answer.txt").read_text()
    assert answer == f"master of 127.0.0.1:{port} got a question of edge.worker.1.1\n"
    assert not (directory / "hosts").exists()
    assert (directory / "logs" / "edge.worker.1.1" / "launch-01-ask.out").exists()


def test_finalize_does_nothing_when_called_again(deploy):
    """Finalizing twice is allowed, also without any prepare."""
    deployment = deploy("- hosts: all\n  finalize:\n    - shell: echo x >> {{ scenario_dir }}/finalized\n")
    deployment.prepare()
    assert deployment.finalize() == deployment.finalize()
    assert (deployment.scenario.directory / "finalized").read_text() == "x\nx\n"
    unprepared = deploy()
    assert unprepared.finalize() == unprepared.directory
    assert not unprepared.directory.exists()


def test_validate_files_say_what_was_made_and_done(deploy):
    """layers_services-validate.yaml has hosts and urls; workflow-validate.out each play with its tasks."""
    deployment = deploy("- hosts: edge\n  launch:\n    - shell: echo {{ optimization_config.lr }}\n")
    deployment.prepare()
    deployment.launch({"lr": 0.5})
    layers = yaml.safe_load((deployment.directory / "layers_services-validate.yaml").read_text())["layers"]
    worker = layers[1]["services"][0]["hosts"][0]
    assert (worker["selector"], worker["_id"]) == ("edge.worker.1.1", "2_1_1")
    assert worker["url"] == f"127.0.0.1:{worker['port']}"
    (play,) = yaml.safe_load_all((deployment.directory / "workflow-validate.out").read_text())
    assert (play["stage"], play["hosts"]) == ("launch", ["edge.worker.1.1"])
    (task,) = play["tasks"]
    assert (task["shell"], task["outcome"], task["status"]) == ({"cmd": "echo 0.5"}, "done", 0)


def test_variables_reach_templates(deploy, write_scenario):
    """All documented variables can be used, with a set of workflow_env.yaml chosen by app_conf."""
    scenario = write_scenario(
        "- hosts: edge\n"
        "  depends_on: [{service_selector: cloud, prefix: server}]\n"
        "  launch:\n"
        "    - shell: echo {{ [working_dir, scenario_dir, artifacts_dir, app_conf, env_size] | join(' ') }}\n"
        "             {{ current_repeat }} {{ server.__address__ }} {{ server.url }}\n"
        "             {{ _self._id }} {{ _self.gpu }}\n",
        "environment: {local: }\nlayers:\n- {name: cloud, services: [{name: M}]}\n"
        "- {name: edge, services: [{name: W, gpu: none}]}\n",
        workflow_env="small: {size: 10}\n",
    )
    deployment = deploy(scenario=scenario, variables={"app_conf": "small", "current_repeat": 4})
    deployment.prepare()
    deployment.launch()
    host = deployment.hosts[1]
    server = f"127.0.0.1 127.0.0.1:{deployment.hosts[0].port}"
    expected = f"{host.working_dir} {scenario} {scenario} small 10 4 {server} 2_1_1 none"
    assert output(deployment, host.id, "launch-01-shell").strip() == expected


def test_services_on_one_machine_are_all_kept(deploy, write_scenario):
    """Each service and each copy that names it has a host of its own, with a port; they match by address."""
    layers = (
        "environment: {g5k: {cluster: gros}}\nlayers:\n- name: cloud\n  services:\n"
        "  - {name: Server, servers: [gros-1], repeat: 1}\n  - {name: Database, servers: [gros-1]}\n"
    )
    workflow = (
        "- hosts: cloud.server\n  depends_on:\n"
        "    - {service_selector: cloud.database, grouping: address_match, prefix: near}\n"
        "  launch:\n    - shell: echo {{ near._id }} {{ near.url }}\n"
    )
    deployment = deploy(scenario=write_scenario(workflow, layers, providers="local: [g5k]\n"))
    deployment.prepare()
    deployment.launch()
    hosts = {host.id: host for host in deployment.hosts}
    assert list(hosts) == ["cloud.server.1.1", "cloud.database.2.1", "cloud.server.3.1"]
    assert len({host.port for host in hosts.values()}) == 3
    near = f"1_2_1 127.0.0.1:{hosts['cloud.database.2.1'].port}\n"
    for host in ("cloud.server.1.1", "cloud.server.3.1"):
        assert (deployment.directory / "logs" / host / "launch-01-shell.out").read_text() == near


def test_unknown_app_conf_is_refused(write_scenario, tmp_path):
    """An app_conf that workflow_env.yaml does not have is an error of the input."""
    scenario = load_scenario(write_scenario(workflow_env="small: {}\n"))
    with pytest.raises(ScenarioError, match=r"workflow_env.yaml:1: has no set 'big'. There are: small"):
        Deployment(scenario, tmp_path / "d", variables={"app_conf": "big"})


def test_undefined_variable_is_told_with_its_place(deploy):
    """File, line, task, host and variable are told, and the variables that there are."""
    deployment = deploy(
        "- hosts: edge\n  launch:\n    - name: say\n      shell: echo {{ optimization_config.lr }}\n"
    )
    deployment.prepare()
    with pytest.raises(DeploymentError) as caught:
        deployment.launch({"momentum": 1})
    message = str(caught.value)
    assert "workflow.yaml:3: task 'say' of stage launch failed on host edge.worker.1.1:" in message
    assert "key 'lr' is not in the mapping; there are: momentum" in message


def test_environment_reaches_processes_in_order(deploy):
    """Deployment, then service (templates allowed), then task; the later one wins."""
    layers = (
        "environment: {local: }\nlayers:\n- name: edge\n  services:\n"
        "  - {name: W, env: {B: service, C: service, URL: '{{ _self.url }}'}}\n"
    )
    workflow = "- hosts: all\n  launch:\n    - shell: echo $A $B $C $URL\n      environment: {C: task}\n"
    deployment = deploy(workflow, layers, environment={"A": "all", "B": "all", "C": "all"})
    deployment.prepare()
    deployment.launch()
    expected = f"all service task 127.0.0.1:{deployment.hosts[0].port}\n"
    assert output(deployment, "edge.w.1.1", "launch-01-shell") == expected


def test_failed_task_tells_host_command_status_and_stderr(deploy):
    """The message has all that is needed to see what went wrong, and at most 20 lines of stderr."""
    command = "for i in $(seq 30); do echo line $i >&2; done; exit 3"
    deployment = deploy(f"- hosts: cloud\n  prepare:\n    - name: train it\n      shell: {command}\n")
    with pytest.raises(DeploymentError) as caught:
        deployment.prepare()
    message = str(caught.value)
    assert "workflow.yaml:3: task 'train it' of stage prepare failed on host cloud.master.1.1" in message
    assert f"with exit status 3.\n  command: {command}\n" in message
    assert "prepare-01-train-it.err" in message
    with pytest.raises(DeploymentError, match=r"workflow.yaml:3: task 'shell' of stage prepare failed on"):
        deploy("- hosts: cloud\n  prepare:\n    - shell: exit 3\n").prepare()
    assert "line 30" in message
    assert "line 11" in message
    assert "line 10\n" not in message


@pytest.mark.parametrize("stage", ["prepare", "launch", "finalize"])
def test_other_hosts_go_on_when_one_fails(deploy, stage):
    """As in Ansible, a failed task stops its host for the rest of the stage, the others go on."""
    workflow = (
        f"- hosts: all\n  {stage}:\n"
        "    - shell: test {{ _self.layer_id }} = 2\n"
        "    - {name: second, shell: echo done}\n"
        f"- hosts: all\n  {stage}:\n    - {{name: third, shell: echo done}}\n"
        f"- hosts: cloud\n  {stage}:\n    - {{name: fourth, shell: echo}}\n"
        f"- hosts: edge\n  {stage}:\n    - {{name: fifth, shell: echo done}}\n"
    )
    deployment = deploy(workflow)
    message = r"workflow.yaml:3: task 'shell' .* failed on host cloud\.master"
    for step in (deployment.prepare, deployment.launch, deployment.finalize):
        with pytest.raises(DeploymentError, match=message) if step.__name__ == stage else nullcontext():
            step()
    logs = deployment.directory / "logs"
    assert {path.name for path in logs.glob("cloud*/*.out")} == {f"{stage}-01-shell.out"}
    assert {path.name for path in logs.glob("edge*/*.out")} == {
        f"{stage}-{name}.out" for name in ("01-shell", "02-second", "03-third", "04-fifth")
    }


def test_stage_ends_when_a_play_has_lost_all_of_its_hosts(deploy):
    """As in Ansible, no further play begins then; the message has all hosts that failed."""
    workflow = (
        "- hosts: all\n  prepare:\n    - shell: exit 3\n"
        "- hosts: all\n  prepare:\n    - {name: never, shell: echo}\n"
    )
    deployment = deploy(workflow)
    with pytest.raises(DeploymentError, match=r"(?s)exit status 3.*Failed as well:\n.*exit status 3"):
        deployment.prepare()
    assert not list(deployment.directory.glob("logs/*/prepare-*-never.out"))


def test_missing_program_and_file_are_told(deploy, caplog):
    """A command that is not there ends with 127; a source that is not there names where it was sought."""
    deployment = deploy("- hosts: cloud\n  launch:\n    - command: no-such-program -x\n")
    deployment.prepare()
    with pytest.raises(DeploymentError, match="status 127"):
        deployment.launch()
    deployment = deploy("- hosts: cloud\n  prepare:\n    - copy: {src: \"{{ 'nowhere' }}\", dest: x}\n")
    with pytest.raises(DeploymentError, match="src 'nowhere' is not there; looked in") as caught:
        deployment.prepare()
    assert caplog.messages[-1] == f"{caught.value}. The other hosts go on."


def test_launch_returns_when_foreground_has_ended_with_a_server_in_background(deploy):
    """A background task without a limit does not keep launch; it runs until the end, which is no failure."""
    deployment = deploy(SERVER.format(command="echo asked"))
    deployment.prepare()
    deployment.launch()
    assert deployment.wait(0)
    assert runs(deployment)
    assert deployment.wait()
    deployment.finalize()
    assert not runs(deployment)


def test_launch_waits_for_background_task_with_a_limit(deploy):
    """A background task with `async` is waited for, and ended at its limit without being a failure."""
    workflow = (
        "- hosts: cloud\n  launch:\n    - shell: sleep 0.2; echo done\n      async: 60\n      poll: 0\n"
        "- hosts: edge\n  launch:\n    - shell: sleep 300\n      async: 1\n      poll: 0\n"
    )
    deployment = deploy(workflow)
    deployment.prepare()
    started = time.monotonic()
    deployment.launch()
    assert 1 <= time.monotonic() - started < PATIENCE_S
    assert output(deployment, "cloud.master.1.1", "launch-01-shell") == "done\n"
    assert "ended at its limit" in (deployment.directory / "workflow-validate.out").read_text()
    assert not runs(deployment)


def test_foreground_task_fails_at_its_limit(deploy):
    """`async` without `poll: 0` is a time limit of a foreground task, as in Ansible."""
    deployment = deploy("- hosts: edge\n  launch:\n    - shell: sleep 300\n      async: 1\n")
    deployment.prepare()
    with pytest.raises(DeploymentError, match=r"not done within its limit of 1 s \(async\)"):
        deployment.launch()


def test_application_is_stopped_when_background_task_fails(deploy):
    """A server that crashes ends a launch that fails fast; its failure is told, not that of its client."""
    workflow = SERVER.format(command="sleep 300").replace("exec sleep 300", "echo broken >&2; exit 4")
    deployment = deploy(workflow)
    deployment.prepare()
    started = time.monotonic()
    with pytest.raises(
        DeploymentError, match=r"task 'server' of stage launch failed(.|\n)*exit status 4(.|\n)*broken"
    ):
        deployment.launch(fails_fast=True)
    assert time.monotonic() - started < PATIENCE_S
    assert not runs(deployment)


def test_stop_ends_the_application_when_launch_did_not_wait(deploy):
    """wait=False returns while it runs; stop(), from any thread, ends everything, which is no failure."""
    deployment = deploy(SERVER.format(command="(setsid sleep 300 &); sleep 300"))
    deployment.prepare()
    started = time.monotonic()
    deployment.launch(wait=False)
    assert time.monotonic() - started < PATIENCE_S
    assert runs(deployment)
    assert not deployment.wait(0.3)
    stopper = threading.Thread(target=deployment.stop)
    stopper.start()
    assert deployment.wait(PATIENCE_S)
    stopper.join()
    assert not runs(deployment)
    deployment.stop()
    assert deployment.has_ended()
    assert "stopped" in (deployment.directory / "workflow-validate.out").read_text()


def test_stop_is_final_when_a_launch_is_about_to_begin(deploy):
    """A launch, or a prepare, that comes after stop() starts nothing; finalize still runs."""
    deployment = deploy(SERVER.format(command="echo") + "  finalize:\n    - shell: echo final\n")
    deployment.prepare()
    deployment.stop()
    with pytest.raises(DeploymentError, match="was stopped"):
        deployment.launch(wait=False)
    assert not runs(deployment)
    deployment.finalize()
    assert output(deployment, "edge.worker.1.1", "finalize-01-shell") == "final\n"
    unprepared = deploy()
    unprepared.stop()
    with pytest.raises(DeploymentError, match="was stopped"):
        unprepared.prepare()
    assert not unprepared.directory.exists()


def test_stop_leaves_the_stage_finalize_alone_when_that_has_begun(deploy):
    """What collects results is not ended by a stop() from another thread, which comes too late."""
    deployment = deploy("- hosts: edge\n  finalize:\n    - shell: echo begun; sleep 0.3; echo done\n")
    deployment.prepare()
    finalizing = threading.Thread(target=deployment.finalize)
    finalizing.start()
    log = deployment.directory / "logs" / "edge.worker.1.1" / "finalize-01-shell.out"
    wait_until(lambda: log.exists() and log.read_text())
    deployment.stop()
    finalizing.join()
    assert log.read_text() == "begun\ndone\n"


SERVERS_ONLY = """\
- hosts: cloud
  launch:
    - copy: {{content: x, dest: x}}
    - shell: {command}
      poll: 0
"""


def test_application_has_ended_when_finite_tasks_have_beside_a_server(deploy):
    """A server that lives on does not keep an application from having ended."""
    deployment = deploy(SERVER.format(command=UNTIL_GO))
    deployment.prepare()
    assert deployment.has_ended()
    deployment.launch(wait=False)
    assert not deployment.has_ended()
    (deployment.scenario.directory / "go").touch()
    assert deployment.wait(PATIENCE_S)
    assert deployment.has_ended()
    assert runs(deployment)


def test_application_of_servers_alone_has_ended_when_they_have(deploy):
    """Where nothing but background tasks without a limit run, their end is the application's."""
    deployment = deploy(SERVERS_ONLY.format(command=UNTIL_GO))
    deployment.prepare()
    deployment.launch()
    assert deployment.wait(0)
    assert not deployment.has_ended()
    (deployment.scenario.directory / "go").touch()
    wait_until(deployment.has_ended)
    assert not runs(deployment)


@pytest.mark.parametrize("command", ["sleep 300", "echo"], ids=["cut short", "done before"])
def test_duration_holds_when_launch_did_not_wait(deploy, command):
    """With wait=False the launch and the application have ended after duration_s too."""
    deployment = deploy(SERVER.format(command=command))
    deployment.prepare()
    started = time.monotonic()
    deployment.launch(wait=False, duration_s=0.4)
    has_ended = deployment.wait(0.05) or deployment.has_ended()
    assert not has_ended or time.monotonic() - started >= 0.4
    assert deployment.wait()
    assert 0.4 <= time.monotonic() - started < PATIENCE_S
    assert deployment.has_ended()
    assert runs(deployment)


def test_launch_has_ended_before_its_duration_when_no_process_runs(deploy):
    """duration_s is the longest that a launch lasts, with and without waiting for it."""
    deployment = deploy(SERVERS_ONLY.format(command="sleep 0.2"))
    deployment.prepare()
    for wait in (True, False):
        started = time.monotonic()
        deployment.launch(wait=wait, duration_s=60)
        assert deployment.wait()
        assert 0.2 <= time.monotonic() - started < 60
        assert deployment.has_ended()


def test_launch_is_refused_when_the_stage_outlasts_its_duration(deploy):
    """What a launch left running in the foreground is stopped before there can be another one."""
    deployment = deploy(SERVER.format(command="sleep 300"))
    deployment.prepare()
    deployment.launch(duration_s=0.1)
    with pytest.raises(DeploymentError, match="still runs"):
        deployment.launch()


def test_launch_fails_when_its_record_cannot_be_written(deploy):
    """What goes wrong beside a task, such as a full disk, fails the stage as well."""
    deployment = deploy("- hosts: edge\n  launch:\n    - shell: echo\n")
    deployment.prepare()
    (deployment.directory / "workflow-validate.out").mkdir()
    with pytest.raises(
        DeploymentError, match=r"workflow.yaml:1: this play failed in stage launch: IsADirectoryError"
    ):
        deployment.launch()
    assert deployment.has_ended()


def test_launch_fails_when_the_record_of_a_background_task_cannot_be_written(deploy):
    """The end of a background task can fail the stage too."""
    deployment = deploy(
        "- hosts: edge\n  launch:\n    - {shell: sleep 0.5, async: 60, poll: 0}\n    - {shell: sleep 300}\n"
    )
    record = deployment.directory / "workflow-validate.out"
    deployment.prepare()
    record.mkdir()
    deployment.launch(wait=False)
    with pytest.raises(DeploymentError, match="in stage launch: IsADirectoryError"):
        deployment.wait(PATIENCE_S)


def test_wait_raises_when_a_task_fails_in_the_background(deploy):
    """Failures of a launch that was not waited for come out of wait()."""
    deployment = deploy(SERVER.format(command="sleep 0.1; exit 5"))
    deployment.prepare()
    deployment.launch(wait=False)
    with pytest.raises(DeploymentError, match="exit status 5"):
        deployment.wait(PATIENCE_S)


def test_stop_kills_what_ignores_term(deploy):
    """After a grace of 3 s comes KILL."""
    deployment = deploy(SERVER.format(command="trap '' TERM; echo ready; while :; do sleep 1; done"))
    deployment.prepare()
    deployment.launch(wait=False)
    log = deployment.directory / "logs" / "edge.worker.1.1" / "launch-01-client.out"
    wait_until(lambda: log.exists() and log.read_text())
    started = time.monotonic()
    deployment.stop()
    assert time.monotonic() - started > 2.9
    assert not runs(deployment)


def test_launch_fails_when_time_runs_out(deploy):
    """timeout_s ends the application and is a failure, which tells what was waited for."""
    deployment = deploy(SERVER.format(command="sleep 300"))
    deployment.prepare()
    still = r"launch stage did not end in 0.3 s .* ran: task 'client' on host edge.worker.1.1\."
    with pytest.raises(DeploymentError, match=still):
        deployment.launch(timeout_s=0.3)
    assert not runs(deployment)


def test_launch_lasts_for_the_duration_when_given(deploy):
    """duration_s lets servers run for a while, and cuts waiting for a foreground task."""
    deployment = deploy(SERVER.format(command="echo"))
    deployment.prepare()
    started = time.monotonic()
    deployment.launch(duration_s=0.4)
    assert 0.4 <= time.monotonic() - started < PATIENCE_S
    assert runs(deployment)


def test_stages_are_refused_when_out_of_order(deploy):
    """launch() needs prepare(), and a directory takes one deployment."""
    deployment = deploy()
    with pytest.raises(DeploymentError, match=r"comes after prepare\(\)"):
        deployment.launch()
    deployment.prepare()
    with pytest.raises(DeploymentError, match="holds a deployment already"):
        deploy(directory=deployment.directory).prepare()


def test_first_failure_is_told_when_finalize_fails_too(deploy):
    """After a failed launch a fetch of what was never written does not hide the reason."""
    workflow = (
        "- hosts: edge\n  launch:\n    - shell: exit 1\n  finalize:\n    - fetch: src=result dest=result\n"
    )
    deployment = deploy(workflow)
    deployment.prepare()
    with pytest.raises(DeploymentError, match="exit status 1"):
        deployment.launch()
    deployment.finalize()
    assert "result is not on host" in (deployment.directory / "workflow-validate.out").read_text()


def test_finalize_cleans_up_when_its_own_task_fails(deploy):
    """A failure in finalize is told after everything was undone."""
    deployment = deploy("- hosts: edge\n  finalize:\n    - fetch: src=result dest=result\n")
    deployment.prepare()
    with pytest.raises(DeploymentError, match="result is not on host"):
        deployment.finalize()
    assert not (deployment.directory / "hosts").exists()


def test_files_are_taken_from_working_dir_as_e2clab_users_write_it(deploy, write_scenario):
    """`{{ working_dir }}/file` is a file of the artifacts to what takes files from there."""
    scenario = write_scenario(
        "- hosts: edge\n  prepare:\n"
        "    - copy: {src: '{{ working_dir }}/data/a.csv', dest: /tmp/a.csv}\n"
        "    - template: {src: '{{ working_dir }}/b.j2', dest: /tmp/}\n"
        '    - shell: test "$(cat /tmp/a.csv /tmp/b)" = 12\n'
    )
    (scenario / "artifacts" / "data").mkdir(parents=True)
    (scenario / "artifacts" / "data" / "a.csv").write_text("1")
    (scenario / "artifacts" / "b.j2").write_text("{{ current_repeat + 1 }}")
    deploy(scenario=scenario).prepare()


def test_fetch_puts_files_below_fetched_when_dest_is_in_the_working_dir(deploy, tmp_path):
    """E2Clab's `dest: {{ working_dir }}/..` lands below fetched/; an absolute one gets host and path."""
    workflow = (
        "- hosts: edge\n  finalize:\n"
        "    - shell: echo 1 > a.csv; mkdir -p /tmp/d; echo 2 > /tmp/d/b.csv\n"
        "    - fetch: {src: a.csv, dest: '{{ working_dir }}/out/'}\n"
        f"    - fetch: {{src: /tmp/d, dest: {tmp_path}/all}}\n"
        f"    - fetch: {{src: /tmp/d/b.csv, dest: {tmp_path}/flat.csv, flat: yes}}\n"
        "    - fetch: {src: nothing, dest: x, fail_on_missing: no}\n"
    )
    deployment = deploy(workflow)
    deployment.prepare()
    deployment.finalize()
    assert (deployment.directory / "fetched" / "edge.worker.1.1" / "out" / "a.csv").read_text() == "1\n"
    assert (tmp_path / "all" / "edge.worker.1.1" / "tmp" / "d" / "b.csv").read_text() == "2\n"
    assert (tmp_path / "flat.csv").read_text() == "2\n"


def test_fetch_is_refused_when_dest_leads_out_of_fetched(deploy):
    """A relative destination stays below the host's folder; the check in advance knows no templates."""
    fetch = (
        "- hosts: edge\n  finalize:\n    - shell: echo 1 > a\n    - fetch:\n        src: a\n        dest: "
    )
    with pytest.raises(
        ScenarioError, match=r"workflow.yaml:4: finalize.fetch: dest 'x/../../y' leads out of"
    ):
        deploy(f"{fetch}x/../../y\n")
    deploy(f"{fetch}x/../y\n")
    deployment = deploy(f"{fetch}'{{{{ working_dir }}}}/../../../stolen'\n")
    deployment.prepare()
    with pytest.raises(
        DeploymentError, match=r"workflow.yaml:4: task 'fetch'.* leads out of the host's folder"
    ):
        deployment.finalize()
    assert not list(deployment.directory.parent.rglob("stolen"))


def test_trial_of_trivial_tasks_costs_little(deploy):
    """Two hosts, three stages of a trivial task each: far below the time that any training takes."""
    workflow = "".join(
        f"- hosts: all\n  {stage}:\n    - shell: 'true'\n" for stage in ("prepare", "launch", "finalize")
    )
    deploy(workflow).prepare()

    def deploy_once():
        started = time.perf_counter()
        deployment = deploy(workflow)
        deployment.prepare()
        deployment.launch()
        deployment.finalize()
        return time.perf_counter() - started

    assert least_of(deploy_once, 0.5) < 0.5, "150 ms on an idle machine; the bound leaves room for a busy one"


@pytest.mark.parametrize("testbed", ["local", "static"])
def test_checkpoints_go_from_the_hosts_of_one_deployment_to_those_of_the_next(
    request, deploy, tmp_path, testbed
):
    """Each host finds what it has left, and no other's; without a place for them there is no variable."""
    play = (
        "- hosts: all\n  launch:\n"
        '    - shell: echo {{ _self._id }} >> "$OPTIPROV_CHECKPOINT_DIR/launches";'
        ' mkdir -p "$OPTIPROV_CHECKPOINT_DIR/model"\n'
    )
    layers = LAYERS if testbed == "local" else request.getfixturevalue("static_layers")()
    places = [tmp_path / "nothing yet", tmp_path / "first", tmp_path / "second"]
    for place, target in itertools.pairwise(places):
        deployment = deploy(play, layers, checkpoints=place)
        deployment.prepare()
        deployment.launch(timeout_s=PATIENCE_S)
        deployment.stop()
        deployment.fetch_checkpoints(target)
        deployment.finalize()
        assert not any(deployment.directory.glob("hosts/*/checkpoint"))
    ids = [host.id for host in deployment.hosts]
    assert sorted(path.name for path in places[2].iterdir()) == sorted(ids)
    once = [(places[1] / one / "launches").read_text() for one in ids]
    assert len(set(once)) == len(ids)
    assert [(places[2] / one / "launches").read_text() for one in ids] == [2 * text for text in once]
    assert all((places[2] / one / "model").is_dir() for one in ids)
    plain = deploy('- hosts: all\n  launch:\n    - shell: test -z "$OPTIPROV_CHECKPOINT_DIR"\n', layers)
    plain.prepare()
    plain.launch(timeout_s=PATIENCE_S)
    plain.finalize()
