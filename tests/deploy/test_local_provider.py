import os
import pwd
import sys
from pathlib import Path

import pytest

import optiprov.deploy
from optiprov.deploy import load_scenario
from optiprov.deploy.journal import Journal
from optiprov.deploy.providers.base import HostRequest
from optiprov.deploy.providers.local import LocalProvider
from optiprov.errors import DeploymentError
from tests.conftest import ROOT

from .conftest import SCENARIOS
from .provider_contract import ProviderContract
from .test_isolation import needs_namespaces


class TestLocalProvider(ProviderContract):
    """The provider `local` holds the contract, and more."""

    @pytest.fixture
    def provider(self):
        """A provider of local hosts."""
        return LocalProvider()

    @pytest.fixture
    def scenario(self):
        """Two hosts."""
        return load_scenario(SCENARIOS / "two_hosts")

    def test_ports_differ_between_hosts(self, hosts):
        """Services of one machine never share a port."""
        assert len({host.port for host in hosts}) == len(hosts)

    def test_python_is_ours_with_compat_and_optiprov_on_its_path(self, hosts, tmp_path):
        """`python3` is the Python of the deployment, PYTHONPATH has compat/ first and then optiprov."""
        command = "python3 -c 'import sys; print(sys.prefix, *sys.path[1:3])'; echo $HOME $OPTIPROV_SPOOL"
        _, output = self.run(hosts[0], tmp_path, command)
        package = Path(optiprov.deploy.__file__).parents[1]
        directory = tmp_path / "hosts" / hosts[0].id
        assert output.split() == [
            *(sys.prefix, str(package / "compat"), str(package.parent)),
            *(str(directory / "home"), str(directory / "spool")),
        ]

    def test_environment_is_small_and_clean(self, hosts, tmp_path, monkeypatch):
        """Variables of the deploying process do not leak into a host's."""
        monkeypatch.setenv("LEAK", "1")
        _, output = self.run(hosts[0], tmp_path, "env -0 | tr '\\0\\n' '\\n '")
        names = {line.partition("=")[0] for line in output.splitlines()}
        shells_own = {"PWD", "SHLVL", "_", "OLDPWD"}
        assert names - shells_own == {
            "PATH",
            "LANG",
            "HOME",
            "TMPDIR",
            "PYTHONPATH",
            "OPTIPROV_SPOOL",
            "GIVEN",
        }

    def test_spool_stays_when_not_empty_after_destroy(self, provider, hosts, tmp_path):
        """Unsent provenance is never removed; everything else of the hosts is."""
        (hosts[0].spool_dir / "segment").touch()
        provider.destroy()
        left = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "hosts").rglob("*"))
        assert left == [
            f"hosts/{hosts[0].id}",
            f"hosts/{hosts[0].id}/spool",
            f"hosts/{hosts[0].id}/spool/segment",
        ]

    @needs_namespaces
    def test_shared_directory_is_visible_below_home(self, write_scenario, tmp_path, monkeypatch):
        """`environment: local: share` names directories that hosts see; the rest of HOME they do not."""
        home = tmp_path / "home"
        for name in ("data", "private"):
            (home / name).mkdir(parents=True)
        monkeypatch.setenv("HOME", str(home))
        layers = (SCENARIOS / "two_hosts" / "layers_services.yaml").read_text()
        layers = layers.replace("local:", f"local: {{share: [{home / 'data'}]}}")
        scenario = load_scenario(write_scenario(layers=layers))
        directory = tmp_path / "deployment"
        directory.mkdir()
        provider = LocalProvider()
        try:
            request = HostRequest(scenario.input_dirs, directory, {}, Journal(directory / "journal"))
            host = provider.deploy(scenario.placements, request)[0]
            assert self.run(host, tmp_path, f"ls {home}")[1] == "data\n"
        finally:
            provider.destroy()

    def test_hosts_are_made_when_the_user_has_no_home(
        self, provider, scenario, tmp_path, journal, monkeypatch
    ):
        """A user id without a passwd entry, as containers have, has no HOME to hide."""

        def unknown(uid):
            raise KeyError(uid)

        monkeypatch.delenv("HOME")
        monkeypatch.setattr(pwd, "getpwuid", unknown)
        try:
            request = HostRequest(scenario.input_dirs, tmp_path, {}, journal)
            host = provider.deploy(scenario.placements, request)[0]
            assert self.run(host, tmp_path, "echo $HOME")[1] == f"{tmp_path}/hosts/{host.id}/home\n"
        finally:
            provider.destroy()

    def test_deployment_is_refused_when_its_directory_contains_tmp(self, provider, scenario, tmp_path):
        """A directory around /tmp could not be visible beside a private /tmp."""
        request = HostRequest(scenario.input_dirs, Path(os.sep), {}, Journal(tmp_path / "journal"))
        with pytest.raises(DeploymentError, match="contains /tmp"):
            provider.deploy(scenario.placements, request)


