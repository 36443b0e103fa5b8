"""DfAnalyzer's `dfa_lib_python.set`."""

from optiprov.capture.specification import Set

__all__ = ["Set"]
