"""DfAnalyzer's `dfa_lib_python.dataset`."""

from optiprov.capture.dfanalyzer import DataSet

__all__ = ["DataSet"]
