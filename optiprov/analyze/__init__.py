"""Analysis of studies and runs: plots of trials."""
