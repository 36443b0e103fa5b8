"""`python -m optiprov.cli`, the same as `optiprov`."""

from optiprov.cli.main import main

main()
