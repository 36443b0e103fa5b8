"""Everything that the files of a scenario may say, and everything that they may not."""

import pytest

from optiprov.deploy import check_scenario, load_scenario
from optiprov.errors import ScenarioError

from .conftest import LAYERS

CONTINUUM = """\
environment:
  job_name: federated
  walltime: "02:59:00"
  g5k:
    job_name: cloud-part
    walltime: "02:00:00"
    queue: production
    reservation: 2026-01-31 19:00:00
    job_type: deploy
    image: debian11-x64-big
    cluster: gros
    ssh_key: ~/.ssh/id_rsa.pub
    monitor: prom_.*
    ipv6: true
    firewall_rules:
      - services: [cloud, Client, sensors]
        ports: [1883, "22000:22010"]
        proto: all
  iotlab:
    cluster: grenoble
  chameleoncloud: {rc_file: chi.sh, key_name: k, image: CC-Ubuntu20.04, cluster: gpu_rtx_6000}
  chameleonedge:
  scalewayinstances:
    profile: p
    architecture: private_network
    ports_to_open: [[80, 8080, cloud], [53, 5353, cloud, udp]]
  static:
    user: pi
    hosts: [10.0.0.1, {address: 10.0.0.2, port: 2222, jump_host: gate}]
  local: {share: []}
provenance:
  provider: g5k
  servers: gros-1.nancy.grid5000.fr
  dataflow_spec: dataflow.py
  ipv: 6
  parallelism: 2
monitoring:
  type: tig
  provider: g5k
  cluster: gros
  network: private
  ipv: 4
kwollect: {metrics: [all], start: prepare, end: launch}
monitoring_iotlab:
  profiles:
    - {name: power, archi: a8, current: true, power: true, voltage: true, period: 140, average: 1}
layers:
  - name: cloud
    services:
      - name: Server
        environment: g5k
        servers: [gros-2.nancy.grid5000.fr, gros-3.nancy.grid5000.fr]
        roles: [provenance, monitoring]
  - name: edge
    services:
      - name: Client
        environment: iotlab
        archi: rpi3:at86rf233
        cluster: saclay
        quantity: 2
        repeat: 1
        roles: [sensors]
        env: {RATE: 5, LEVEL: 0.5, DEBUG: true, NAME: x}
        profile: power
        containers: [{name: a}]
"""


def problems_of(directory, **options):
    """The lines of the ScenarioError that loading gives, without the directory."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(directory, **options)
    return str(caught.value).replace(f"{directory}/", "").splitlines()


@pytest.fixture
def continuum(write_scenario):
    """A scenario that says nearly everything that E2Clab's documentation has."""
    directory = write_scenario(layers=CONTINUUM)
    (directory / "dataflow.py").write_text("")
    return directory


def test_everything_of_e2clab_is_read(continuum):
    """Testbeds, services, the rest, and older spellings of them."""
    content = load_scenario(continuum).layers_services
    g5k = content.environment.g5k
    assert (g5k.job_type, g5k.env_name, g5k.key_name) == (
        ("deploy",),
        "debian11-x64-big",
        "~/.ssh/id_rsa.pub",
    )
    assert g5k.reservation == "2026-01-31 19:00:00"
    assert g5k.firewall_rules[0].ports == (1883, "22000:22010")
    assert content.environment.testbeds[:2] == ("g5k", "iotlab")
    assert content.environment.chameleonedge is not None
    assert [host.address for host in content.environment.static.hosts] == ["10.0.0.1", "10.0.0.2"]
    assert content.provenance.servers == ("gros-1.nancy.grid5000.fr",)
    assert content.monitoring_iotlab.profiles[0].average == 1
    assert content.layers[1].services[0].metadata == {"profile": "power", "containers": [{"name": "a"}]}


def test_what_cannot_be_had_is_told_apart_from_what_is_wrong(continuum):
    """A scenario that asks for more than can be had is right; deploying it is refused, with a way on."""
    scenario = load_scenario(continuum)
    assert [obstacle.key for obstacle in scenario.obstacles] == [
        *("provenance.provider", "monitoring.type", "kwollect", "monitoring_iotlab"),
    ]
    with pytest.raises(
        ScenarioError, match=r"layers_services.yaml:\d+: provenance.provider: .*--provider local"
    ):
        scenario.require_deployable()


