"""DfAnalyzer's `dfa_lib_python.program`."""

from optiprov.capture.specification import Program

__all__ = ["Program"]
