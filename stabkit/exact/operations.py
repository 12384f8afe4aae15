"""The operation table: what each operation of torch does to exact tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from flint import arb
from torch import Tensor

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact.elementwise import (
    BINARY,
    COMPARISONS,
    TESTS,
    UNARY,
    each,
    larger,
    smaller,
)
from stabkit.exact.guards import without_guard
from stabkit.exact.movement import COPIES, is_view, moved, viewed
from stabkit.exact.tensor import DISPATCH, UnsupportedOperationError, balls_of, exact, item_of, overwrite

B = BallSystem
Handler = Callable[..., Any]
TABLE: dict[str, Handler] = {}


def operation(*names: str) -> Callable[[Handler], Handler]:
    """Enters a handler under the names of the operations it serves."""

    def enter(handler: Handler) -> Handler:
        TABLE.update(dict.fromkeys(names, handler))
        return handler

    return enter


def dispatch(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The exact result of one operation.

    Raises:
        UnsupportedOperationError: where there is none.
        Undecided: where the working precision does not tell.
    """
    name = func.overloadpacket.__name__
    out = kwargs.pop("out", None)
    if out is not None:
        raise UnsupportedOperationError(f"{name} with out=")
    unguarded = without_guard(name, args, kwargs)
    if unguarded is not None:
        return unguarded
    handler = _handler(func, name)
    if handler is not None:
        return handler(*args, **kwargs)
    if is_view(func):
        return viewed(func, args, kwargs)
    if name in COPIES:
        return moved(func, args, kwargs)
    if name.endswith("_") and not name.startswith("__"):
        return overwrite(args[0], _functional(func, name[:-1])(*args, **kwargs))
    return _decomposed(func, args, kwargs)


def _functional(func: Any, name: str) -> Handler:
    """The counterpart of an operation in place that returns its result."""
    return _handler(func, name) or getattr(getattr(torch.ops.aten, name), func._overloadname)


def _handler(func: Any, name: str) -> Handler | None:
    if name in TABLE:
        return TABLE[name]
    if name in UNARY:
        return _unary(UNARY[name])
    if name in BINARY:
        return _binary(BINARY[name])
    if name in COMPARISONS:
        return _comparison(COMPARISONS[name])
    return _test(TESTS[name]) if name in TESTS else None


