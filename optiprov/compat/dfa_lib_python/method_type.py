"""DfAnalyzer's `dfa_lib_python.method_type`."""

from optiprov.capture.dfanalyzer import MethodType

__all__ = ["MethodType"]
