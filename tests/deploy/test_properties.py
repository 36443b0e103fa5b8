"""What holds for every scenario: ids, groupings, patterns, quantities, and that nothing is a traceback."""

import copy
import datetime
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optiprov.deploy import check_scenario
from optiprov.deploy.grouping import group
from optiprov.deploy.models import Dependency, Environment, Layer, LayersServices, LocalTestbed, Service
from optiprov.deploy.models.network import delay_s, loss_share, rate_bit_s
from optiprov.deploy.placement import place
from optiprov.deploy.problems import Problems
from optiprov.deploy.selection import select
from optiprov.deploy.yaml_source import read_yaml

from .conftest import SCENARIOS
from .test_scenario_files import CONTINUUM

NAMES = st.text("abAB1_", min_size=1, max_size=4)
SERVICES = st.builds(
    Service,
    name=NAMES,
    quantity=st.one_of(st.none(), st.integers(1, 4)),
    repeat=st.integers(0, 3),
    roles=st.lists(NAMES, max_size=2).map(tuple),
)
LAYERS = st.lists(
    st.builds(
        Layer,
        name=NAMES,
        services=st.lists(SERVICES, min_size=1, max_size=3, unique_by=lambda s: s.name.lower()).map(tuple),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda layer: layer.name.lower(),
)
ENVIRONMENT = Environment(local=LocalTestbed(), testbeds=("local",))


def content(layers):
    """A layers_services.yaml with these layers, on local hosts."""
    return LayersServices(environment=ENVIRONMENT, layers=tuple(layers))


@given(LAYERS)
def test_ids_are_unique_and_in_order(layers):
    """Layers, services and machines are counted from 1 in their order; copies come last and share nothing."""
    placements = place(content(layers))
    assert len({placement.id for placement in placements}) == len(placements)
    counted = [(each.layer_id, each.service_id, each.machine_id) for each in placements]
    assert counted == sorted(counted)
    assert len(placements) == sum(s.machines * (1 + s.repeat) for layer in layers for s in layer.services)
    for layer_id, layer in enumerate(layers, 1):
        here = {each.service_id: each.service for each in placements if each.layer_id == layer_id}
        assert list(here) == list(range(1, len(here) + 1))
        originals = [service.name for service in layer.services]
        copies = [service.name for service in layer.services for _ in range(service.repeat)]
        assert list(here.values()) == originals + copies


@given(LAYERS)
def test_every_id_selects_its_host_and_leading_parts_select_more(layers):
    """By id exactly one host, by each leading part at least the same."""
    placements = place(content(layers))
    role_names = {role.lower() for placement in placements for role in placement.roles}
    for placement in placements[:5]:
        parts = placement.id.split(".")
        if placement.id not in role_names:
            assert select(placement.id.upper(), placements) == [placement]
        for length in range(1, 5):
            assert placement in select(".".join(parts[:length]), placements)
        assert placement not in select(f"!{placement.id}", placements)
    assert select("*", placements) == list(placements)


@given(st.text(max_size=30))
def test_any_text_is_a_pattern(pattern):
    """What is no sensible pattern selects some hosts or none, twice the same, in their order."""
    placements = place(content([Layer(name="edge", services=(Service(name="Client", quantity=3),))]))
    found = select(pattern, placements)
    assert found == select(pattern, placements) == [each for each in placements if each in found]


def infos(count, addresses):
    """`_self` of services: each an id, an address and a url."""
    return [
        {
            "_id": f"1_{n // 2 + 1}_{n % 2 + 1}",
            "service_id": str(n // 2 + 1),
            "machine_id": str(n % 2 + 1),
            "__address__": f"10.0.0.{n % addresses}",
            "url": f"10.0.0.{n % addresses}:{n}",
        }
        for n in range(count)
    ]


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 4))
def test_groupings_give_every_host_what_they_promise(hosts, services, addresses):
    """Each host its turn, all of the list, a variable for each service, or who is at its address."""
    ours, theirs = infos(hosts, addresses), infos(services, addresses)

    def grouped(name, **more):
        dependency = Dependency(service_selector="x", prefix="p", grouping=name, **more)
        found = group(dependency, ours, theirs)
        assert len(found) == hosts
        return found

    turns = [variables["p"]["url"] for variables in grouped("round_robin")]
    assert turns == [theirs[n % services]["url"] for n in range(hosts)]
    (urls,) = {tuple(variables["p"]) for variables in grouped("asarray", array_info="url")}
    assert list(urls) == [info["url"] for info in theirs]
    for variables in grouped("aggregate"):
        assert len(variables) == services + 1  # services at one address are all kept
        assert all(variables[f"p{each['_id'][2:]}"] is each for each in theirs)
    for host, variables in zip(ours, grouped("address_match"), strict=True):
        there = [info for info in theirs if info["__address__"] == host["__address__"]]
        assert (variables is None) == (not there)
        if variables is not None:
            assert variables["p"] in there
            assert variables["p"]["_id"] == host["_id"] or host["_id"] not in {info["_id"] for info in there}


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["us", "ms", "s", "MSEC", "secs"]))
def test_delays_are_read_as_tc_reads_them(number, unit):
    """Whatever the case of the unit, with or without a space."""
    factor = {"u": 1e-6, "m": 1e-3, "s": 1.0}[unit[0].lower()]
    assert delay_s(f"{number}{unit}") == delay_s(f"{number} {unit}") == pytest.approx(float(number) * factor)


@given(st.decimals(1, 10**6, places=3), st.sampled_from(["", "k", "M", "g", "t", "Ki", "mi"]))
def test_rates_are_read_as_tc_reads_them(number, prefix):
    """Decimal prefixes, and binary ones with an i."""
    base = 1024 if prefix.endswith("i") else 1000
    power = " kmgt".index(prefix[:1].lower() or " ")
    assert rate_bit_s(f"{number}{prefix}bit") == pytest.approx(float(number) * base**power)


