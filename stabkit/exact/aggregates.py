"""Reductions, scans, softmax, norms and products of matrices as operations on exact tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact import reductions as over
from stabkit.exact.elementwise import each, larger, smaller
from stabkit.exact.operations import TABLE, Handler, operation, result_dtype
from stabkit.exact.special_functions import log_of_sum
from stabkit.exact.states import ZERO, is_infinite
from stabkit.exact.tensor import balls_of, exact

B = BallSystem


def _reduction(reduce: Callable[..., Any]) -> Handler:
    def handle(x: Any, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
        return exact(reduce(balls_of(x), dim, keepdim), dtype or result_dtype(x))

    return handle


def _scan(function: Callable[[Ball, Ball], Ball]) -> Handler:
    def handle(x: Any, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
        return exact(over.scan(function, balls_of(x), dim), dtype or result_dtype(x))

    return handle


TABLE.update(
    {
        name: _reduction(reduce)
        for name, reduce in (
            *(("sum", over.total), ("nansum", over.total_of_numbers), ("mean", over.mean), ("prod", over.product)),
            *(("amax", over.greatest), ("amin", over.least), ("logsumexp", over.logsumexp)),
        )
    }
)
TABLE["cumsum"], TABLE["cumprod"] = _scan(Ball.__add__), _scan(Ball.__mul__)
TABLE["logcumsumexp"] = _scan(lambda a, b: log_of_sum((a, b)))


def _extreme(pick: Callable[[Ball, Ball], Ball], reduce: Callable[..., Any]) -> Handler:
    def handle(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if isinstance(dim, Tensor):
            return exact(each(pick, balls_of(x), balls_of(dim)), result_dtype(x, dim))
        values = exact(reduce(balls_of(x), dim, keepdim), result_dtype(x))
        if dim is None:
            return values
        return values, torch.tensor(over.place_of(pick, balls_of(x), dim, keepdim))

    return handle


TABLE["max"], TABLE["min"] = _extreme(larger, over.greatest), _extreme(smaller, over.least)


TABLE["_log_softmax"] = lambda x, dim, half: exact(over.log_softmax(balls_of(x), dim), result_dtype(x))
TABLE["_softmax"] = lambda x, dim, *_: exact(over.softmax(balls_of(x), dim), result_dtype(x))


@operation("_safe_softmax")
def _safe_softmax(x: Any, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    """Softmax that is 0 where everything is masked."""
    values = balls_of(x)
    masked = each(lambda top: is_infinite(top) and top < 0, over.greatest(values, dim, keepdim=True))
    shares = each(lambda hidden, share: ZERO if hidden else share, masked, over.softmax(values, dim))
    return exact(shares, dtype or result_dtype(x))


@operation("_log_softmax_backward_data")
def _log_softmax_backward(g: Any, y: Any, dim: int, dtype: torch.dtype) -> Tensor:
    slopes = balls_of(g)
    total = over.total(slopes, dim, keepdim=True)
    return exact(each(lambda a, v, t: a - B.exp(v) * t, slopes, balls_of(y), total), result_dtype(g))


@operation("_softmax_backward_data")
def _softmax_backward(g: Any, y: Any, dim: int, dtype: torch.dtype) -> Tensor:
    values = balls_of(y)
    weighted = each(Ball.__mul__, balls_of(g), values)
    total = over.total(weighted, dim, keepdim=True)
    return exact(each(lambda w, v, t: w - v * t, weighted, values, total), result_dtype(g))


@operation("linalg_vector_norm", "norm")
def _norm(x: Any, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Tensor:
    return exact(over.norm(balls_of(x), 2.0 if p is None else float(p), dim, keepdim), dtype or result_dtype(x))


@operation("var")
def _var(x: Any, dim: Any = None, correction: float | None = 1, keepdim: bool = False, **_: Any) -> Tensor:
    return exact(over.variance(balls_of(x), *_spread_over(dim, correction), keepdim), result_dtype(x))


@operation("std")
def _std(x: Any, dim: Any = None, correction: float | None = 1, keepdim: bool = False, **_: Any) -> Tensor:
    return exact(each(B.sqrt, over.variance(balls_of(x), *_spread_over(dim, correction), keepdim)), result_dtype(x))


def _spread_over(dim: Any, correction: float | bool | None) -> tuple[Any, float]:
    """The dimensions and the correction; a lone bool in place of the dimensions is `unbiased`."""
    if isinstance(dim, bool):
        return None, float(dim)
    return dim, 1.0 if correction is None else float(correction)


@operation("mm", "bmm", "matmul")
def _matmul(x: Any, y: Any) -> Tensor:
    return exact(over.matmul(balls_of(x), balls_of(y)), result_dtype(x, y))


@operation("mv")
def _mv(x: Any, y: Any) -> Tensor:
    return exact(over.total(balls_of(x) * balls_of(y), -1), result_dtype(x, y))


@operation("dot", "vdot")
def _dot(x: Any, y: Any) -> Tensor:
    return exact(over.total(balls_of(x) * balls_of(y)), result_dtype(x, y))


@operation("addmm", "baddbmm")
def _addmm(c: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    product = over.matmul(balls_of(x), balls_of(y))
    return exact(each(lambda a, b: a * beta + b * alpha, balls_of(c), product), result_dtype(x, y))
