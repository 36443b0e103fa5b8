"""What the tests of capture share."""

import os

import pytest

from optiprov.capture import client as client_module


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """The process's client spools below the returned directory and has no broker."""
    for name in list(os.environ):
        if name.startswith(("OPTIPROV_", "PROVLIGHT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPTIPROV_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("OPTIPROV_ENVIRONMENT", "0")
    monkeypatch.setattr(client_module, "_client", None)
    yield tmp_path / "spool"
    client_module._close_at_exit()
