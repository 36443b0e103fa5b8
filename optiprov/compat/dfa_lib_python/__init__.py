"""DfAnalyzer's package, so that specifications and applications written for it run unmodified."""
