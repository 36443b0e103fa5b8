"""DfAnalyzer's `dfa_lib_python.transformation`."""

from optiprov.capture.specification import Transformation

__all__ = ["Transformation"]
