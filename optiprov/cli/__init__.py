"""The command line."""

import gc

# What a command imports stays: to look for garbage in it was a tenth of a short command.
gc.set_threshold(100_000, 20, 20)