def test_limits_hold_for_processes_of_a_host(deploy):
    """Those of the service, else those of the testbed; hosts take the CPUs in turn."""
    layers = (
        "environment: {local: {limits: {open_files: 100, cpus: 1}}}\nlayers:\n- name: edge\n  services:\n"
        "  - {name: Big, limits: {memory_mib: 512}}\n  - {name: Small, quantity: 2}\n"
    )
    command = "ulimit -v; ulimit -n; nproc; taskset --cpu-list --pid $$"
    workflow = f"- hosts: all\n  launch:\n    - shell: {command}\n"
    deployment = deploy(workflow, layers)
    deployment.prepare()
    deployment.launch()
    outputs = [path.read_text().splitlines() for path in sorted(deployment.directory.glob("logs/*/*.out"))]
    big, first, second = outputs
    assert big[0] == str(512 * 1024)
    assert big[1] != "100"
    assert [one[:3] for one in (first, second)] == [["unlimited", "100", "1"]] * 2
    usable = len(os.sched_getaffinity(0))
    assert (first[3].split(": ")[1] != second[3].split(": ")[1]) == (usable > 1)


def test_limits_that_cannot_be_held_are_told(deploy, monkeypatch):
    """Without the program that holds processes to them, nothing is deployed."""
    layers = "environment: {local: {limits: {cpus: 1}}}\nlayers:\n- {name: e, services: [{name: S}]}\n"
    monkeypatch.setattr("optiprov.deploy.providers.limits.shutil.which", lambda _name: None)
    with pytest.raises(DeploymentError, match=r"need the program taskset. Install util-linux"):
        deploy("[]\n", layers).prepare()


def test_hundreds_of_hosts_are_allowed_their_files(run_python):
    """The limit of open files is raised as far as they need; where it cannot be, they are refused."""
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (300, 5000))\n"
        "from optiprov.deploy.providers.open_files import allow_hosts\n"
        "allow_hosts(1); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        "allow_hosts(500); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        "try: allow_hosts(1000)\n"
        "except Exception as error: print(error)\n"
    )
    first, second, refused = run_python(code, path=[ROOT])[0].splitlines()
    assert (first, second) == ("300", "4256")
    assert refused.startswith("1000 local hosts need 8256 open files, and this user may have 5000")


def test_hosts_in_great_number_each_do_their_task(deploy):
    """More than a hundred and fifty, each in a directory of its own, told by its own variables."""
    layers = "environment: {local: }\nlayers:\n- {name: edge, services: [{name: W, quantity: 151}]}\n"
    deployment = deploy(
        "- hosts: all\n  launch:\n    - shell: echo {{ _self.host_id }} {{ _self.port }} > it\n", layers
    )
    deployment.prepare()
    deployment.launch()
    told = [(Path(host.working_dir) / "it").read_text().split() for host in deployment.hosts]
    assert told == [[f"edge.w.1.{number}", str(host.port)] for number, host in enumerate(deployment.hosts, 1)]
    assert len({port for _, port in told}) == 151
