"""What capture has to say to the people who run the application: warnings in the log, never exceptions."""

from __future__ import annotations


def warn(message: str, *values: object) -> None:
    """Log a warning; logging is imported here, since that takes 5 ms and most processes never warn."""
    import logging

    logging.getLogger("optiprov.capture").warning(f"optiprov: {message}", *values)  # noqa: G004 - the prefix of a format
