"""The operation table: what each operation of torch does to exact tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from flint import arb
from torch import Tensor

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact.elementwise import BINARY, COMPARISONS, TESTS, UNARY, each, larger, round_to_even, smaller, trunc
from stabkit.exact.filled import evenly, like_it, of_size, of_strides
from stabkit.exact.foreach import PREFIX, along_lists
from stabkit.exact.guards import without_guard
from stabkit.exact.movement import COPIES, is_view, laid_out, moved, turned_in_place, viewed
from stabkit.exact.random_draws import DRAWS, drawn
from stabkit.exact.tensor import (
    DISPATCH,
    ExactTensor,
    UnsupportedOperationError,
    balls_of,
    exact,
    item_of,
    numbered,
    overwrite,
)

B = BallSystem
Handler = Callable[..., Any]
Entered = TypeVar("Entered", bound=Handler)
TABLE: dict[str, Handler] = {}


def operation(*names: str) -> Callable[[Entered], Entered]:
    """Enters a handler under the names of the operations it serves."""

    def enter(handler: Entered) -> Entered:
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
    if _names_of_out(func):
        return _into_out(func, args, kwargs)
    if name in DRAWS:
        return drawn(func, args, kwargs)
    if name.startswith(PREFIX):
        return along_lists(func, args, kwargs, _handler)
    unguarded = without_guard(name, args, kwargs)
    if unguarded is not None:
        return unguarded
    handler = _handler(name)
    if handler is not None:
        return laid_out(func, args, handler(*args, **kwargs))
    if torch.Tag.inplace_view in func.tags:
        return turned_in_place(func, args, kwargs)
    if is_view(func):
        return viewed(func, args, kwargs)
    if name in COPIES:
        return moved(func, args, kwargs)
    if name.endswith("_") and not name.startswith("__"):
        return overwrite(args[0], _functional(func, name[:-1])(*args, **kwargs))
    return _decomposed(func, args, kwargs)


def _into_out(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """An operation with out=: the one that returns its results, and these written there."""
    targets = [kwargs.pop(n) for n in _names_of_out(func)]
    found = dispatch(_returning(func), args, kwargs)
    for target, values in zip(targets, found if isinstance(found, (list, tuple)) else (found,), strict=True):
        if target.shape != values.shape:
            raise UnsupportedOperationError(f"{func.overloadpacket.__name__} with out= of another shape")
        if isinstance(target, ExactTensor) or isinstance(values, ExactTensor):
            overwrite(target, values)
        else:
            target.copy_(values)
    return targets[0] if len(targets) == 1 else tuple(targets)


@functools.cache
def _names_of_out(func: Any) -> tuple[str, ...]:
    return tuple(a.name for a in func._schema.arguments if a.is_out)


def _returning(func: Any) -> Any:
    """The overload that takes the same arguments but for out=."""
    packet = func.overloadpacket
    wanted = [(a.name, str(a.type)) for a in func._schema.arguments if not a.is_out]
    overloads = [getattr(packet, n) for n in packet.overloads()]
    found = (o for o in overloads if [(a.name, str(a.type)) for a in o._schema.arguments] == wanted)
    overload = next(found, None)
    if overload is None:
        raise UnsupportedOperationError(f"{packet.__name__} with out=")
    return overload


def _functional(func: Any, name: str) -> Handler:
    """The counterpart of an operation in place that returns its result."""
    return _handler(name) or getattr(getattr(torch.ops.aten, name), func._overloadname)


def _handler(name: str) -> Handler | None:
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
        chosen = BINARY["floor_divide"] if rounding_mode == "floor" else function
        values = each(chosen, balls_of(x), balls_of(y))
        return exact(each(trunc, values) if rounding_mode == "trunc" else values, result_dtype(x, y))

    return handle


def _comparison(function: Callable[[Ball, Ball], bool]) -> Handler:
    def handle(x: Any, y: Any) -> Tensor:
        a, b = (balls_of(_as_compared(v, w)) for v, w in ((x, y), (y, x)))
        return torch.tensor(each(function, a, b).astype(bool))

    return handle


def _as_compared(value: Any, beside: Any) -> Any:
    """A Python number as torch compares it: rounded to the tensor's dtype."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and isinstance(beside, Tensor) and beside.is_floating_point():
        return torch.tensor(value, dtype=torch.float64).to(beside.dtype).item()
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


@operation("round")
def _round(x: Any, *, decimals: int = 0) -> Tensor:
    unit = Ball(arb(10)) ** abs(decimals)  # exact, which its reciprocal is not

    def rounded(v: Ball) -> Ball:
        return round_to_even(v * unit) / unit if decimals >= 0 else round_to_even(v / unit) * unit

    return exact(each(rounded, balls_of(x)), result_dtype(x))


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
        return ExactTensor(balls_of(x).reshape(-1), numbered(x.places), wanted)
    if wanted is torch.bool:
        return torch.tensor(each(lambda v: v != 0, balls_of(x)).astype(bool))
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


TABLE.update(dict.fromkeys(("zeros_like", "empty_like", "full_like"), like_it))
TABLE.update(dict.fromkeys(("new_zeros", "new_empty", "new_full"), of_size))
TABLE["ones_like"] = functools.partial(like_it, value=1)
TABLE["new_ones"] = functools.partial(of_size, value=1)
TABLE["new_empty_strided"] = of_strides
TABLE["linspace"] = evenly
