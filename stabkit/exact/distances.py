"""Distances between rows on exact tensors. The slope between equal points is 0, which is torch's convention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact import reductions as over
from stabkit.exact.elementwise import each, power, sign
from stabkit.exact.operations import operation, result_dtype
from stabkit.exact.states import ZERO
from stabkit.exact.tensor import balls_of, exact

B = BallSystem


def _apart(x: Any, y: Any) -> Any:
    """The differences of all rows of x from all of y: [..., P, R, M]."""
    return x[..., :, None, :] - y[..., None, :, :]


@operation("_cdist_forward")
def _cdist(x: Any, y: Any, p: float, compute_mode: int | None = None) -> Tensor:
    return exact(over.norm(_apart(balls_of(x), balls_of(y)), p, -1), result_dtype(x, y))


@operation("_euclidean_dist")
def _euclidean(x: Any, y: Any) -> Tensor:
    return _cdist(x, y, 2.0)


@operation("_cdist_backward")
def _cdist_backward(g: Any, x: Any, y: Any, p: float, distances: Any) -> Tensor:
    slopes = _slopes(balls_of(g)[..., None], _apart(balls_of(x), balls_of(y)), balls_of(distances)[..., None], p)
    return exact(over.total(slopes, -2), result_dtype(x, y))


@operation("_pdist_forward")
def _pdist(x: Any, p: float = 2) -> Tensor:
    values = balls_of(x)
    first, second = np.triu_indices(len(values), 1)
    return exact(over.norm(values[first] - values[second], p, -1), result_dtype(x))


@operation("_pdist_backward")
def _pdist_backward(g: Any, x: Any, p: float, distances: Any) -> Tensor:
    values = balls_of(x)
    first, second = np.triu_indices(len(values), 1)
    slopes = _slopes(balls_of(g)[:, None], values[first] - values[second], balls_of(distances)[:, None], p)
    result = np.full(values.shape, ZERO, dtype=object)
    for a, b, row in zip(first, second, slopes, strict=True):
        result[a], result[b] = result[a] + row, result[b] - row
    return exact(result, result_dtype(x))


def _slopes(g: Any, differences: Any, distances: Any, p: float) -> Any:
    """Of a distance by the coordinates of its first point, times g."""

    def slope(a: Ball, d: Ball, r: Ball) -> Ball:
        if p == 0 or r == 0 or (p <= 1 and d == 0):
            return ZERO
        if p == 1:
            return a * sign(d)
        if p == math.inf:
            return a * sign(d) if abs(d) == r else ZERO
        return a * d / r if p == 2 else a * sign(d) * power(abs(d) / r, Ball(B.number(p - 1).x))

    return each(slope, g, differences, distances)
