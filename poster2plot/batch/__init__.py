"""Plots for whole catalogues: `python -m poster2plot.batch INPUT --output plots.parquet`."""
