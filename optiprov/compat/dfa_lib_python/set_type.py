"""DfAnalyzer's `dfa_lib_python.set_type`."""

from optiprov.capture.specification import SetType

__all__ = ["SetType"]
