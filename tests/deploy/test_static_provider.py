"""Hosts that are reached by SSH, by real sshd processes on machines of their own."""

from pathlib import Path

import pytest

from optiprov.deploy import load_scenario
from optiprov.deploy.journal import Journal
from optiprov.deploy.providers.static import StaticProvider

from .provider_contract import ProviderContract


class TestStaticProvider(ProviderContract):
    """The provider `static` holds the contract, and more."""

    @pytest.fixture
    def provider(self):
        """A provider of hosts that are reached by SSH."""
        return StaticProvider()

    @pytest.fixture
    def scenario(self, write_scenario, static_layers):
        """Two hosts, on two machines."""
        return load_scenario(write_scenario(layers=static_layers()))

    def test_spool_that_was_not_sent_comes_here_when_hosts_are_destroyed(self, provider, hosts, pair):
        """What a client left on its host is in the local spool, and nothing is on the host any more."""
        assert all((machine.home / ".optiprov").exists() for machine in pair)
        hosts[0].connection.call("directories", f"{hosts[0].working_dir}/../spool/client", {"": 0o700})
        hosts[0].write(b"{}", "../spool/client/client.json", name="", mode=None)
        provider.destroy()
        assert (hosts[0].spool_dir / "client" / "client.json").read_text() == "{}"
        assert not hosts[1].spool_dir.exists()
        assert not any((machine.home / ".optiprov").exists() for machine in pair)

    def test_files_are_sent_only_where_they_changed(self, hosts, tmp_path, pair):
        """Of a directory that is there already, the files with another content are written, no others."""
        source = tmp_path / "source"
        (source / "below").mkdir(parents=True)
        for name in ("a", "below/b", "below/c"):
            (source / name).write_text(name)
        (source / "a").chmod(0o755)
        target = pair[0].home / hosts[0].working_dir.removeprefix("/root/") / "there"

        def files():
            return {name: (target / name).stat().st_ino for name in ("a", "below/b", "below/c")}

        hosts[0].put_directory(source, "there", content_only=True)
        before = files()
        (source / "below/b").write_text("B")
        hosts[0].put_directory(source, "there", content_only=True)
        after = files()
        assert {name for name in before if before[name] != after[name]} == {"below/b"}
        assert (target / "below/b").read_text() == "B"
        assert (target / "a").stat().st_mode & 0o777 == 0o755

    def test_long_files_go_there_and_back(self, hosts, tmp_path):
        """A file of many blocks arrives whole, in both directions, and leaves nothing beside it."""
        content = bytes(range(256)) * 50_000
        (tmp_path / "long").write_bytes(content)
        hosts[0].write(tmp_path / "long", "long", name="", mode=0o640)
        assert self.run(hosts[0], tmp_path, "ls -A . ../arriving; stat -c %a long")[1].split() == [
            *(".:", "long", "../arriving:", "640"),
        ]
        hosts[0].fetch("long", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == content

    def test_one_connection_serves_all_hosts_of_a_machine(
        self, write_scenario, static_layers, pair, tmp_path
    ):
        """Whatever the number of hosts and processes on it; hosts have ports and directories of their own."""
        machine = pair[0]
        layers = [{"name": "edge", "services": [{"name": "W", "quantity": 3}]}]
        scenario = load_scenario(write_scenario(layers=static_layers(machine, layers=layers)))
        before = machine.connections
        provider = StaticProvider()
        try:
            hosts = provider.deploy(
                scenario.placements, self.request(scenario, tmp_path, Journal(tmp_path / "j"))
            )
            for host in hosts:
                assert self.run(host, tmp_path, "pwd")[1] == f"{host.working_dir}\n"
            assert machine.connections == before + 1
            assert len({host.working_dir for host in hosts}) == len({host.port for host in hosts}) == 3
        finally:
            provider.destroy()

    def test_hosts_have_the_machines_that_services_name_or_the_next_in_turn(
        self, provider, write_scenario, static_layers, pair
    ):
        """`servers` names a machine of the testbed, or another one that is reached as they are."""
        services = [{"name": "A", "servers": pair[1].address}, {"name": "B", "quantity": 3}]
        services.append({"name": "C", "servers": "elsewhere"})
        layers = [{"name": "edge", "services": services}]
        scenario = load_scenario(write_scenario(layers=static_layers(layers=layers, port=22)))
        request = self.request(scenario, Path("/nowhere"), None)
        chosen = provider.machines(scenario.placements, request)
        first, second = (machine.address for machine in pair)
        assert [one.address for one in chosen] == [second, first, second, first, "elsewhere"]
        assert {(one.user, one.port) for one in chosen} == {("root", 22)}