def test_hosts_are_local_when_the_provider_is(continuum):
    """`provider="local"` puts the services of every testbed on this machine, and keeps what they named."""
    placements = load_scenario(continuum, provider="local").placements
    assert {placement.testbed for placement in placements} == {"local"}
    assert [placement.environment for placement in placements] == ["g5k"] * 2 + ["iotlab"] * 4
    assert [placement.server for placement in placements[:3]] == [
        *("gros-2.nancy.grid5000.fr", "gros-3.nancy.grid5000.fr", None),
    ]


def test_hosts_are_local_when_providers_yaml_says_so(continuum):
    """providers.yaml names testbeds one by one."""
    (continuum / "providers.yaml").write_text("local: [iotlab]\n")
    placements = load_scenario(continuum).placements
    assert {placement.id: placement.testbed for placement in placements}["edge.client.1.1"] == "local"
    assert placements[0].testbed == "g5k"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local: [g5kk]", "providers.yaml:1: providers.local: got 'g5kk'. Did you mean 'g5k'?"),
        ("locl: [g5k]", "providers.yaml:1: locl: unknown key 'locl'. Did you mean 'local'?"),
        ("{local: g5k, static: g5k}", "providers.yaml:1: static: got 'g5k', which local stands in for too."),
    ],
)
def test_providers_are_refused_when_wrong(write_scenario, text, expected):
    """With file, line and key."""
    (problem,) = problems_of(write_scenario(providers=text))
    assert problem.startswith(expected.replace("providers.local", "local"))


def test_a_provider_is_refused_when_there_is_none_of_its_name(write_scenario):
    """With the likely meant spelling."""
    assert problems_of(write_scenario(), provider="locale") == [
        "provider: got 'locale'. Did you mean 'local'? Allowed: local, static."
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "provenance: {parallelism: 0}",
            "provenance.parallelism: got 0, expected a whole number from 1 to 16.",
        ),
        ("provenance: {cluster: a, servers: b}", "provenance.servers: got servers beside cluster. Keep one"),
        ("provenance: {servers: [a, b]}", "provenance.servers: got ['a', 'b'], expected at most 1 of them."),
        ("provenance: {ipv: '4'}", "provenance.ipv: got '4'. Remove the quotes. Allowed: 4, 6."),
        (
            "provenance: {paralelism: 2}",
            "provenance.paralelism: unknown key 'paralelism'. Did you mean 'para",
        ),
        ("provenance: {provider: g5}", "provenance.provider: got 'g5'. Did you mean 'g5k'?"),
        ("provenance: {dataflow_spec: x.py}", "provenance.dataflow_spec: got 'x.py', which does not exist."),
        ("monitoring: {}", "monitoring.type: the key 'type' is missing. Add it."),
        ("monitoring: {type: dsat}", "monitoring.type: got 'dsat'. Did you mean 'dstat'?"),
        (
            "monitoring: {type: tpg}",
            "monitoring.provider: the key 'provider' is missing, which type tpg needs.",
        ),
        (
            "monitoring: {type: tig, provider: g5k}",
            "monitoring.cluster: the key 'cluster' is missing, or 'serv",
        ),
        ("kwollect: {metrics: [a], end: launch}", "kwollect.end: got end without start. Add start."),
        (
            "kwollect: {metrics: [a], step: launch, start: launch}",
            "kwollect.step: got step beside start or end.",
        ),
        ("monitoring_iotlab: {profiles: [{name: a}]}", "profiles.archi: the key 'archi' is missing. Add it."),
        (
            "firewall_rules: [{services: [clowd]}]",
            "firewall_rules.services: got 'clowd', which matches no serv",
        ),
        ("layer: []", "layer: unknown key 'layer'. Did you mean 'layers'?"),
    ],
)
def test_sections_are_refused_when_wrong(write_scenario, text, expected):
    """Each section of layers_services.yaml, with line, key, what was got and what is allowed."""
    assert problems_of(write_scenario(layers=f"{text}\n{LAYERS}"))[0].startswith(
        f"layers_services.yaml:1: {expected}"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("g5k: {env_name: debian}", "g5k.env_name: got 'debian', which needs the job type deploy."),
        ("g5k: {image: a, env_name: b, job_type: deploy}", "g5k.env_name: is another spelling of 'env_name'"),
        ("g5k: {queue: prodcution}", "g5k.queue: got 'prodcution'. Did you mean 'production'?"),
        ("g5k: {reservation: tomorrow}", "g5k.reservation: got 'tomorrow', expected a date such as"),
        (
            "g5k: {firewall_rules: [{services: cloud, ports: [0]}]}",
            "firewall_rules.ports: got 0, expected a wh",
        ),
        ("iotlab: {clusters: a}", "iotlab.clusters: unknown key 'clusters'. Did you mean 'cluster'?"),
        ("static: {hosts: [{adress: a}]}", "hosts.adress: unknown key 'adress'. Did you mean 'address'?"),
        (
            "scalewayinstances: {ports_to_open: [[80]]}",
            "scalewayinstances.ports_to_open: got [80], expected [",
        ),
        ("local: {shared: []}", "local.shared: unknown key 'shared'. Did you mean 'share'?"),
        ("local: here", "environment.local: got 'here', expected a mapping."),
        (f"local: {{share: {'x' * 5000}}}", "local.share: got 'xxx"),
    ],
)
def test_testbeds_are_refused_when_wrong(write_scenario, text, expected):
    """Each testbed knows its own keys."""
    layers = LAYERS.replace("  local:\n", f"  {text}\n")
    assert problems_of(write_scenario(layers=layers))[0].startswith(f"layers_services.yaml:3: {expected}")


