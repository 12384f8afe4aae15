"""Tensors that an operation makes of nothing, in the image of an exact one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabkit.exact.tensor import ExactTensor, balls_of, numbered


def filled(like: Tensor, value: Any, dtype: torch.dtype | None) -> Tensor:
    """One number everywhere, in the shape and strides of a plain tensor."""
    if dtype is not None and not dtype.is_floating_point:
        return torch.empty_like(like, dtype=dtype).fill_(value)
    cells = np.empty(like.numel(), dtype=object)
    cells.fill(balls_of(value)[()])
    return ExactTensor(cells, numbered(like), dtype or like.dtype)


def like_it(x: Any, value: Any = 0, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    """`zeros_like` and its kin."""
    return filled(x.places, value, dtype or x.dtype)


def evenly(start: Any, end: Any, steps: int, *, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    """`linspace`: from start to end, both included."""
    first, last = balls_of(start)[()], balls_of(end)[()]
    cells = np.empty(steps, dtype=object)
    cells[:] = [first + (last - first) * k / max(steps - 1, 1) for k in range(steps)]
    return ExactTensor(cells, torch.arange(steps), dtype or torch.get_default_dtype())


def of_size(x: Any, size: Sequence[int], value: Any = 0, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    """`new_zeros` and its kin."""
    return filled(torch.empty(tuple(size), dtype=torch.int64), value, dtype or x.dtype)


def of_strides(x: Any, size: Sequence[int], stride: Sequence[int], dtype: Any = None, **_: Any) -> Tensor:
    """`new_empty_strided`, filled with 0."""
    return filled(torch.empty_strided(tuple(size), tuple(stride), dtype=torch.int64), 0, dtype or x.dtype)
