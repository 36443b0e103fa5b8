"""MQTT topics.

Batches go to `optiprov/records/<topic>/<client>`, where <topic> is what PROVLIGHT_SERVER_TOPIC says: the
service subscribes to all of them, so that no setting of it sends provenance to where nobody listens.
"""

from __future__ import annotations

import re

RECORDS_PREFIX = "optiprov/records/"
RECORDS_FILTER = RECORDS_PREFIX + "#"
ACK_PREFIX = "optiprov/ack/"
SERVICE_TOPIC = (
    "optiprov/service"  # the service says here that it is up; clients send again what is not acknowledged
)

_DEFAULT = "default"
_MAX_TOPIC = 200  # characters of what the user names; MQTT allows 65535 bytes in all


def records_topic(topic: str, client: str) -> str:
    """Return where a client publishes its batches.

    >>> records_topic("/provlight-topic-1", "c0ffee")
    'optiprov/records/provlight-topic-1/c0ffee'
    >>> records_topic("", "c0ffee")
    'optiprov/records/default/c0ffee'
    """
    clean = re.sub(r"[+#\x00-\x1f\x7f-\x9f\ud800-\udfff]", "_", topic)[:_MAX_TOPIC].strip("/") or _DEFAULT
    return RECORDS_PREFIX + clean + "/" + client


def ack_topic(client: str) -> str:
    """Return where the service acknowledges a client's high-water mark."""
    return ACK_PREFIX + client
