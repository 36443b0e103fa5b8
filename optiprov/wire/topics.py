"""MQTT topics.

    <prefix>/optiprov/records/<shard>/<topic>/<client>   batches; <topic> is what PROVLIGHT_SERVER_TOPIC says
    <prefix>/optiprov/ack/<client>                       the service acknowledges what it has stored
    <prefix>/optiprov/service                            the service says that it is up

The service subscribes to the batches of all topics, so that no setting of PROVLIGHT_SERVER_TOPIC sends
provenance to where nobody listens. It refuses a batch whose header names another client than its topic does:
where a broker says which topics a user may publish to, nobody writes as another. The shard, one of 16,
follows from the client's id: a service with several ingest lanes has each subscribe to shards of its own, and
all batches of a client go through one lane. The prefix is a part of the broker's address; it separates the
stores that one broker serves.
"""

from __future__ import annotations

import re
from typing import List
from zlib import crc32

SHARDS = 16
RECORDS_PREFIX = "optiprov/records/"
ACK_PREFIX = "optiprov/ack/"
SERVICE_TOPIC = "optiprov/service"  # below the prefix; clients send again what is not acknowledged

_DEFAULT = "default"
_MAX_TOPIC = 200  # characters of what the user names; MQTT allows 65535 bytes in all


def shard(client: str) -> int:
    """Return which of the `SHARDS` a client's batches belong to.

    >>> shard("c0ffee")
    9
    """
    return crc32(client.encode("utf-8", "replace")) % SHARDS


def records_topic(topic: str, client: str, prefix: str = "") -> str:
    """Return where a client publishes its batches.

    >>> records_topic("/provlight-topic-1", "c0ffee")
    'optiprov/records/9/provlight-topic-1/c0ffee'
    >>> records_topic("", "c0ffee", "site-a")
    'site-a/optiprov/records/9/default/c0ffee'
    """
    clean = re.sub(r"[+#\x00-\x1f\x7f-\x9f\ud800-\udfff]", "_", topic)[:_MAX_TOPIC].strip("/") or _DEFAULT
    return _below(prefix, f"{RECORDS_PREFIX}{shard(client):x}/{clean}/{client}")


def client_of(topic: str) -> str:
    """Return the client that a topic of batches names.

    >>> client_of("site-a/optiprov/records/9/default/c0ffee")
    'c0ffee'
    """
    return topic.rpartition("/")[2]


def lane_of(client: str, lanes: int) -> int:
    """Return which of a service's ingest lanes receives a client's batches."""
    return shard(client) % lanes


def lane_filters(lane: int, lanes: int, prefix: str = "") -> List[str]:
    """Return what one of a service's ingest lanes subscribes to.

    >>> lane_filters(0, 1)
    ['optiprov/records/#']
    >>> lane_filters(1, 8, "site-a")
    ['site-a/optiprov/records/1/#', 'site-a/optiprov/records/9/#']
    """
    if lanes == 1:
        return [_below(prefix, RECORDS_PREFIX + "#")]
    return [_below(prefix, f"{RECORDS_PREFIX}{number:x}/#") for number in range(lane, SHARDS, lanes)]


def ack_topic(client: str, prefix: str = "") -> str:
    """Return where the service acknowledges a client's high-water mark."""
    return _below(prefix, ACK_PREFIX + client)


def service_topic(prefix: str = "") -> str:
    """Return where the service says that it is up."""
    return _below(prefix, SERVICE_TOPIC)


def _below(prefix: str, topic: str) -> str:
    return f"{prefix}/{topic}" if prefix else topic