@given(st.decimals(0, 100, places=2))
def test_losses_are_shares(percent):
    """From 0 to 1."""
    assert loss_share(f"{percent}%") == pytest.approx(float(percent) / 100)


TASKS = """
- hosts: edge:!edge.client.1.1
  become: true
  vars: {a: 1}
  depends_on:
    - {service_selector: cloud.*, prefix: s, grouping: aggregate}
    - {service_selector: all, prefix: t, grouping: asarray, array_info: url}
  launch:
    - {name: one, command: {argv: [ls, "{{ s1_1.url }}"]}, register: out, when: [a == 1, t is defined]}
    - {shell: "echo {{ item }}", loop: [1, 2], loop_control: {index_var: n}, until: out.rc == 0, retries: 2}
    - {block: [{debug: {var: out}}, {set_fact: {b: 2}}], rescue: [{script: run.sh x}], when: b is defined}
    - {template: src=a.j2 dest=/tmp/ mode=u+x, environment: {A: "{{ a }}"}, ignore_errors: true}
    - {file: {path: /tmp/x, state: directory}, async: 5, poll: 0, with_dict: {k: v}, no_log: true}
"""
SEEDS = {
    "layers_services.yaml": CONTINUUM,
    "network.yaml": "networks:\n  - {src: cloud.*, dst: edge, delay: 28ms, rate: 1gbit, loss: 0.1%}\n",
    "workflow.yaml": (SCENARIOS / "two_hosts" / "workflow.yaml").read_text() + TASKS,
    "workflow_env.yaml": "small: {size: 10}\nlarge: {size: 1000}\n",
    "providers.yaml": "local: [g5k, iotlab]\n",
}
ODD_VALUES = [
    *(None, True, -1, 0, 1.5, 10**400, float("nan"), "", " ", "*", "[", "!x", "{{ x", "{% if %}", "a\0b"),
    *([], [None], [[]], [{}], {}, {"": ""}, {1: 2}, {"a": {"b": []}}, "28ms", "x" * 5000, "../../..", "/"),
    *(datetime.date(2026, 1, 31), datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc), b"\xff"),
    *("{{ _self }}", "{{ item.a.b }}", "src=a dest=b", "src='a", "é\u2028"),
]


@dataclass
class Files:
    """A directory that examples share, written anew for each."""

    directory: Path

    def check(self, texts):
        """Check a scenario of these files, and look at what is told."""
        for name, text in texts.items():
            (self.directory / name).write_text(text, encoding="utf-8", errors="replace")
        checked = check_scenario(self.directory, app_confs=["small"])
        assert (checked.scenario is None) == bool(checked.problems)
        assert list(checked.problems) == sorted(checked.problems)
        for problem in checked.problems:
            assert problem.message
            assert 1 <= problem.line <= texts.get(problem.path.name, "").count("\n") + 2


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The directory."""
    directory = tmp_path_factory.mktemp("fuzz")
    (directory / "dataflow.py").write_text("")
    return Files(directory)


def places(value, at=()):
    """The key path of every value in a document."""
    yield at
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from places(child, (*at, key))


def replaced(document, at, value):
    """A document with another value at a key path."""
    if not at:
        return value
    changed = copy.deepcopy(document)
    holder = changed
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = value
    return changed


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_odd_values_anywhere_never_end_in_a_traceback(files, data):
    """A value of each kind in the place of any other gives problems with lines, or is right."""
    texts = dict(SEEDS)
    name = data.draw(st.sampled_from(sorted(texts)))
    document = yaml.safe_load(texts[name])
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.sampled_from(list(places(document))))
        document = replaced(document, at, data.draw(st.sampled_from(ODD_VALUES)))
    texts[name] = yaml.safe_dump(document, allow_unicode=True)
    files.check(texts)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(SEEDS)), seed=st.integers(0, 2**32), edits=st.integers(1, 4))
def test_damaged_text_never_ends_in_a_traceback(files, name, seed, edits):
    """Characters and lines lost, doubled, moved and replaced by what YAML gives a meaning."""
    pick = random.Random(seed)
    text = SEEDS[name]
    for _ in range(edits):
        where = pick.randrange(len(text) + 1)
        text = pick.choice(
            [
                text[:where] + pick.choice("-:{}[]&*!|>'\"%@`#?,\t\n \0\ufeff") + text[where:],
                text[:where] + text[where + pick.randrange(1, 9) :],
                text[:where] + "\n" + text[where:],
                text[:where]
                + pick.choice(["&a ", "*a", "<<: ", "!!int ", "--- ", "? ", "!!set "])
                + text[where:],
            ]
        )
    files.check(SEEDS | {name: text})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: &a [x, *a]\n", "an alias contains itself"),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ("a: 2026-02-31\n", "a value that its type cannot have"),
        ("a: !!int x\n", "a value that its type cannot have"),
        ("a: !!python/object:os.system x\n", "is not YAML"),
        ("? [a]\n: b\n", "a key is not a scalar"),
        ("a: b\n--- \nc: d\n", "is not YAML"),
        ("a: \0\n", "is not YAML"),
        ("".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)), "undefined alias"),
        (
            "a0: &a0 x\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)),
            "more than 100000 values",
        ),
    ],
)
def test_files_that_are_hostile_are_refused(tmp_path, text, expected):
    """Aliases without end or without number, depth, and values that no type has."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    problems = Problems()
    assert read_yaml(path, problems) is None
    assert expected in problems.found[0].message
