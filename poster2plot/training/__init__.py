"""Fine-tuning: posters and plots in, an evaluated checkpoint of the stock classes with a card out.

Nothing else in the package imports this submodule. `python -m poster2plot.training --help` lists
the commands; `docs/training.md` shows how to repeat the original and the bundled model.
"""
