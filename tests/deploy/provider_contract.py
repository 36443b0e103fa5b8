"""What every provider has to hold; a new provider's tests subclass `ProviderContract`."""

import json

import pytest

from optiprov.deploy.client_archive import write_client_archive
from optiprov.deploy.journal import Journal
from optiprov.deploy.providers.base import HostRequest

TMP = "/tmp"  # noqa: S108  private to each host


class ProviderContract:
    """Subclasses have a fixture `provider` and a fixture `scenario` whose hosts it can deploy."""

    @pytest.fixture
    def journal(self, tmp_path):
        """The journal of the deployment."""
        return Journal(tmp_path / "journal.jsonl")

    @pytest.fixture
    def hosts(self, provider, scenario, tmp_path, journal):
        """The hosts of the scenario, destroyed at the end."""
        yield provider.deploy(scenario.placements, self.request(scenario, tmp_path, journal))
        provider.destroy()

    def request(self, scenario, tmp_path, journal, **more):
        """What is asked of the provider."""
        given = {"GIVEN": "to all"}
        more |= {"isolation": scenario.isolation, "testbeds": scenario.layers_services.environment}
        return HostRequest(scenario.input_dirs, tmp_path, given, journal, **more)

    def run(self, host, tmp_path, command, **arguments):
        """Status and output of a shell command on a host."""
        arguments = {"chdir": None, "environment": {}, **arguments}
        out, err = tmp_path / "out", tmp_path / "err"
        out.unlink(missing_ok=True)
        process = host.start([host.shell, "-c", command], stdout=out, stderr=err, **arguments)
        return process.wait(), out.read_text()

    def test_hosts_come_in_the_order_of_placements(self, hosts, scenario):
        """Each placement has its host, with an address and a port."""
        assert [host.placement for host in hosts] == list(scenario.placements)
        assert all(host.address and host.port for host in hosts)

    def test_hosts_are_journalled(self, hosts, journal):
        """Each host is in the journal."""
        events = [json.loads(line) for line in journal.path.read_text().splitlines()]
        hosts_written = [event["id"] for event in events if event["event"] == "host"]
        assert hosts_written == [host.id for host in hosts]

    def test_hosts_are_taken_as_they_were_made(self, hosts, provider, scenario, tmp_path, journal):
        """Another process goes on with the hosts of the journal: the same address, port and files."""
        hosts[0].write(b"kept", "file", name="", mode=None)
        provider.detach()
        lines = journal.path.read_text().splitlines()
        events = map(json.loads, lines)
        made = {event["id"]: event for event in events if event["event"] == "host"}
        request = self.request(scenario, tmp_path, journal, made=made)
        second = type(provider)()
        again = second.deploy(scenario.placements, request)
        assert [(one.id, one.address, one.port, one.working_dir) for one in again] == [
            (one.id, one.address, one.port, one.working_dir) for one in hosts
        ]
        assert self.run(again[0], tmp_path, "cat file") == (0, "kept")
        assert journal.path.read_text().splitlines() == lines
        second.destroy()

    def test_process_has_environment_and_directory(self, hosts, tmp_path):
        """Processes run in the working directory or the one asked for, with all variables, in a session."""
        host = hosts[0]
        host.write(b"", "below/file", name="", mode=None)
        status, output = self.run(
            host, tmp_path, 'pwd; echo "$GIVEN $OWN"; exit 3', chdir="below", environment={"OWN": "own"}
        )
        assert (status, output) == (3, f"{host.working_dir}/below\nto all own\n")

    def test_files_are_private_to_a_host(self, hosts, tmp_path):
        """A path below /tmp or HOME is another file on each host, for tasks and for processes."""
        for host in hosts:
            host.write(host.id.encode(), f"{TMP}/who", name="", mode=0o600)
            host.write(host.id.encode(), "~/who", name="", mode=None)
        for host in hosts:
            assert self.run(host, tmp_path, "cat /tmp/who ~/who")[1] == host.id * 2

    def test_file_goes_below_dest_when_that_is_a_directory(self, hosts, tmp_path):
        """A directory, or a trailing slash, takes the file's own name."""
        hosts[0].write(b"a", "folder/", name="a.txt", mode=0o755)
        hosts[0].write(b"b", "folder", name="b.txt", mode=None)
        assert self.run(hosts[0], tmp_path, "cat folder/a.txt folder/b.txt; test -x folder/a.txt") == (
            0,
            "ab",
        )

    def test_directories_go_there_and_back(self, hosts, tmp_path):
        """A directory is copied as a whole, or its content; fetching it gives it back."""
        source = tmp_path / "source"
        source.mkdir()
        (source / "file").write_text("content")
        hosts[0].put_directory(source, f"{TMP}/whole", content_only=False)
        hosts[0].put_directory(source, f"{TMP}/content", content_only=True)
        hosts[0].fetch(f"{TMP}/whole/source", tmp_path / "back")
        hosts[0].fetch(f"{TMP}/content/file", tmp_path / "new" / "file")
        assert (
            (tmp_path / "back" / "file").read_text() == (tmp_path / "new" / "file").read_text() == "content"
        )

    def test_client_in_a_zip_is_found_first(self, hosts, tmp_path):
        """Processes of a host that was given the client import it from the copy on the host."""
        archive = write_client_archive(tmp_path / "client.zip")
        hosts[0].give_client(archive)
        archive.unlink()
        code = "import optiprov.capture, provlight.task as t; print(optiprov.__file__, t.__file__)"
        status, output = self.run(hosts[0], tmp_path, f"python3 -c '{code}'")
        assert (status, output.count("client.zip/")) == (0, 2)
        assert "client.zip" not in self.run(hosts[1], tmp_path, f"python3 -c '{code}'")[1]

    def test_fetch_fails_when_file_is_missing(self, hosts, tmp_path):
        """A file that is not on the host is a FileNotFoundError that names both."""
        with pytest.raises(FileNotFoundError, match=rf"nothing is not on host {hosts[0].id}"):
            hosts[0].fetch("nothing", tmp_path / "x")
