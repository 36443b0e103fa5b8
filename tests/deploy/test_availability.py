"""What cannot be had is refused with a way on, each key of it; what has no effect is told."""

import pytest

from optiprov.deploy import Experiment, check_scenario, load_scenario
from optiprov.deploy.providers import PROVIDERS
from optiprov.errors import MissingExtraError, ScenarioError

from .conftest import LAYERS

ONE = "layers:\n- {name: a, services: [{name: S}]}\n"
NETWORK = "networks:\n- {src: cloud, dst: edge, delay: 28ms}\n"
NO_NETWORK = "network.yaml:1: networks: rules have no effect between hosts of the testbed local, which share"


@pytest.mark.parametrize(
    ("content", "key", "way_on"),
    [
        (
            "environment: {chameleoncloud: {}}\n",
            "environment.chameleoncloud",
            "--provider local, or `local: [chameleoncloud]`",
        ),
        ("environment: {chameleonedge: {}}\n", "environment.chameleonedge", "--provider local"),
        ("environment: {scalewayinstances: {}}\n", "environment.scalewayinstances", "--provider local"),
        ("environment: {local: }\nprovenance: {provider: g5k}\n", "provenance.provider", "--provider local"),
        ("environment: {local: }\nprovenance: {cluster: x}\n", "provenance.cluster", "--provider local"),
        ("environment: {local: }\nprovenance: {servers: x}\n", "provenance.servers", "--provider local"),
        (
            "environment: {local: }\nmonitoring: {type: tig, provider: g5k, cluster: x}\n",
            "monitoring.type",
            "--without monitoring.",
        ),
        (
            "environment: {local: }\nmonitoring: {type: tpg, provider: g5k, cluster: x}\n",
            "monitoring.type",
            "--without monitoring.",
        ),
        ("environment: {local: }\nkwollect: {metrics: [all]}\n", "kwollect", "--without kwollect."),
        (
            "environment: {local: }\nmonitoring_iotlab: {profiles: [{name: p, archi: m3}]}\n",
            "monitoring_iotlab",
            "--without monitoring_iotlab.",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_with_a_way_on(content, key, way_on, write_scenario):
    """The way that the message names leads on: the scenario can be deployed with it."""
    directory = write_scenario(layers=content + ONE)
    (obstacle,) = load_scenario(directory).obstacles
    assert (obstacle.path.name, obstacle.key) == ("layers_services.yaml", key)
    assert obstacle.line == content.count("\n")
    assert way_on in obstacle.message
    with pytest.raises(ScenarioError, match=r"layers_services.yaml:\d+: "):
        Experiment.create(directory, None)
    assert not list(directory.glob("2*"))
    option, _, value = way_on.rstrip(".").partition(",")[0].partition(" ")
    if option == "--provider":
        scenario = load_scenario(directory, provider=value)
        assert {placement.testbed for placement in scenario.placements} == {"local"}
    else:
        scenario = load_scenario(directory).without([value])
    scenario.require_deployable()


@pytest.mark.parametrize(
    ("environment", "provider", "key"),
    [
        ("{static: }", None, "environment.static"),
        ("{static: {hosts: []}}", None, "environment.static"),
        ("{g5k: }", "static", "environment.g5k"),
    ],
)
def test_machines_that_nobody_names_are_refused(environment, provider, key, write_scenario):
    """Before an experiment is made; a service that names its own needs no others."""
    directory = write_scenario(layers=f"environment: {environment}\n{ONE}")
    (obstacle,) = load_scenario(directory, provider=provider).obstacles
    assert (obstacle.line, obstacle.key) == (1, key)
    assert obstacle.message.startswith("no machine is named for the host a.s.1.1. Name machines in")
    named = write_scenario(layers=f"environment: {environment}\n{ONE}".replace("S}", "S, servers: [one]}"))
    assert load_scenario(named, provider=provider).obstacles == ()


def test_service_on_a_testbed_of_the_hosts_is_refused_once(write_scenario):
    """With the hosts, which providers.yaml puts on this machine; the service follows them."""
    environment = "environment: {chameleoncloud: {cluster: c}}\n"
    layers = environment + "provenance: {provider: chameleoncloud, cluster: c}\n" + ONE
    directory = write_scenario(layers=layers)
    assert [obstacle.key for obstacle in load_scenario(directory).obstacles] == ["environment.chameleoncloud"]
    (directory / "providers.yaml").write_text("local: chameleoncloud\n")
    assert load_scenario(directory).obstacles == ()


@pytest.mark.parametrize("testbed", ["g5k", "iotlab"])
def test_service_on_machines_that_are_reserved_is_refused(testbed, write_scenario):
    """Its hosts can be had; the service runs on this machine, which the scenario may say."""
    layers = f"environment: {{{testbed}: {{cluster: c}}}}\nprovenance: {{provider: {testbed}}}\n" + ONE
    directory = write_scenario(layers=layers)
    (obstacle,) = load_scenario(directory).obstacles
    assert obstacle.key == "provenance.provider"
    assert "`provider: local`" in obstacle.message
    write_scenario(layers=layers.replace(f"provider: {testbed}", "provider: local"))
    assert load_scenario(directory).obstacles == ()


def test_testbed_without_its_extra_is_told_before_anything_is_made(write_scenario):
    """The error names the extra; checking needs none, nor does having the hosts on this machine."""
    directory = write_scenario(layers="environment: {g5k: {cluster: c}}\n" + ONE)
    assert load_scenario(directory).obstacles == ()
    with pytest.raises(MissingExtraError, match=r"--provider local.*optiprov\[testbeds\]"):
        Experiment.create(directory, None)
    assert not list(directory.glob("2*"))
    load_scenario(directory, provider="local").require_deployable()


def test_testbed_that_gets_a_provider_can_be_deployed_to(write_scenario, monkeypatch):
    """The registry of providers is the only place that says which testbeds there are."""
    environment = "environment: {chameleonedge: {}}\n"
    directory = write_scenario(layers=environment + "provenance: {provider: chameleonedge}\n" + ONE)
    assert load_scenario(directory).obstacles
    monkeypatch.setitem(PROVIDERS, "chameleonedge", PROVIDERS["local"])
    assert load_scenario(directory).obstacles == ()


def test_keys_of_dstat_without_effect_are_told(write_scenario):
    """The load is recorded whatever its options say; a scenario that has some runs unmodified."""
    layers = "environment: {local: }\nmonitoring: {type: dstat, options: -c, network: shared}\n" + ONE
    scenario = load_scenario(write_scenario(layers=layers))
    assert [notice.key for notice in scenario.notices] == ["monitoring.network", "monitoring.options"]
    assert "CPU, memory, disk and network are recorded each second" in scenario.notices[1].message
    assert scenario.without(["monitoring"]).notices == ()
    scenario.require_deployable()


@pytest.fixture
def with_network(write_scenario):
    """A scenario with a rule between hosts that share an address."""
    layers = LAYERS.replace("local:", "local: {isolation: files}")
    return write_scenario(layers=layers, network=NETWORK)


def told(caplog):
    """How often anything was told of the network: that rules have no effect."""
    messages = [record.getMessage() for record in caplog.records if "network.yaml" in record.getMessage()]
    assert all(NO_NETWORK in message for message in messages)
    return len(messages)


def test_deployment_tells_once_that_no_network_is_emulated(with_network, deploy, caplog):
    """On prepare, which deploys the hosts; not again by stages that follow."""
    deployment = deploy(scenario=with_network)
    assert told(caplog) == 0
    deployment.prepare()
    deployment.launch()
    assert told(caplog) == 1


def test_experiment_tells_once_that_no_network_is_emulated(with_network, caplog):
    """On deploying the hosts, and in the first of several repetitions."""
    for repeat in (1, 2):
        experiment = Experiment.create(with_network, None, repeat=repeat)
        experiment.layers_services()
        experiment.prepare()
        experiment.destroy()
    assert told(caplog) == 1


def test_check_tells_why_rules_have_no_effect(with_network, write_scenario, monkeypatch):
    """The key that has it so, or what this machine lacks; nothing where hosts have addresses of their own."""
    (notice,) = load_scenario(with_network).notices
    assert "as `isolation: files` has it. Remove that key." in notice.message
    scenario = write_scenario(network=NETWORK)
    monkeypatch.setattr("optiprov.deploy.network.host_network.network_obstacle", lambda: "ip not found")
    (notice,) = load_scenario(scenario).notices
    assert ": ip not found. Run as root, or allow" in notice.message
    monkeypatch.setattr("optiprov.deploy.network.host_network.network_obstacle", lambda: None)
    assert load_scenario(scenario).notices == ()


def test_rules_that_are_wrong_are_no_notice(write_scenario):
    """What is wrong is told as that, and nothing but that."""
    checked = check_scenario(write_scenario(network=NETWORK.replace("28ms", "banana")))
    assert [problem.key for problem in checked.problems] == ["networks.delay"]
