"""The length of a cell, which is a limit of the whole process."""

import csv

from poster2plot.delimited_text import LONGEST_CELL, long_cells


def test_the_limit_of_a_cell_is_as_before_once_nobody_reads():
    before = csv.field_size_limit()
    one, other = long_cells(), long_cells()
    with one:
        assert csv.field_size_limit() == LONGEST_CELL
        other.__enter__()
    assert csv.field_size_limit() == LONGEST_CELL  # another table is still read
    other.__exit__(None, None, None)
    assert csv.field_size_limit() == before
