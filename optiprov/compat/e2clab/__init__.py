"""E2Clab's package, so that services written for it are deployed unmodified."""

from optiprov import Service

__all__ = ["Service"]
