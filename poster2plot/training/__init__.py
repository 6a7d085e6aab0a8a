"""Training of the bundled model, from public packages to a checkpoint of the stock classes.

Nothing else in the package imports this submodule. `python -m poster2plot.training --help` lists
the steps; `models/poster2plot-small/README.md` shows the run that made the bundled model.
"""
