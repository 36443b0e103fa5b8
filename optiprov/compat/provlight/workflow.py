"""ProvLight's `provlight.workflow`."""

from optiprov.capture import Workflow

__all__ = ["Workflow"]
