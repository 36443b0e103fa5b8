"""E2Clab's `e2clab.services`."""

from optiprov import Service

__all__ = ["Service"]
