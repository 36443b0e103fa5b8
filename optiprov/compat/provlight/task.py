"""ProvLight's `provlight.task`."""

from optiprov.capture import Task

__all__ = ["Task"]
