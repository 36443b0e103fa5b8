"""The provenance service: broker, ingest and HTTP API."""

from __future__ import annotations

from optiprov.serve.service import Service

__all__ = ["Service"]
