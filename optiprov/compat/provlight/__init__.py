"""ProvLight's package, so that applications written for it run unmodified."""
