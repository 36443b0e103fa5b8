"""DfAnalyzer's `dfa_lib_python.attribute_type`."""

from optiprov.capture.specification import AttributeType

__all__ = ["AttributeType"]
