"""DfAnalyzer's `dfa_lib_python.task_status`."""

from optiprov.capture.dfanalyzer import TaskStatus

__all__ = ["TaskStatus"]
