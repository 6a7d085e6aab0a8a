"""`python -m poster2plot`."""

import sys

from poster2plot.cli import main

if __name__ == "__main__":
    sys.exit(main())
