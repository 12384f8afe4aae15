"""Factorizations and solutions of linear systems on balls; arrays with batches along leading dimensions in and out.

A pivot may be any number that is not 0, so the choice looks at midpoints alone; only whether it is 0 must be certain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb, arb_mat

from stabkit.arithmetic import Undecided
from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact.states import NAN, ONE, ZERO

B = BallSystem


def each_matrix(function: Callable[..., Any], *stacks: Any) -> Any:
    """A function of matrices on stacks of them, leading dimensions broadcast; each of its results stacked."""
    batch = np.broadcast_shapes(*(s.shape[:-2] for s in stacks))
    spread = [np.broadcast_to(s, (*batch, *s.shape[-2:])) for s in stacks]
    if not batch:
        return function(*spread)
    found = [function(*(s[at] for s in spread)) for at in np.ndindex(*batch)]
    if not isinstance(found[0], tuple):
        return _stacked(found, batch)
    return tuple(_stacked(parts, batch) for parts in zip(*found, strict=True))


def _stacked(parts: Any, batch: tuple[int, ...]) -> Any:
    arrays = [np.asarray(p) for p in parts]
    return np.stack(arrays).reshape((*batch, *arrays[0].shape))


def identity(n: int) -> Any:
    """The unit matrix."""
    result = np.full((n, n), ZERO, dtype=object)
    result[np.arange(n), np.arange(n)] = ONE
    return result


def cholesky(a: Any) -> tuple[Any, Any]:
    """The lower factor of the lower triangle, and 0 or the order of the first minor that is not positive."""
    n = len(a)
    factor = np.full((n, n), ZERO, dtype=object)
    for j in range(n):
        rest = a[j, j] - _dot(factor[j, :j], factor[j, :j])
        if not rest > 0:
            return factor, np.int32(j + 1)
        factor[j, j] = B.sqrt(rest)
        for i in range(j + 1, n):
            factor[i, j] = (a[i, j] - _dot(factor[i, :j], factor[j, :j])) / factor[j, j]
    return factor, np.int32(0)


def _dot(x: Any, y: Any) -> Ball:
    return sum((a * b for a, b in zip(x, y, strict=True)), ZERO)


def solved_by_rows(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    """x of a x = b for a triangular a, whose other triangle, and diagonal if unit, are not read."""
    n = len(a)
    result = b.copy()
    for i in range(n - 1, -1, -1) if upper else range(n):
        others = range(i + 1, n) if upper else range(i)
        for j in others:
            result[i] = result[i] - result[j] * a[i, j]
        if not unit:
            result[i] = result[i] / a[i, i]
    return result


def lu(a: Any) -> tuple[Any, Any, Any]:
    """Both factors in one matrix, the row exchanged with each (from 1), and 0 or the first column without pivot.

    Raises:
        Undecided: where the precision does not tell a pivot from 0.
    """
    packed, (rows, columns) = a.copy(), a.shape
    exchanged, missing = np.arange(1, min(rows, columns) + 1, dtype=np.int32), 0
    for k in range(min(rows, columns)):
        chosen = max(range(k, rows), key=lambda i: _rank(packed[i, k]))
        exchanged[k] = chosen + 1
        packed[[k, chosen]] = packed[[chosen, k]]
        if packed[k, k].x.is_zero():
            missing = missing or k + 1
            continue
        if packed[k, k].x.contains(arb(0)) and packed[k, k].x.is_finite():
            raise Undecided("a pivot may be 0")
        for i in range(k + 1, rows):
            packed[i, k] = packed[i, k] / packed[k, k]
            packed[i, k + 1 :] = packed[i, k + 1 :] - packed[k, k + 1 :] * packed[i, k]
    return packed, exchanged, np.int32(missing)


def _rank(v: Ball) -> tuple[int, Any]:
    """How well a number serves as a pivot: undefined ones first, so that they spread; then by whether it is surely
    not 0, then by size."""
    size = abs(v.x)
    if size.is_nan():
        return 3, arb(0)
    return (2 if size > 0 else 0 if size.is_zero() else 1), size.mid()


def permutation(exchanged: Any, rows: int) -> Any:
    """Where each row of a matrix stood before the exchanges of its factorization."""
    order = np.arange(rows)
    for k, other in enumerate(np.asarray(exchanged) - 1):
        order[[k, other]] = order[[other, k]]
    return order


def parity(exchanged: Any) -> int:
    """1 or -1, the determinant of the exchanges."""
    return -1 if sum(int(p) != k + 1 for k, p in enumerate(exchanged)) % 2 else 1


def solved_by_factors(packed: Any, exchanged: Any, b: Any, transposed: bool) -> Any:
    """x of a x = b, or of a^T x = b, from the factors of a."""
    order = permutation(exchanged, len(packed))
    if not transposed:
        return solved_by_rows(packed, solved_by_rows(packed, b[order], False, True), True, False)
    inner = solved_by_rows(packed.T, solved_by_rows(packed.T, b, False, False), True, True)
    result = inner.copy()
    result[order] = inner
    return result


def exponential(a: Any) -> Any:
    """The exponential of a square matrix, by Arb."""
    if not all(v.x.is_finite() for v in a.reshape(-1)):
        return np.full(a.shape, NAN, dtype=object)
    n = len(a)
    found = arb_mat(n, n, [v.x for v in a.reshape(-1)]).exp().entries()
    if not all(v.is_finite() for v in found):
        raise Undecided("the exponential of a matrix is unbounded at this precision")
    result = np.empty(n * n, dtype=object)
    result[:] = [Ball(v) for v in found]
    return result.reshape(n, n)
