import pytest
import yaml

from optiprov.errors import DeploymentError


def records(deployment):
    """What workflow-validate.out has of tasks, in the order of their ends."""
    plays = yaml.safe_load_all((deployment.directory / "workflow-validate.out").read_text())
    return [task for play in plays for task in play["tasks"]]


def test_secrets_are_nowhere_when_a_task_has_no_log(deploy):
    """Neither arguments nor output are written down, also when it fails; what it registers can be used."""
    workflow = (
        "- hosts: edge\n  prepare:\n"
        "    - {shell: echo topsecret1, no_log: true, register: it}\n"
        "    - {shell: 'test {{ it.stdout | length }} = 10'}\n"
        "    - {debug: {msg: topsecret2}, no_log: true}\n"
        "    - {shell: echo topsecret3; exit 3, no_log: true}\n"
    )
    deployment = deploy(workflow)
    with pytest.raises(DeploymentError, match="exit status 3") as caught:
        deployment.prepare()
    assert "topsecret" not in str(caught.value)
    written = [path for path in deployment.directory.rglob("*") if path.is_file()]
    assert not [path for path in written if "topsecret" in path.read_text(errors="replace")]


def test_log_of_a_host_has_all_tasks(deploy):
    """One line each: start, duration, place, outcome, status."""
    workflow = (
        "- hosts: edge\n  prepare:\n"
        "    - {name: one, shell: exit 3, ignore_errors: true}\n"
        "    - {name: two, shell: echo, loop: [1, 2], when: item == 2}\n"
        '    - {name: three, debug: {msg: "hello\\nworld"}}\n'
    )
    deployment = deploy(workflow)
    deployment.prepare()
    log = (deployment.directory / "logs" / "edge.worker.1.1" / "prepare.log").read_text()
    lines = [line.split("  ", 2)[2] for line in log.splitlines()]
    assert lines == [
        "workflow.yaml:3  shell 'one'  failed, ignored, changed  exit status 3  prepare-01-one.out",
        "workflow.yaml:4  shell 'two'  item 1  skipped  not so: item == 2",
        "workflow.yaml:4  shell 'two'  item 2  done, changed  exit status 0  prepare-02-two.out",
        "workflow.yaml:5  debug 'three'  done  prepare-03-three.out  hello\\nworld",
    ]


def test_registered_results_last_for_the_stage(deploy):
    """Later plays, and other hosts by hostvars, have what a task registered; run_once gives it to all."""
    workflow = (
        "- hosts: all\n  prepare:\n"
        "    - {shell: 'echo {{ inventory_hostname }}', register: own}\n"
        "    - {shell: 'echo {{ inventory_hostname }}', register: first, run_once: true}\n"
        "- hosts: edge\n  vars: {other: cloud.master.1.1}\n  prepare:\n"
        "    - name: tell\n"
        "      shell: echo {{ own.stdout }} {{ first.stdout }} {{ hostvars[other].own.stdout }}\n"
    )
    deployment = deploy(workflow)
    deployment.prepare()
    (path,) = deployment.directory.glob("logs/edge*/prepare-*-tell.out")
    assert path.read_text() == "edge.worker.1.1 cloud.master.1.1 cloud.master.1.1\n"


def test_keywords_of_a_play_hold_for_its_tasks(deploy):
    """vars, environment, ignore_errors; become is read and changes nothing."""
    workflow = (
        "- hosts: edge\n  become: true\n  vars: {a: 1, b: '{{ a + 1 }}'}\n"
        "  environment: {A: play, B: '{{ b }}'}\n  ignore_errors: true\n  prepare:\n"
        "    - {name: tell, shell: echo $A $B $C; exit 1, become: true,\n"
        "       environment: {A: task, C: '{{ a }}'}}\n"
    )
    deployment = deploy(workflow)
    deployment.prepare()
    (path,) = deployment.directory.glob("logs/edge*/prepare-*-tell.out")
    assert path.read_text() == "task 2 1\n"


