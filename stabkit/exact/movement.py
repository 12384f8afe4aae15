"""Operations that move elements and compute nothing: run on the places of the elements instead."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from flint import arb
from torch import Tensor
from torch._prims_common import compute_elementwise_output_strides
from torch.utils._mode_utils import no_dispatch

from stabkit.arithmetic.ball import Ball
from stabkit.exact.tensor import ExactTensor, UnsupportedOperationError, balls_of, numbered

COPIES = frozenset(
    (
        *("where", "masked_fill", "cat", "stack", "gather", "scatter", "index", "index_put", "index_select"),
        *("select_backward", "slice_backward", "diagonal_backward", "select_scatter"),
        *("slice_scatter", "tril", "triu", "constant_pad_nd", "flip", "roll", "repeat", "clone", "masked_select"),
        *("masked_scatter", "diag_embed", "embedding", "take", "_unsafe_view", "index_fill", "lift", "rot90"),
        *("expand_copy", "permute_copy", "pixel_shuffle", "reflection_pad1d", "diagonal_scatter", "put"),
        *("masked_scatter_backward", "as_strided_scatter"),
    )
)
WHERE = frozenset(("index", "indices", "mask", "condition"))  # arguments that say where; all others hold numbers
PLACED = {"masked_fill": (2,), "constant_pad_nd": (2,), "scatter": (3,), "index_fill": (3,), "where": (1, 2)}


def is_view(func: Any) -> bool:
    """Whether the result shares memory with the first argument."""
    return any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)


def viewed(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A view: the same cells at other places."""
    (x, *rest) = args
    if func is torch.ops.aten.view.dtype:
        raise UnsupportedOperationError("reading the bits of a tensor as another dtype")
    places = func(x.places, *rest, **kwargs)
    if isinstance(places, Tensor) and places.is_floating_point():  # a cast, which changes no number
        return ExactTensor(x.cells, x.places, places.dtype)
    return _over(places, x.cells, x.dtype)


def turned_in_place(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A tensor that becomes another view of its elements: its places and its own shape and strides do."""
    x = args[0]
    x.places = func(x.places.view(x.places.shape), *args[1:], **kwargs)
    with no_dispatch():
        func(*args, **kwargs)
    return x


def moved(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A copy: places of the elements are moved, place 0 holding the zero that gaps are filled with."""
    name, parts, dtypes, size = func.overloadpacket.__name__, [np.array([Ball(arb(0))], dtype=object)], [], 1
    if kwargs.get("accumulate") or "reduce" in kwargs:
        raise UnsupportedOperationError(f"{name} that computes where elements meet")

    def placed(value: Any, number: bool) -> Any:
        nonlocal size
        if isinstance(value, (list, tuple)):
            return type(value)(placed(v, False) for v in value)
        if not isinstance(value, Tensor) and not (number and isinstance(value, (int, float))):
            return value
        balls = balls_of(value)
        parts.append(balls.reshape(-1))
        start, size = size, size + balls.size
        if not isinstance(value, Tensor):
            return start
        dtypes.append(value.dtype)
        return torch.arange(start, size).reshape(value.shape)

    names, numbers = [a.name for a in func._schema.arguments], PLACED.get(name, ())
    named = enumerate(zip(names, args, strict=False))
    places = [v if n in WHERE else placed(v, k in numbers) for k, (n, v) in named]
    result = func(*places, **{n: v if n in WHERE else placed(v, False) for n, v in kwargs.items()})
    floating = [d for d in dtypes if d.is_floating_point]
    return _over(result, np.concatenate(parts), functools.reduce(torch.promote_types, floating), copy=True)


def _over(places: Any, cells: Any, dtype: torch.dtype, copy: bool = False) -> Any:
    if isinstance(places, (list, tuple)):
        return type(places)(_over(p, cells, dtype, copy) for p in places)
    if not copy:
        return ExactTensor(cells, places, dtype)
    return ExactTensor(cells[places.reshape(-1).numpy()], numbered(places), dtype)


def laid_out(func: Any, args: Sequence[Any], result: Any) -> Any:
    """The result of an elementwise operation with the strides that torch gives it."""
    operands = [a for a in args if isinstance(a, Tensor) and a.dim()]
    if all(a.is_contiguous() for a in operands):
        return result
    if not isinstance(result, ExactTensor) or torch.Tag.pointwise not in func.tags:
        return result
    spread = [(a.places if isinstance(a, ExactTensor) else a).expand(result.shape) for a in operands]
    strides = compute_elementwise_output_strides(*spread)
    places = torch.empty_strided(result.shape, strides, dtype=torch.int64).copy_(result.places)
    return ExactTensor(result.cells, places, result.dtype)
