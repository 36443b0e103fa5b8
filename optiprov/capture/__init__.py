"""The client that an application imports to emit its provenance.

It needs nothing but the standard library and, once it connects, paho-mqtt; it runs on Python 3.8 and later.
"""

from __future__ import annotations

from optiprov.capture.client import Client, get_client
from optiprov.capture.data import Data, File
from optiprov.capture.leftover import send_leftovers, spool_heads
from optiprov.capture.settings import Settings
from optiprov.capture.task import Task
from optiprov.capture.workflow import Workflow

__all__ = [
    "Client",
    "Data",
    "File",
    "Settings",
    "Task",
    "Workflow",
    "get_client",
    "send_leftovers",
    "spool_heads",
]
