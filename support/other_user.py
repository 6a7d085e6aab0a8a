"""Work as a user to whom root's closed files are closed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65534  # a user


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be nobody until the end of the block, unless one is no root anyway."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
