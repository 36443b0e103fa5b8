"""DfAnalyzer's `dfa_lib_python.element`."""

from optiprov.capture.dfanalyzer import Element

__all__ = ["Element"]
