"""Fixtures for faults."""

import pytest

from optiprov.capture import send_leftovers
from optiprov.wire import BrokerAddress
from tests.monetdb.databases import monetdb_server, monetdb_url

__all__ = ["monetdb_server", "monetdb_url"]


@pytest.fixture
def optiprov_spool_sent(tmp_path):
    """Sends what ended programs left in the spool to a service, and sees to it that nothing stays."""

    def send(service):
        assert send_leftovers(tmp_path / "spool", BrokerAddress.parse(service.mqtt)) == []
        assert list((tmp_path / "spool").glob("*/client.json")) == []

    return send
