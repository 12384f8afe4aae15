"""Sorting and what rests on it, on exact tensors: every place is decided by comparisons of exact numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabkit.arithmetic.ball import Ball
from stabkit.exact import reductions as over
from stabkit.exact.elementwise import larger, smaller
from stabkit.exact.operations import TABLE, Handler, operation, result_dtype
from stabkit.exact.states import NAN
from stabkit.exact.tensor import balls_of, exact


def _order(a: Ball, b: Ball) -> int:
    """-1, 0 or 1; NaN is the largest, as torch sorts it."""
    if a is b:
        return 0
    if a.x.is_nan() or b.x.is_nan():
        return int(a.x.is_nan()) - int(b.x.is_nan())
    return -1 if a < b else 1 if a > b else 0


def sorted_places(x: Any, dim: int, descending: bool = False) -> Any:
    """int64: which element comes at each place along one dimension; equal ones stay in order."""
    rows = np.moveaxis(x, dim, -1)
    places = np.empty(rows.shape, dtype=np.int64)
    for at in np.ndindex(*rows.shape[:-1]):
        row = rows[at]
        rank = functools.cmp_to_key(lambda i, j, row=row: _order(row[i], row[j]))  # type: ignore[misc]
        places[at] = sorted(range(len(row)), key=rank, reverse=descending)
    return np.moveaxis(places, -1, dim)


def _taken(x: Any, places: Any, dim: int) -> tuple[Tensor, Tensor]:
    """The elements at those places, and the places."""
    if not x.dim():
        return exact(balls_of(x).copy(), result_dtype(x)), torch.tensor(0)
    chosen = np.take_along_axis(balls_of(x), places, dim)
    return exact(chosen, result_dtype(x)), torch.from_numpy(np.ascontiguousarray(places))


@operation("sort")
def _sort(x: Any, dim: int = -1, descending: bool = False, *, stable: bool | None = None) -> tuple[Tensor, Tensor]:
    return _taken(x, sorted_places(balls_of(x), dim, descending) if x.dim() else None, dim)


@operation("argsort")
def _argsort(x: Any, dim: int = -1, descending: bool = False, **_: Any) -> Tensor:
    return _sort(x, dim, descending)[1]


@operation("topk")
def _topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:  # noqa: A002
    places = np.take(sorted_places(balls_of(x), dim, largest), range(k), dim) if x.dim() else None
    return _taken(x, places, dim)


@operation("kthvalue")
def _kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    places = np.take(sorted_places(balls_of(x), dim), [k - 1], dim) if x.dim() else None
    return _kept(_taken(x, places, dim), dim, keepdim or not x.dim())


def _kept(found: tuple[Tensor, Tensor], dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    return found if keepdim else (found[0].squeeze(dim), found[1].squeeze(dim))


def _middle(ignoring: bool) -> Handler:
    """The median, of an even count the lower; of a row with NaN undefined, or that of its numbers."""

    def middle_of(row: Any, places: Any) -> int:
        undefined = [k for k, v in enumerate(row) if v.x.is_nan()]
        if undefined and not ignoring:
            return undefined[0]
        return int(places[max(len(row) - len(undefined) - 1, 0) // 2])

    def handle(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is None:
            flat = x.reshape(-1)
            return handle(flat, 0)[0] if flat.numel() else exact(NAN, result_dtype(x))
        if not x.dim():
            return _taken(x, None, dim)
        rows, orders = (np.moveaxis(a, dim, -1) for a in (balls_of(x), sorted_places(balls_of(x), dim)))
        chosen = np.empty((*rows.shape[:-1], 1), dtype=np.int64)
        for at in np.ndindex(*rows.shape[:-1]):
            chosen[(*at, 0)] = middle_of(rows[at], orders[at])
        return _kept(_taken(x, np.moveaxis(chosen, -1, dim), dim), dim, keepdim)

    return handle


TABLE["median"], TABLE["nanmedian"] = _middle(ignoring=False), _middle(ignoring=True)


def _running(replaces: Callable[[Ball, Ball], bool]) -> Handler:
    """The extreme so far and its last place; NaN stays once it is met."""

    def handle(x: Any, dim: int) -> tuple[Tensor, Tensor]:
        if not x.dim():
            return _taken(x, None, dim)
        rows = np.moveaxis(balls_of(x), dim, -1)
        places = np.empty(rows.shape, dtype=np.int64)
        for at in np.ndindex(*rows.shape[:-1]):
            best = 0
            for k, v in enumerate(rows[at]):
                held = rows[at][best]
                best = k if v.x.is_nan() or (not held.x.is_nan() and replaces(v, held)) else best
                places[(*at, k)] = best
        return _taken(x, np.moveaxis(places, -1, dim), dim)

    return handle


TABLE["cummax"] = _running(lambda v, held: v is held or v >= held)
TABLE["cummin"] = _running(lambda v, held: v is held or v <= held)


def _first_place(pick: Callable[[Ball, Ball], Ball]) -> Handler:
    def handle(x: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
        if dim is not None and x.dim():
            return torch.tensor(over.place_of(pick, balls_of(x), dim, keepdim))
        place = torch.tensor(over.place_of(pick, balls_of(x).reshape(-1), 0))
        return place.reshape((1,) * x.dim()) if keepdim else place

    return handle


TABLE["argmax"], TABLE["argmin"] = _first_place(larger), _first_place(smaller)


@operation("searchsorted")
def _searchsorted(
    sequence: Any,
    x: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    after = right or side == "right"
    numbers: Any = balls_of(x)
    rows: Any = balls_of(sequence if sorter is None else sequence.gather(-1, sorter))
    places = np.empty(numbers.shape, dtype=np.int32 if out_int32 else np.int64)
    for at in np.ndindex(*numbers.shape):
        places[at] = _place_in(rows if rows.ndim == 1 else rows[at[:-1]], numbers[at], after)
    return torch.from_numpy(places)


@operation("bucketize")
def _bucketize(x: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Tensor:
    return _searchsorted(boundaries, x, out_int32=out_int32, right=right)


def _place_in(row: Any, v: Ball, after: bool) -> int:
    """How many elements of a sorted row come before v, or not after it."""
    low, high = 0, len(row)
    while low < high:
        middle = (low + high) // 2
        reached = row[middle] > v if after else row[middle] >= v
        low, high = (low, middle) if reached else (middle + 1, high)
    return low