def test_template_includes_files_of_the_artifacts(deploy, write_scenario):
    """A template may include another one, and blocks leave no empty lines."""
    scenario = write_scenario(
        "- hosts: edge\n  prepare:\n    - template: src=a.j2 dest=a\n    - shell: cat a\n"
    )
    (scenario / "a.j2").write_text("{% include 'b.j2' %}:\n{% if true %}\nend\n{% endif %}\n")
    (scenario / "b.j2").write_text("{{ _self.host_id }}")
    deployment = deploy(scenario=scenario)
    deployment.prepare()
    (path,) = deployment.directory.glob("logs/edge*/prepare-*-shell.out")
    assert path.read_text() == "edge.worker.1.1:\nend\n"


def test_directories_are_copied_only_when_they_differ(deploy, write_scenario):
    """A directory that is there already is no change; files get the mode that is asked for."""
    task = "    - copy: src=folder/ dest=there mode=0600\n"
    scenario = write_scenario(
        f"- hosts: edge\n  prepare:\n{task}{task}    - shell: stat -c %a there/below/file\n"
    )
    (scenario / "folder" / "below").mkdir(parents=True)
    (scenario / "folder" / "below" / "file").write_text("x")
    deployment = deploy(scenario=scenario)
    deployment.prepare()
    assert [task["changed"] for task in records(deployment)][:2] == [True, False]
    (path,) = deployment.directory.glob("logs/edge*/prepare-*-shell.out")
    assert path.read_text() == "600\n"


def test_async_task_is_told_when_its_limit_ends_it(deploy, caplog):
    """It is no failure, and not silent."""
    deployment = deploy("- hosts: edge\n  launch:\n    - {shell: sleep 300, async: 1, poll: 0}\n")
    deployment.prepare()
    deployment.launch()
    assert "task 'shell' on host edge.worker.1.1 was ended at its limit" in caplog.text


def test_limit_may_be_a_template(deploy):
    """`async` takes a number, or a template that gives one."""
    workflow = (
        "- hosts: edge\n  launch:\n    - {shell: sleep 300, async: '{{ optimization_config.limit }}'}\n"
    )
    deployment = deploy(workflow)
    deployment.prepare()
    with pytest.raises(DeploymentError, match="not done within its limit of 1 s"):
        deployment.launch({"limit": 1})


def test_failure_in_the_background_is_told_while_the_launch_goes_on(deploy, caplog):
    """The other hosts go on, and the launch has failed in the end."""
    workflow = (
        "- hosts: cloud\n  launch:\n    - {name: server, shell: exit 4, poll: 0}\n"
        "- hosts: edge\n  launch:\n    - {name: client, shell: sleep 0.5}\n"
        "    - {name: last, shell: echo done}\n"
    )
    deployment = deploy(workflow)
    deployment.prepare()
    with pytest.raises(DeploymentError, match=r"(?s)task 'server' .*exit status 4"):
        deployment.launch()
    (path,) = deployment.directory.glob("logs/edge*/launch-*-last.out")
    assert path.read_text() == "done\n"
    assert "task 'server' of stage launch failed on host cloud.master.1.1" in caplog.text


def test_file_refuses_what_ansible_refuses(deploy):
    """A file where a directory is wanted is an error that names both."""
    workflow = (
        "- hosts: edge\n  prepare:\n    - copy: content=x dest=x\n    - file: {path: x, state: directory}\n"
    )
    with pytest.raises(DeploymentError, match=r"workflow.yaml:4: .*x is a file, not a directory"):
        deploy(workflow).prepare()


def test_links_are_those_of_the_host(deploy):
    """A link below /tmp is the host's own, and leads to where its processes see it lead."""
    workflow = (
        "- hosts: edge\n  prepare:\n    - copy: content=x dest=/tmp/x\n"
        "    - file: {src: /tmp/x, path: /tmp/l, state: link}\n"
        "    - file: {src: /tmp/x, path: h, state: hard}\n"
        "    - shell: cat /tmp/l h; stat -c %h h\n"
    )
    deployment = deploy(workflow)
    deployment.prepare()
    (path,) = deployment.directory.glob("logs/edge*/prepare-*-shell.out")
    assert path.read_text() == "xx2\n"
