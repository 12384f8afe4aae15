"""Questions about exact numbers whose answer is a plain boolean or integer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stabkit.exact.elementwise import each
from stabkit.exact.operations import TABLE, Handler, operation
from stabkit.exact.tensor import balls_of


def _truth(x: Any) -> Tensor:
    """Which elements count as true: all that are not 0, NaN among them."""
    return torch.tensor(each(lambda v: v != 0, balls_of(x)).astype(bool))


def _of_truth(function: Callable[..., Any]) -> Handler:
    return lambda x, *args, **kwargs: function(_truth(x), *args, **kwargs)


TABLE.update({n: _of_truth(getattr(torch, n)) for n in ("any", "all", "nonzero", "count_nonzero", "argwhere")})


@operation("equal")
def _equal(x: Any, y: Any) -> bool:
    return x.shape == y.shape and bool(torch.eq(x, y).all())


@operation("allclose")
def _allclose(x: Any, y: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    return bool(torch.isclose(x, y, rtol, atol, equal_nan).all())
