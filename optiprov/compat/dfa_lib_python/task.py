"""DfAnalyzer's `dfa_lib_python.task`."""

from optiprov.capture.dfanalyzer import Task

__all__ = ["Task"]
