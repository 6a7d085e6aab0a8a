"""Plots for whole catalogues: `poster2plot-batch INPUT --output plots.parquet`."""

import sys


def main() -> int:
    """The program `poster2plot-batch`; says so where a package is missing."""
    try:
        from poster2plot.batch.__main__ import main as run
    except ModuleNotFoundError as error:
        print(
            f"error: Catalogues need the package {error.name}; `pip install 'poster2plot[batch]'`.",
            file=sys.stderr,
        )
        return 2
    return run()
