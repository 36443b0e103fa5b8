"""Provenance written for others: as SQL that an empty database of another engine loads."""

from optiprov.export.sql import write_sql_dump

__all__ = ["write_sql_dump"]
