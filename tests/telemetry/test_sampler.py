"""Samples are what the system says, told by psutil as an independent witness."""

import os
import pickle
import sys
import time
from pathlib import Path

import pytest

from optiprov.errors import InputError
from optiprov.telemetry import procfs, psutil_readings
from optiprov.telemetry.resources import RESOURCES, parse_resources
from optiprov.telemetry.sampler import Sampler

_HOST_TICK = 0.05  # psutil reads /proc/stat like we do, in ticks of 0.01 s for each core
ROUNDING = {"host.cpu_busy_s": _HOST_TICK, "host.cpu_idle_s": _HOST_TICK, "host.load_1min": 0.01}
# /proc rounds the counts of a process down to ticks, getrusage does not.
ROUNDING |= dict.fromkeys(("process.cpu_user_s", "process.cpu_system_s", "process.children_cpu_s"), 0.02)


@pytest.mark.parametrize("resource", ["cpu", "disk", "network"])
def test_counters_lie_between_two_readings_of_psutil(resource):
    """Every counter that both have; CPU is burnt and bytes are moved in between."""
    witness, own = getattr(psutil_readings, f"read_{resource}"), getattr(procfs, f"read_{resource}")
    before = witness()
    sum(range(2_000_000))
    reading = own()
    after = witness()
    shared = before.keys() & reading.keys()
    assert shared >= before.keys()
    for metric in shared:
        slack = ROUNDING.get(metric, 0)
        assert before[metric] - slack <= reading[metric] <= after[metric] + slack, metric


def test_memory_is_that_of_the_process():
    """64 MB that are written to are seen, and so is the peak when they are gone."""
    before = procfs.read_memory()
    block = b"x" * (64 << 20)
    held = procfs.read_memory()
    del block
    after = procfs.read_memory()
    grown = held["process.resident_bytes"] - before["process.resident_bytes"]
    assert 60 << 20 < grown < 80 << 20
    late = 4 << 20  # the kernel adds up the counts of threads now and then
    assert after["process.peak_resident_bytes"] >= held["process.resident_bytes"] - late
    assert held["process.resident_bytes"] == pytest.approx(
        psutil_readings.read_memory()["process.resident_bytes"] + (64 << 20), rel=0.1
    )
    assert 0 < held["host.memory_available_bytes"] < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_cpu_of_the_process_is_counted_in_user_and_children():
    """What this process burns, and what a child that ended has burnt."""
    before, begun = procfs.read_cpu(), time.process_time()
    while time.process_time() - begun < 0.2:
        pass
    if (child := os.fork()) == 0:
        begun = time.process_time()
        while time.process_time() - begun < 0.2:
            pass
        os._exit(0)
    os.waitpid(child, 0)
    after = procfs.read_cpu()
    assert after["process.cpu_user_s"] + after["process.cpu_system_s"] >= 0.15 + (
        before["process.cpu_user_s"] + before["process.cpu_system_s"]
    )
    assert after["process.children_cpu_s"] - before["process.children_cpu_s"] >= 0.15


def test_bytes_that_a_process_writes_are_counted():
    """As the kernel counts them; where it hides the counts, they are absent, not zero."""
    reading = procfs.read_disk()
    try:
        text = Path("/proc/self/io").read_text()
    except OSError:
        assert "process.disk_written_bytes" not in reading
    else:
        assert f"write_bytes: {reading['process.disk_written_bytes']:.0f}\n" in text


def test_sampler_reads_what_it_is_asked_for_and_can_be_pickled():
    """Ray and multiprocessing send workflows, samplers in them, to other processes."""
    values = pickle.loads(pickle.dumps(Sampler(("memory", "network")))).sample()  # noqa: S301
    assert values.keys() == procfs.read_memory().keys() | procfs.read_network().keys()
    assert Sampler(()).sample() == {}
    assert Sampler(RESOURCES).sample().keys() >= {"process.cpu_user_s", "host.disk_read_bytes"}


def test_what_a_system_refuses_to_tell_is_left_out(monkeypatch):
    """A container may lack one of the files: the others are sampled."""

    def refuse():
        raise PermissionError("no")

    monkeypatch.setattr(procfs, "read_disk", refuse)
    values = Sampler(("cpu", "disk")).sample()
    assert "host.disk_read_bytes" not in values
    assert "process.cpu_user_s" in values


def test_system_without_proc_is_read_by_psutil(monkeypatch):
    """Elsewhere than on Linux; without psutil, the error says what to do."""
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: not str(path).startswith("/proc") and exists(path))
    assert Sampler(("cpu",)).sample().keys() == psutil_readings.read_cpu().keys()
    monkeypatch.delitem(sys.modules, "optiprov.telemetry.psutil_readings")
    monkeypatch.delattr("optiprov.telemetry.psutil_readings")
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(InputError, match="Install psutil"):
        Sampler(("cpu",))


@pytest.mark.parametrize(
    ("asked", "resources"),
    [
        (True, RESOURCES),
        ("1", RESOURCES),
        (" All ", RESOURCES),
        (None, ()),
        (False, ()),
        ("0", ()),
        ("", ()),
        ("network,CPU", ("cpu", "network")),
        (["disk"], ("disk",)),
    ],
)
def test_resources_are_asked_for_in_each_form(asked, resources):
    """A switch, a text, or names."""
    assert parse_resources(asked) == resources


def test_resource_that_does_not_exist_is_an_error_that_lists_them():
    """What was received, and what there is."""
    with pytest.raises(InputError, match=r"has cpu, memory, disk, network, got 'gpu'"):
        parse_resources("cpu,gpu")
