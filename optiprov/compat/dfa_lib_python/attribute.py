"""DfAnalyzer's `dfa_lib_python.attribute`."""

from optiprov.capture.specification import Attribute

__all__ = ["Attribute"]
