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
from stabkit.exact.tensor import balls_of, exact

B = BallSystem


@operation("sum", "nansum")
def _sum(x: Any, dim: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Tensor:
    return exact(over.total(balls_of(x), dim, keepdim), dtype or result_dtype(x))


@operation("mean")
def _mean(x: Any, dim: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Tensor:
    return exact(over.mean(balls_of(x), dim, keepdim), dtype or result_dtype(x))


@operation("prod")
def _prod(x: Any, dim: Any = None, keepdim: bool = False, dtype: torch.dtype | None = None) -> Tensor:
    return exact(over.product(balls_of(x), dim, keepdim), dtype or result_dtype(x))


@operation("amax")
def _amax(x: Any, dim: Any = (), keepdim: bool = False) -> Tensor:
    return exact(over.greatest(balls_of(x), dim, keepdim), result_dtype(x))


@operation("amin")
def _amin(x: Any, dim: Any = (), keepdim: bool = False) -> Tensor:
    return exact(over.least(balls_of(x), dim, keepdim), result_dtype(x))


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


@operation("argmax")
def _argmax(x: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    flat = balls_of(x).reshape(-1) if dim is None else balls_of(x)
    return torch.tensor(over.place_of(larger, flat, 0 if dim is None else dim, keepdim))


@operation("logsumexp")
def _logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Tensor:
    return exact(over.logsumexp(balls_of(x), dim, keepdim), result_dtype(x))


TABLE["_log_softmax"] = lambda x, dim, half: exact(over.log_softmax(balls_of(x), dim), result_dtype(x))
TABLE["_softmax"] = TABLE["_safe_softmax"] = lambda x, dim, *_: exact(over.softmax(balls_of(x), dim), result_dtype(x))


@operation("_log_softmax_backward_data")
def _log_softmax_backward(g: Any, y: Any, dim: int, dtype: torch.dtype) -> Tensor:
    slopes = balls_of(g)
    return exact(slopes - each(B.exp, balls_of(y)) * over.total(slopes, dim, keepdim=True), result_dtype(g))


@operation("_softmax_backward_data")
def _softmax_backward(g: Any, y: Any, dim: int, dtype: torch.dtype) -> Tensor:
    values = balls_of(y)
    weighted = balls_of(g) * values
    return exact(weighted - values * over.total(weighted, dim, keepdim=True), result_dtype(g))


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


@operation("cumsum")
def _cumsum(x: Any, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    return exact(over.scan(lambda a, b: a + b, balls_of(x), dim), dtype or result_dtype(x))


@operation("cumprod")
def _cumprod(x: Any, dim: int, dtype: torch.dtype | None = None) -> Tensor:
    return exact(over.scan(lambda a, b: a * b, balls_of(x), dim), dtype or result_dtype(x))


@operation("logcumsumexp")
def _logcumsumexp(x: Any, dim: int) -> Tensor:
    return exact(each(B.log, over.scan(lambda a, b: a + b, each(B.exp, balls_of(x)), dim)), result_dtype(x))


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