def _decomposed(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
        return func.decompose(*args, **kwargs)
    decomposition = torch._decomp.decomposition_table.get(func)
    if decomposition is None or func.overloadpacket.__name__ in NOT_DECOMPOSED:
        raise UnsupportedOperationError(func.overloadpacket.__name__)
    return decomposition(*args, **kwargs)


NOT_DECOMPOSED = frozenset({"var", "prod", "atanh"})
DISPATCH.append(dispatch)


def result_dtype(*values: Any) -> torch.dtype:
    """The floating dtype that torch gives a result of these operands."""
    plain = [torch.empty(v.shape, dtype=v.dtype, device="meta") if isinstance(v, Tensor) else v for v in values]
    found = plain[0].dtype if len(plain) == 1 else torch.result_type(plain[0], plain[1])
    return found if found.is_floating_point else torch.get_default_dtype()


def _unary(function: Callable[[Ball], Ball]) -> Handler:
    return lambda x, **_: exact(each(function, balls_of(x)), result_dtype(x))


def _binary(function: Callable[[Ball, Ball], Ball]) -> Handler:
    def handle(x: Any, y: Any, rounding_mode: str | None = None, **_: Any) -> Tensor:
        values = each(function, balls_of(x), balls_of(y))
        if rounding_mode is not None:
            values = each(UNARY[rounding_mode], values)
        return exact(values, result_dtype(x, y))

    return handle


def _comparison(function: Callable[[Ball, Ball], bool]) -> Handler:
    def handle(x: Any, y: Any) -> Tensor:
        a, b = (balls_of(_as_compared(v, w)) for v, w in ((x, y), (y, x)))
        return torch.tensor(each(function, a, b).astype(bool))

    return handle


def _as_compared(value: Any, beside: Any) -> Any:
    """A Python number as torch compares it: rounded to the tensor's dtype."""
    if isinstance(value, float) and isinstance(beside, Tensor) and beside.is_floating_point():
        return torch.tensor(value, dtype=beside.dtype).item()
    return value


def _test(function: Callable[[Ball], bool]) -> Handler:
    return lambda x: torch.tensor(each(function, balls_of(x)).astype(bool))


@operation("add")
def _add(x: Any, y: Any, alpha: float = 1) -> Tensor:
    return exact(each(lambda a, b: a + (b if alpha == 1 else b * alpha), balls_of(x), balls_of(y)), result_dtype(x, y))


@operation("sub")
def _sub(x: Any, y: Any, alpha: float = 1) -> Tensor:
    return exact(each(lambda a, b: a - (b if alpha == 1 else b * alpha), balls_of(x), balls_of(y)), result_dtype(x, y))


@operation("rsub")
def _rsub(x: Any, y: Any, alpha: float = 1) -> Any:
    return _sub(y, x, alpha)


@operation("addcmul")
def _addcmul(x: Any, a: Any, b: Any, value: float = 1) -> Tensor:
    return exact(each(lambda u, v, w: u + v * w * value, *map(balls_of, (x, a, b))), result_dtype(x, a))


@operation("addcdiv")
def _addcdiv(x: Any, a: Any, b: Any, value: float = 1) -> Tensor:
    return exact(each(lambda u, v, w: u + v / w * value, *map(balls_of, (x, a, b))), result_dtype(x, a))


@operation("lerp")
def _lerp(x: Any, y: Any, weight: Any) -> Tensor:
    return exact(each(lambda a, b, w: a + (b - a) * w, *map(balls_of, (x, y, weight))), result_dtype(x, y))


@operation("clamp", "clip")
def clamp(x: Any, min: Any = None, max: Any = None) -> Tensor:  # noqa: A002
    """x within bounds."""
    values = balls_of(x)
    if min is not None:
        values = each(larger, values, balls_of(min))
    if max is not None:
        values = each(smaller, values, balls_of(max))
    return exact(values, result_dtype(x))


@operation("clamp_min")
def _clamp_min(x: Any, bound: Any) -> Any:
    return clamp(x, min=bound)


@operation("clamp_max")
def _clamp_max(x: Any, bound: Any) -> Any:
    return clamp(x, max=bound)


@operation("nan_to_num")
def _nan_to_num(x: Any, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Tensor:
    most = torch.finfo(x.dtype).max
    high, low = most if posinf is None else posinf, -most if neginf is None else neginf

    def finite(v: Ball) -> Ball:
        if v.x.is_finite():
            return v
        return Ball(arb((nan or 0.0) if v.x.is_nan() else high if v.x > 0 else low))

    return exact(each(finite, balls_of(x)), result_dtype(x))


@operation("_to_copy")
def _to_copy(x: Any, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    wanted = x.dtype if dtype is None else dtype
    if wanted.is_floating_point:
        return exact(balls_of(x).copy(), wanted)
    return torch.tensor(each(lambda v: float(UNARY["trunc"](v).x.mid()), balls_of(x)).astype(float)).to(wanted)


@operation("copy_")
def _copy(x: Any, y: Any, non_blocking: bool = False) -> Tensor:
    return overwrite(x, y)


@operation("fill_")
def _fill(x: Any, value: Any) -> Tensor:
    return overwrite(x, value)


@operation("zero_")
def _zero(x: Any) -> Tensor:
    return overwrite(x, 0)


TABLE["_local_scalar_dense"] = item_of


@operation("zeros_like", "empty_like")
def _zeros_like(x: Any, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _filled(x.shape, 0, dtype or x.dtype)


@operation("ones_like")
def _ones_like(x: Any, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _filled(x.shape, 1, dtype or x.dtype)


@operation("full_like")
def _full_like(x: Any, value: Any, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _filled(x.shape, value, dtype or x.dtype)


@operation("new_zeros", "new_empty")
def _new_zeros(x: Any, size: Sequence[int], dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _filled(size, 0, dtype or x.dtype)


@operation("new_ones")
def _new_ones(x: Any, size: Sequence[int], dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _filled(size, 1, dtype or x.dtype)


@operation("new_full")
def _new_full(x: Any, size: Sequence[int], value: Any, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _filled(size, value, dtype or x.dtype)


@operation("new_empty_strided")
def _new_empty_strided(x: Any, size: Sequence[int], stride: Sequence[int], dtype: Any = None, **_: Any) -> Tensor:
    return _filled(size, 0, dtype or x.dtype)


def _filled(size: Sequence[int], value: Any, dtype: torch.dtype) -> Tensor:
    if not dtype.is_floating_point:
        return torch.full(tuple(size), value, dtype=dtype)
    array = np.empty(tuple(size), dtype=object)
    array.fill(balls_of(value)[()])
    return exact(array, dtype)


@operation("scatter_add")
def _scatter_add(x: Any, dim: int, index: Tensor, source: Any) -> Tensor:
    result, values = balls_of(x).copy(), balls_of(source)
    for at in np.ndindex(*index.shape):
        place = list(at)
        place[dim] = int(index[at])
        result[tuple(place)] = result[tuple(place)] + values[at]
    return exact(result, result_dtype(x))


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
