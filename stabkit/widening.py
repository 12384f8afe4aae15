"""Inner arithmetic: all inputs in one dtype, at least float32, and the result rounded once."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

HALVES = (torch.float16, torch.bfloat16)


def in_one_dtype(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Runs an elementwise function with all its tensors in their promoted dtype, halves in float32.

    The result has the promoted dtype: float16 inputs give a float16 result, rounded once, and float16 beside
    float32 gives float32.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Tensor:
        dtypes = [v.dtype for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
        promoted = functools.reduce(torch.promote_types, dtypes)
        if not promoted.is_floating_point:
            promoted = torch.get_default_dtype()
        inner = torch.float32 if promoted in HALVES else promoted
        wide = [_in_dtype(v, inner) for v in args]
        return function(*wide, **{name: _in_dtype(v, inner) for name, v in kwargs.items()}).to(promoted)

    return wrapped


def _in_dtype(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) else value
