"""DfAnalyzer's `dfa_lib_python.dependency`."""

from optiprov.capture.dfanalyzer import Dependency

__all__ = ["Dependency"]
