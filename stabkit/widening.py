"""Inner arithmetic of half precision: float16 and bfloat16 inputs are computed in float32 and rounded once."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

HALVES = (torch.float16, torch.bfloat16)


def in_float32_if_half(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Runs an elementwise function in float32 when its widest tensor is half precision; the result is rounded back."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Tensor:
        dtypes = [v.dtype for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and v.is_floating_point()]
        promoted = functools.reduce(torch.promote_types, dtypes) if dtypes else torch.float32
        if promoted not in HALVES:
            return function(*args, **kwargs)
        wide = [_widened(v) for v in args]
        return function(*wide, **{name: _widened(v) for name, v in kwargs.items()}).to(promoted)

    return wrapped


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
