"""ProvLight's `provlight.data`."""

from optiprov.capture import Data

__all__ = ["Data"]
