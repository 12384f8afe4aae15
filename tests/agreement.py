"""Whether a program computes on exact numbers what float64 torch computes, forward and backward."""

import math
from collections.abc import Callable
from typing import Any

import flint
import pytest
import torch
from torch import Tensor

from stabkit.exact.tensor import ExactTensor, balls_of, exact_world, lifted

BITS = 200


def agrees(function: Callable[..., Any], *inputs: Tensor, slopes: bool = True) -> None:
    """Every tensor returned, and the slopes of their sum, are those of float64, whose own polygamma is good to eight
    digits; random draws start from the same seed."""
    plain = [x.clone().requires_grad_(slopes and x.is_floating_point()) for x in inputs]
    expected, expected_slopes = returned(function, plain)
    with flint.ctx.workprec(BITS), exact_world():
        leaves = [lifted(x).requires_grad_(slopes and x.is_floating_point()) for x in inputs]
        found, found_slopes = returned(function, leaves)
    assert any(isinstance(x, ExactTensor) for x in found) or not any(x.is_floating_point() for x in expected)
    for a, b in zip(found, expected, strict=True):
        same(a, b, rel=1e-10, floor=1e-13)
    for a, b in zip(found_slopes, expected_slopes, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            same(a, b, rel=1e-8, floor=1e-12)


def returned(function: Callable[..., Any], leaves: list[Tensor]) -> tuple[list[Tensor], list[Any]]:
    """The tensors that a function returns, and the slopes of the sum of the differentiable ones by the leaves."""
    torch.manual_seed(0)
    results = tensors_in(function(*leaves))
    smooth = [x for x in results if x.requires_grad]
    wanted = [x for x in leaves if x.requires_grad]
    if not smooth or not wanted:
        return results, []
    return results, list(torch.autograd.grad(smooth, wanted, [torch.ones_like(x) for x in smooth], allow_unused=True))


def tensors_in(result: Any) -> list[Tensor]:
    """A tensor, or all those of nested lists and tuples."""
    return [result] if isinstance(result, Tensor) else [x for part in result for x in tensors_in(part)]


def same(found: Tensor, expected: Tensor, rel: float, floor: float) -> None:
    """Shapes, dtypes and elements are the same, NaN being one number."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert numbers(found) == pytest.approx(expected.double().flatten().tolist(), rel=rel, abs=floor, nan_ok=True)


def numbers(x: Tensor) -> list[float]:
    """The elements as doubles."""
    return [math.nan if b.x.is_nan() else float(b.x.mid()) for b in balls_of(x).reshape(-1)]
