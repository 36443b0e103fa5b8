"""Rules of network.yaml become links: patterns, both directions, templates, several rules for a pair."""

from pathlib import Path

import pytest

from optiprov.deploy import check_scenario, load_scenario
from optiprov.deploy.network.base import Link
from optiprov.deploy.network.rules import make_links, renderable, rendered
from optiprov.errors import DeploymentError

LAYERS = """\
environment: {local: }
layers:
- name: cloud
  services: [{name: Master}]
- name: edge
  services: [{name: Worker, quantity: 2, roles: [sensors]}]
"""
MASTER, FIRST, SECOND = "cloud.master.1.1", "edge.worker.1.1", "edge.worker.1.2"


@pytest.fixture
def load(write_scenario):
    """Loads a scenario with rules, one a line from line 2 on."""

    def make(*rules, **others):
        text = "networks:\n" + "".join(f"- {{{rule}}}\n" for rule in rules)
        return load_scenario(write_scenario(layers=LAYERS, network=text, **others))

    return make


def links_of(scenario):
    """The links of a scenario without templates."""
    return make_links(scenario.networks, scenario.placements)


def test_rule_is_for_each_pair_in_its_direction(load):
    """From each source to each destination, and not back; the lines tell where it comes from."""
    found = links_of(load("src: sensors, dst: cloud, delay: 28ms, rate: 1mbit, loss: 0.1%"))
    assert [one.link for one in found] == [
        Link(FIRST, MASTER, 0.028, 1e6, 0.001),
        Link(SECOND, MASTER, 0.028, 1e6, 0.001),
    ]
    assert [one.rules for one in found] == [(2,), (2,)]


def test_symmetric_rule_holds_both_ways_and_for_no_host_itself(load):
    """Between all hosts: each pair once in each direction, none with itself."""
    found = links_of(load("src: '*', dst: '*', delay: 1ms, symmetric: true"))
    pairs = [(one.link.source, one.link.destination) for one in found]
    hosts = [MASTER, FIRST, SECOND]
    assert pairs == [(a, b) for a in hosts for b in hosts if a != b]
    assert {one.rules for one in found} == {(2,)}


def test_later_rule_holds_for_the_properties_that_it_gives(load):
    """The others stay those of the earlier one; the loader tells where one takes the place of another."""
    scenario = load(
        "src: edge, dst: cloud, delay: 10ms, rate: 1mbit, symmetric: true",
        "src: cloud, dst: edge.worker.1.2, delay: 20ms, loss: 1%",
        "src: edge, dst: cloud, rate: 1mbit",
    )
    found = {(one.link.source, one.link.destination): one for one in links_of(scenario)}
    assert found[MASTER, SECOND].link == Link(MASTER, SECOND, 0.02, 1e6, 0.01)
    assert found[MASTER, SECOND].rules == (2, 3)
    assert found[MASTER, FIRST].link == Link(MASTER, FIRST, 0.01, 1e6)
    told = [str(notice) for notice in scenario.notices if "in place of" in notice.message]
    where = "network.yaml:3: networks.delay: "
    assert [text.partition("scenario/")[2] for text in told] == [
        f"{where}holds for a pair of hosts in place of that of line 2."
    ]


def test_templates_are_rendered_with_the_configuration(load):
    """A unit may stand around, or be in the value; what is not given yet is left out before the launch."""
    scenario = load(
        "src: edge, dst: cloud, delay: '{{ optimization_config.delay_ms }}ms', loss: '{{ env_loss }}'",
        "src: cloud, dst: edge, rate: '{{ optimization_config.mbit | default(5) }}mbit'",
        workflow_env="a: {loss: 2%}\n",
    )
    variables = {"optimization_config": {"delay_ms": 12.5}, "env_loss": "2%"}
    first, second = rendered(scenario.networks, variables, Path("network.yaml"))
    assert (first.delay_s, first.loss_share, second.rate_bit_s) == (0.0125, 0.02, 5e6)
    assert [rule.line for rule in renderable(scenario.networks, {"optimization_config": {}})] == [3]


