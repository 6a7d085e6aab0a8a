"""Linear layers in each precision, against `torch.nn.functional.linear`."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from poster2plot import CheckpointError, Poster2Plot
from poster2plot.engine.linear import Linear, precisions, prepack_linears
from poster2plot.engine.quantization import smooth

CPU = torch.device("cpu")
TOLERANCE = {"fp32": 1e-5, "int8": 0.03}


@pytest.mark.parametrize("rows", [(1,), (2, 3, 4), (200,)])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("precision", precisions(CPU))
def test_products_are_close_to_those_of_torch(precision, biased: bool, rows: tuple[int, ...]):
    torch.manual_seed(0)
    weight, x = torch.randn(48, 32), torch.randn(*rows, 32)
    bias = torch.randn(48) if biased else None
    with torch.inference_mode():
        found, expected = Linear(weight, bias, precision)(x), F.linear(x, weight, bias)
    assert found.shape == expected.shape
    error = (found - expected).norm() / expected.norm()
    assert error < TOLERANCE[precision]


@pytest.mark.parametrize("precision", precisions(CPU))
def test_a_transposed_weight_and_a_transposed_input_are_read_right(precision):
    torch.manual_seed(0)
    weight, x = torch.randn(32, 48).T, torch.randn(32, 6).T
    with torch.inference_mode():
        found, expected = Linear(weight, None, precision)(x), F.linear(x, weight)
    assert (found - expected).norm() / expected.norm() < TOLERANCE[precision]


def test_every_linear_layer_of_a_module_is_replaced():
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 4), torch.nn.Sequential(torch.nn.Linear(4, 2, bias=False))
    )
    x = torch.randn(3, 4)
    with torch.inference_mode():
        expected = module(x)
        prepack_linears(module, "fp32")
        torch.testing.assert_close(module(x), expected)
    assert not any(type(each) is torch.nn.Linear for each in module.modules())


@pytest.mark.parametrize("name", ["bf16", "fp8"])
def test_a_precision_that_the_cpu_lacks_is_an_error_that_names_the_others(tiny_folder, name: Any):
    with pytest.raises(CheckpointError, match=f"{name} does not work .* choose .*fp32"):
        Poster2Plot.from_pretrained(tiny_folder, "cpu", precision=name)


def test_smoothing_shares_what_sets_columns_apart():
    generator = torch.Generator().manual_seed(0)
    gain, shift, weight, x = (
        torch.randn(*size, generator=generator) for size in ((32,), (32,), (32, 48), (5, 32))
    )
    gain[3] *= 100
    weight[7] *= 100
    smooth_gain, smooth_shift, smooth_weight = smooth(gain, shift, weight)
    torch.testing.assert_close(
        (x * smooth_gain + smooth_shift) @ smooth_weight, (x * gain + shift) @ weight
    )
    torch.testing.assert_close(torch.hypot(smooth_gain, smooth_shift), smooth_weight.abs().amax(1))
