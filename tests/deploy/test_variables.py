from optiprov.deploy.variable_names import RESERVED, SELF_KEYS
from optiprov.deploy.variables import Variables, describe


def test_reserved_names_are_the_variables_that_there_are(deploy):
    """What a scenario may not hide is what templates get: `_self`'s keys, and the variables of a task."""
    deployment = deploy("- hosts: edge\n  launch:\n    - shell: echo\n")
    deployment.prepare()
    host = deployment.hosts[0]
    host.address6, host.gateway = "::1", "127.0.0.1"
    assert set(describe(host)) == SELF_KEYS
    variables = Variables(deployment.scenario, deployment.hosts, {})
    ((_, of_play),) = variables.of_play(deployment.scenario.plays[0], {})
    assert {*of_play, "app_conf"} == RESERVED
