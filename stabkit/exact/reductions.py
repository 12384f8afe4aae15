"""Reductions and products of matrices on balls; arrays in, arrays out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from flint import arb

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact.elementwise import divided, each, larger, power, smaller
from stabkit.exact.special_functions import log_of_sum
from stabkit.exact.states import ZERO

B = BallSystem
Axes = int | Sequence[int] | None


def axes_of(dim: Axes, count: int) -> tuple[int, ...]:
    """The dimensions that a reduction runs over, as torch reads them: none or an empty list means all."""
    if dim is None or (not isinstance(dim, int) and not len(dim)):
        return tuple(range(count))
    return tuple(d % count for d in ((dim,) if isinstance(dim, int) else dim)) if count else ()


def total(x: Any, dim: Axes = None, keepdim: bool = False) -> Any:
    """The sum."""
    axes = axes_of(dim, x.ndim)
    if any(x.shape[a] == 0 for a in axes) or not axes:
        return x if not axes else _filled(x, axes, keepdim)
    return _reduced(lambda a, b: a + b, x, axes, keepdim) if x.ndim else x


def _filled(x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    shape = [1 if a in axes else n for a, n in enumerate(x.shape) if keepdim or a not in axes]
    result = np.empty(shape, dtype=object)
    result.fill(ZERO)
    return result


def _array(x: Any) -> Any:
    return x if isinstance(x, np.ndarray) else each(lambda v: v, x)


def size(x: Any, dim: Axes) -> int:
    """How many elements each reduction takes in."""
    return int(np.prod([x.shape[a] for a in axes_of(dim, x.ndim)]))


def mean(x: Any, dim: Axes = None, keepdim: bool = False) -> Any:
    """The arithmetic mean."""
    count = size(x, dim)
    return each(lambda v: v / count, total(x, dim, keepdim))


def total_of_numbers(x: Any, dim: Axes = None, keepdim: bool = False) -> Any:
    """The sum of what is not NaN."""
    return total(each(lambda v: ZERO if v.x.is_nan() else v, x), dim, keepdim)


def product(x: Any, dim: Axes = None, keepdim: bool = False) -> Any:
    """The product."""
    return _reduced(lambda a, b: a * b, x, dim, keepdim)


def greatest(x: Any, dim: Axes = None, keepdim: bool = False) -> Any:
    """The largest element."""
    return _reduced(larger, x, dim, keepdim)


def least(x: Any, dim: Axes = None, keepdim: bool = False) -> Any:
    """The smallest element."""
    return _reduced(smaller, x, dim, keepdim)


def _reduced(function: Any, x: Any, dim: Axes, keepdim: bool) -> Any:
    reduce: Any = np.frompyfunc(function, 2, 1).reduce
    for axis in sorted(axes_of(dim, x.ndim), reverse=True):
        x = _array(reduce(x, axis=axis, keepdims=keepdim))
    return x


def place_of(pick: Any, x: Any, dim: int, keepdim: bool = False) -> Any:
    """The first place of the largest (`larger`) or smallest element along one dimension, int64."""
    rows = np.moveaxis(x, dim, -1)
    best = np.empty(rows.shape[:-1], dtype=np.int64)
    for at in np.ndindex(*rows.shape[:-1]):
        row = rows[at]
        wanted = functools.reduce(pick, row)
        best[at] = next(k for k, v in enumerate(row) if v is wanted or v == wanted)
    return np.expand_dims(best, dim) if keepdim else best


def logsumexp(x: Any, dim: Axes, keepdim: bool = False) -> Any:
    """log of the sum of exponentials; -inf of none."""
    axes = axes_of(dim, x.ndim)
    kept = [a for a in range(x.ndim) if a not in axes]
    rows = np.transpose(x, (*kept, *axes)).reshape((*(x.shape[a] for a in kept), size(x, dim)))
    result = np.empty(rows.shape[:-1], dtype=object)
    for at in np.ndindex(*result.shape):
        result[at] = log_of_sum(rows[at])
    return np.expand_dims(result, axes) if keepdim else result


def log_softmax(x: Any, dim: int) -> Any:
    """x - logsumexp(x)."""
    return each(Ball.__sub__, x, logsumexp(x, dim, keepdim=True))


def softmax(x: Any, dim: int) -> Any:
    """exp(x) over its sum."""
    return each(B.exp, log_softmax(x, dim))


def norm(x: Any, order: float, dim: Axes, keepdim: bool = False) -> Any:
    """The vector norm of that order."""
    sizes = each(B.absolute, x)
    if order == float("inf"):
        return greatest(sizes, dim, keepdim)
    if order == float("-inf"):
        return least(sizes, dim, keepdim)
    if order == 0:
        return total(each(lambda v: ZERO if v == 0 else Ball(arb(1)), sizes), dim, keepdim)
    if order == 2:
        return each(B.sqrt, total(each(lambda v: v * v, x), dim, keepdim))
    exponent = Ball(arb(order))
    return each(lambda v: power(v, 1 / exponent), total(each(lambda v: power(v, exponent), sizes), dim, keepdim))


def variance(x: Any, dim: Axes, correction: float, keepdim: bool = False) -> Any:
    """The mean squared distance from the mean, over n - correction."""
    squares = each(lambda v, m: (v - m) * (v - m), x, mean(x, dim, keepdim=True))
    count = Ball(arb(max(size(x, dim) - correction, 0)))
    return each(lambda v: divided(v, count), total(squares, dim, keepdim))


def scan(function: Any, x: Any, dim: int) -> Any:
    """The running sum or product along one dimension."""
    accumulate: Any = np.frompyfunc(function, 2, 1).accumulate
    return _array(accumulate(x, axis=dim)) if x.ndim else x


def matmul(x: Any, y: Any) -> Any:
    """The product of matrices, batches along leading dimensions."""
    if x.shape[-1] == 0:
        return _filled(np.empty((*x.shape[:-1], y.shape[-1]), dtype=object), (), True)
    return total(x[..., :, :, None] * y[..., None, :, :], -2)
