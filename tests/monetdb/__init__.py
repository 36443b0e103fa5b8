"""A real MonetDB for tests: where it comes from, and its process."""
