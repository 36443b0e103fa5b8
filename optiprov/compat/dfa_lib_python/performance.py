"""DfAnalyzer's `dfa_lib_python.performance`."""

from optiprov.capture.dfanalyzer import Performance

__all__ = ["Performance"]
