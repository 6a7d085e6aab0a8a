"""A slice of `python -m reliability.faults`: those that take seconds."""

import pytest

from reliability import faults


@pytest.mark.parametrize(
    "trial", [faults.cache_that_cannot_be_made, faults.cache_on_a_full_disk, faults.little_memory]
)
def test_nothing_is_lost(trial):
    tries, survived, _ = trial()
    assert survived == tries
