"""DfAnalyzer's `dfa_lib_python.dataflow`."""

from optiprov.capture.specification import Dataflow

__all__ = ["Dataflow"]