def test_an_environment_without_testbed_is_refused(write_scenario):
    """Nobody would have the hosts."""
    (problem,) = problems_of(write_scenario(layers=LAYERS.replace("  local:\n", "")))
    assert problem.startswith(
        "layers_services.yaml:1: environment: names no testbed. Add one of local, static,"
    )


def test_services_are_on_the_first_testbed_when_they_name_none(write_scenario):
    """In the order of the file, not of the documentation."""
    layers = LAYERS.replace("  local:\n", "  iotlab:\n  g5k:\n")
    assert {each.environment for each in load_scenario(write_scenario(layers=layers)).placements} == {
        "iotlab"
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("delay: banana", "networks.delay: got 'banana', expected a time such as \"28ms\"."),
        ("delay: 28", 'networks.delay: got 28, expected a time such as "28ms".'),
        ("loss: foo%", "networks.loss: got 'foo%', expected a percentage in quotes such as \"0.1%\"."),
        ("loss: 150%", "networks.loss: got '150%', expected at most 100%."),
        ("loss: 0.1", "networks.loss: got 0.1, expected a percentage in quotes"),
        ("rate: 100mbps", "networks.rate: got '100mbps', expected a rate in bits per second such as"),
        ("rate: 0bit", "networks.rate: got '0bit', expected a rate above 0"),
        (
            "delay: 1ms, symetric: true",
            "networks.symetric: unknown key 'symetric'. Did you mean 'symmetric'?",
        ),
        ("delay: 1ms, symmetric: 'yes'", "networks.symmetric: got 'yes', expected true or false."),
        ("symmetric: true", "networks: the rule has neither delay, rate nor loss."),
    ],
)
def test_network_rules_are_refused_when_wrong(write_scenario, text, expected):
    """What tc would refuse, or would take for something else than is meant."""
    (problem,) = problems_of(write_scenario(network=f"networks:\n  - {{src: cloud, dst: edge, {text}}}\n"))
    assert problem.startswith(f"network.yaml:2: {expected}")


@pytest.mark.parametrize("text", ["", "# nothing\n", "networks:\n", "networks: []\n", "{}\n"])
def test_an_empty_network_file_is_no_network(write_scenario, text):
    """As no file is."""
    assert load_scenario(write_scenario(network=text)).networks == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("small: 5", "workflow_env.yaml:1: small: got 5, expected a mapping."),
        ("[a]", "workflow_env.yaml:1: got ['a'], expected a mapping."),
        ("a/b: {}", "workflow_env.yaml:1: a/b: got 'a/b', expected a name of letters"),
        (
            "small: {learning-rate: 1}",
            "workflow_env.yaml:1: small.learning-rate: got 'learning-rate', expected le",
        ),
    ],
)
def test_sets_of_variables_are_refused_when_wrong(write_scenario, text, expected):
    """Names become folders, keys become variables."""
    (problem,) = problems_of(write_scenario(workflow_env=f"{text}\n"))
    assert problem.startswith(expected)


