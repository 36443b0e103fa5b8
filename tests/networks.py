"""Tests whose hosts need a network of their own."""

import os

import pytest

from optiprov.deploy.network.host_network import network_obstacle


def require_networks():
    """Skip where this machine gives hosts none; under CI it has to."""
    obstacle = network_obstacle()
    if obstacle is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(obstacle)
        pytest.skip(obstacle)