def test_small_values_of_a_search_space_are_rendered(load):
    """A real number below 0.0001 is a text with an exponent."""
    scenario = load(
        "src: edge, dst: cloud, loss: '{{ optimization_config.x }}%', delay: '{{ optimization_config.x }}s'"
    )
    (rule,) = rendered(scenario.networks, {"optimization_config": {"x": 0.00005}}, Path("network.yaml"))
    assert (rule.delay_s, rule.loss_share) == pytest.approx((5e-5, 5e-7))


@pytest.mark.parametrize(
    ("template", "config", "said"),
    [
        (
            "delay: '{{ optimization_config.x }}ms'",
            {},
            "networks.delay: '{{ optimization_config.x }}ms' cannot",
        ),
        ("delay: '{{ optimization_config.x }}ms'", {}, "A launch by hand has no configuration: run the"),
        ("delay: '{{ optimization_config.x }}'", {"x": 28}, "is rendered: got 28, expected a time such as"),
        ("rate: '{{ optimization_config.x }}'", {"x": "0bit"}, "got '0bit', expected a rate above 0"),
        ("loss: '{{ optimization_config.x }}%'", {"x": 200}, "got '200%', expected at most 100%"),
        ("delay: '{{ optimization_config.x }}ms'", {"x": -1}, "got '-1ms', expected a time such as"),
    ],
)
def test_template_that_becomes_nothing_is_refused(load, template, config, said):
    """With the file, the line of the rule, the key and the rendered value."""
    scenario = load("src: edge, dst: cloud, delay: 1ms", f"src: edge, dst: cloud, {template}")
    with pytest.raises(DeploymentError, match=r"^network\.yaml:3: networks\.") as caught:
        rendered(scenario.networks, {"optimization_config": config}, Path("network.yaml"))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("delay: '{{ optimization_config.x'", "networks.delay: not a Jinja2 template: "),
        ("delay: '{{ optimization_config.x | banana }}ms'", "networks.delay: unknown filter 'banana'"),
        (
            "delay: '{{ _self.port }}ms'",
            "networks.delay: a template uses '_self', a variable that rules do not",
        ),
        ("delay: '{{ optimisation_config.x }}ms'", "uses 'optimisation_config'"),
        (
            "delay: '{{ optimization_config.x }}mz'",
            "networks.delay: got '{{ optimization_config.x }}mz', expected",
        ),
        ("rate: '{{ optimization_config.x }}mbps'", "expected to become a rate in bits per second"),
        (
            "loss: '{{ env_loss }}'",
            "networks.loss: '{{ env_loss }}' is rendered: got 3, expected a percentage",
        ),
        ("delay: 28ms, loss: '{{ env_lost }}%'", "networks.loss: a template uses 'env_lost'"),
    ],
)
def test_check_tells_what_is_certainly_wrong_in_templates(write_scenario, rule, said):
    """Before anything is deployed, with file and line."""
    network = f"networks:\n- {{src: edge, dst: cloud, {rule}}}\n"
    files = {"network": network, "workflow_env": "a: {loss: 1%}\nb: {loss: 3}\n"}
    (problem,) = check_scenario(write_scenario(layers=LAYERS, **files)).problems
    assert said in str(problem)
    assert "network.yaml:2: " in str(problem)


@pytest.mark.parametrize(
    "value",
    [
        "'{{ optimization_config.delay }}'",
        "'{{ optimization_config.x }} ms'",
        "'{{ 2 * 5 }}ms'",
        "'5{{ optimization_config.unit }}'",
        "'{{ optimization_config.d | default(\"5ms\") }}'",
    ],
)
def test_check_accepts_templates_that_may_become_right(load, value):
    """What cannot be told before the launch is told then."""
    assert load(f"src: edge, dst: cloud, delay: {value}").networks[0].templates