def test_sets_may_be_numbered(write_scenario):
    """A number is a name too, and a set may be empty."""
    directory = write_scenario(workflow_env="1: {rounds: 3}\n2:\n")
    assert load_scenario(directory, app_confs=["1"]).app_confs == {"1": {"rounds": 3}, "2": {}}


def test_keywords_of_ansible_are_kept_with_their_play(write_scenario):
    """Whoever runs the play decides what becomes of them."""
    play = "- hosts: all\n  become: true\n  vars: {a: 1}\n  launch: []\n"
    (read,) = load_scenario(write_scenario(play)).plays
    assert read.keywords == {"become": True, "vars": {"a": 1}}


def test_names_and_keys_are_refused_when_they_are_twice_in_one_line(write_scenario):
    """Also where the line does not tell them apart."""
    layers = LAYERS.replace("services:\n      - name: Master", "services: [{name: a}, {name: A, name: A}]")
    problems = problems_of(write_scenario(layers=layers))
    assert [problem.split(": ", 2)[1] for problem in problems] == ["name", "services.name"]
    assert all("twice, first in line 6" in problem for problem in problems)


@pytest.mark.parametrize("many", [10**6, 10**400])
def test_hosts_without_end_are_refused(write_scenario, many):
    """Before they are made."""
    for key in ("quantity", "repeat"):
        layers = LAYERS + f"        {key}: {many}\n"
        (problem,) = problems_of(write_scenario(layers=layers))
        assert "the layer 'edge' has more than 10000 hosts. Have fewer." in problem


def test_numbers_of_very_many_digits_are_told_without_them(write_scenario):
    """Python does not write them."""
    (problem,) = problems_of(write_scenario(layers=LAYERS + f"        roles: 0x{'f' * 5000}\n"))
    assert "services.roles: got a number of too many digits, expected a list." in problem


@pytest.mark.parametrize("value", ["[]", "{}", "[[x]]", "5", "true", "null"])
def test_values_of_another_shape_are_problems_wherever_they_stand(write_scenario, value):
    """What is looked at across files is not yet known to be a text."""
    for key in ("hosts", "name", "depends_on", "launch", "vars"):
        load_or_problems(write_scenario(f"- {{hosts: edge, {key}x: 1, {key}: {value}}}\n"))
    for key in ("service_selector", "prefix", "grouping", "array_info"):
        depends = f"{{service_selector: edge, prefix: x, {key}x: 1, {key}: {value}}}"
        assert load_or_problems(write_scenario(f"- hosts: edge\n  depends_on: [{depends}]\n"))
    for key in ("src", "dest", "remote_src", "content"):
        task = f"copy: {{{key}: {value}}}\n      register: {value}\n      loop: {value}"
        load_or_problems(write_scenario(f"- hosts: edge\n  launch:\n    - {task}\n"))
    for key in ("name", "services", "nam"):
        layers = LAYERS.replace("  - name: edge\n", f"  - {key}: {value}\n")
        assert load_or_problems(write_scenario(layers=layers))


def load_or_problems(directory):
    """The problems of a scenario that may have some."""
    return check_scenario(directory).problems


def test_problems_are_told_again_when_others_are_beside_them(write_scenario):
    """A wrong key hides neither what is wrong between keys, nor what is wrong in other files."""
    layers = "provenance: {cluster: a, servers: [b], parallelism: 0}\n" + LAYERS
    network = "networks:\n  - {src: clod, dst: fog, delay: x}\n"
    problems = problems_of(write_scenario("- hosts: nowhere\n", layers, network=network))
    assert [problem.split(": ")[1] for problem in problems] == [
        *("provenance.parallelism", "provenance.servers"),
        *("networks.delay", "networks.dst", "networks.src", "hosts"),
    ]
