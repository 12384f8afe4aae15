"""Writing by index where several elements may meet at one place."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabkit.arithmetic.ball import Ball
from stabkit.exact.elementwise import larger, smaller
from stabkit.exact.movement import moved
from stabkit.exact.operations import operation, result_dtype
from stabkit.exact.tensor import balls_of, exact

MEETING = {"sum": Ball.__add__, "mean": Ball.__add__, "prod": Ball.__mul__, "amax": larger, "amin": smaller}


@operation("scatter_reduce")
def _scatter_reduce(x: Any, dim: int, index: Tensor, source: Any, reduce: str, *, include_self: bool = True) -> Tensor:
    result, values = balls_of(x).copy(), balls_of(source)
    meeting: dict[tuple[int, ...], list[Any]] = {}
    for at in np.ndindex(*index.shape):
        place = list(at)
        place[dim] = int(index[at])
        meeting.setdefault(tuple(place), [result[tuple(place)]] if include_self else []).append(values[at])
    for where, numbers in meeting.items():
        met = functools.reduce(MEETING[reduce], numbers)
        result[where] = met / len(numbers) if reduce == "mean" else met
    return exact(result, result_dtype(x))


@operation("scatter_add")
def _scatter_add(x: Any, dim: int, index: Tensor, source: Any) -> Tensor:
    return _scatter_reduce(x, dim, index, source, "sum")


@operation("index_put")
def _index_put(x: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Tensor:
    if not accumulate:
        return moved(torch.ops.aten.index_put.default, (x, indices, values), {})  # type: ignore[no-any-return]
    places = torch.arange(math.prod(x.shape)).reshape(x.shape)
    flat, chosen = balls_of(x).copy().reshape(-1), torch.ops.aten.index(places, indices)
    added = np.broadcast_to(balls_of(values), tuple(chosen.shape)).reshape(-1)
    for place, value in zip(chosen.reshape(-1).tolist(), added, strict=True):
        flat[place] = flat[place] + value
    return exact(flat.reshape(tuple(x.shape)), result_dtype(x))
