"""The largest values of long rows, against `torch.topk`."""

import pytest
import torch

from poster2plot.engine.topk import largest


@pytest.mark.parametrize("columns", [1, 31, 32, 320, 1000, 1024, 8007], ids="{} columns".format)
@pytest.mark.parametrize("count", [1, 2, 16])
def test_the_values_and_columns_of_topk(columns: int, count: int):
    count = min(count, columns)
    generator = torch.Generator().manual_seed(columns + count)
    rows = torch.randn(2, 3, columns, generator=generator)
    values, found = largest(rows, count)
    expected = rows.topk(count)
    assert torch.equal(values, expected.values)
    assert torch.equal(found, expected.indices)


def test_neighbours_in_one_block_and_in_the_rest():
    rows = torch.zeros(1, 1003)
    rows[0, 500:508] = torch.arange(1.0, 9.0)
    rows[0, -2:] = torch.tensor([20.0, 10.0])
    values, columns = largest(rows, 6)
    assert values.tolist() == [[20, 10, 8, 7, 6, 5]]
    assert columns.tolist() == [[1001, 1002, 507, 506, 505, 504]]


def test_equal_and_impossible_values_are_each_found_once():
    rows = torch.full((4, 1000), -torch.inf)
    rows[1] = 1.0
    rows[2, 999] = 0.0
    rows[3, 40:44] = 2.0
    values, columns = largest(rows, 8)
    assert torch.equal(values, rows.topk(8).values)
    assert torch.equal(values, rows.gather(-1, columns))
    assert all(len(set(row)) == 8 for row in columns.tolist())
