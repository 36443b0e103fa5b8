"""DfAnalyzer's `dfa_lib_python.file`."""

from optiprov.capture.dfanalyzer import File

__all__ = ["File"]
