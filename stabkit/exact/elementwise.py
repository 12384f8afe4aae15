"""Elementwise operations on balls, by the name of the torch operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb

from stabkit.arithmetic import Undecided
from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact import special_functions as special
from stabkit.exact.states import INFINITY, NAN, ONE, ZERO, Unary, arb_function, at_infinity, is_infinite, with_poles

B = BallSystem


def xlogy(x: Ball, y: Ball) -> Ball:
    """x log y, 0 where x is 0."""
    return ZERO if x.x.is_zero() and not y.x.is_nan() else x * B.log(y)


def xlog1py(x: Ball, y: Ball) -> Ball:
    """x log(1 + y), 0 where x is 0."""
    return ZERO if x.x.is_zero() and not y.x.is_nan() else x * B.log1p(y)


def sign(x: Ball) -> Ball:
    """-1, 0 or 1; 0 of NaN, as in torch."""
    return ONE if x > 0 else -ONE if x < 0 else ZERO


def floor(x: Ball) -> Ball:
    """The largest whole number not above x."""
    return Ball(_whole(x.x.floor(), x))


def ceil(x: Ball) -> Ball:
    """The smallest whole number not below x."""
    return Ball(_whole(x.x.ceil(), x))


def _whole(result: arb, x: Ball) -> arb:
    if not x.x.is_finite():
        return x.x
    if result.is_exact():
        return result
    raise Undecided("a rounding is not settled")


def round_to_even(x: Ball) -> Ball:
    """The nearest whole number, the even one of two."""
    if not x.x.is_finite():
        return x
    low = floor(x)
    distance = x - low
    if distance == 0.5:
        return low if floor(low / 2) * 2 == low else low + 1
    return low if distance < 0.5 else low + 1


def trunc(x: Ball) -> Ball:
    """Rounded towards 0."""
    return floor(x) if x >= 0 else ceil(x)


def remainder(x: Ball, y: Ball) -> Ball:
    """x - y floor(x/y): of the sign of y."""
    if is_infinite(y) and x.x.is_finite():
        return x if x == 0 or (x > 0) == (y > 0) else y
    return x - y * floor(x / y)


def fmod(x: Ball, y: Ball) -> Ball:
    """x - y trunc(x/y): of the sign of x."""
    return x if is_infinite(y) and x.x.is_finite() else x - y * trunc(x / y)


def floor_divide(x: Ball, y: Ball) -> Ball:
    """floor(x/y); -1 of a number over an infinity of the other sign, and undefined of an infinity, as in torch."""
    if is_infinite(x) and not y.x.is_zero():
        return NAN
    if is_infinite(y) and x.x.is_finite():
        return ZERO if x == 0 or (x > 0) == (y > 0) else -ONE
    return floor(x / y)


def power(x: Ball, y: Ball) -> Ball:
    """x**y; of a negative x for whole and infinite y only. 0 to an odd negative power has no sign: undefined."""
    if y.x.is_zero() or (x.x.is_exact() and x.x == 1):
        return ONE
    if x.x.is_nan() or y.x.is_nan():
        return NAN
    if is_infinite(y):
        return _to_infinity(B.absolute(x), y)
    whole = y.x.is_exact() and y.x == y.x.floor()
    odd = whole and y.x / 2 != (y.x / 2).floor()
    if x.x.is_zero():
        return ZERO if y > 0 else NAN if odd else INFINITY
    if whole and abs(y.x) < 1000 and x.x.is_finite():
        return x ** int(float(y.x))
    if x > 0:
        return B.exp(y * B.log(x))
    if not whole and x.x.is_finite():
        return NAN
    size = B.exp(y * B.log(-x))
    return -size if odd else size


def _to_infinity(size: Ball, y: Ball) -> Ball:
    """A size to an infinite power: 1 stays, what is larger grows."""
    if size == 1:
        return ONE
    return INFINITY if (size > 1) == (y > 0) else ZERO


def hypot(x: Ball, y: Ball) -> Ball:
    """sqrt(x**2 + y**2); +inf if either is infinite."""
    return INFINITY if is_infinite(x) or is_infinite(y) else B.sqrt(x * x + y * y)


def atan2(y: Ball, x: Ball) -> Ball:
    """The angle of the point (x, y)."""
    if x.x.is_nan() or y.x.is_nan():
        return NAN
    if is_infinite(x) and is_infinite(y):
        return Ball(arb.pi() * (1 if x.x > 0 else 3) / 4) * sign(y)
    return Ball(arb.atan2(y.x, x.x))


def larger(x: Ball, y: Ball) -> Ball:
    """The larger; NaN if either is."""
    return x if x.x.is_nan() else y if y.x.is_nan() else x if x >= y else y


def smaller(x: Ball, y: Ball) -> Ball:
    """The smaller; NaN if either is."""
    return x if x.x.is_nan() else y if y.x.is_nan() else x if x <= y else y


def divided(x: Ball, y: Ball) -> Ball:
    """x/y; infinite with the sign of x where y is exactly 0 and x is not, as torch divides by +0."""
    if not y.x.is_zero() or x.x.is_nan() or x.x.is_zero():
        return x / y
    return INFINITY if x > 0 else -INFINITY if x < 0 else x / y


UNARY: dict[str, Unary] = {
    **{n: getattr(B, n) for n in ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "erfc", "sqrt")},
    **{n: arb_function(n) for n in ("tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh")},
    "atanh": with_poles(arb_function("atanh")),
    "erfinv": special.erfinv,
    "neg": lambda x: -x,
    "abs": B.absolute,
    "reciprocal": lambda x: divided(ONE, x),
    "rsqrt": lambda x: INFINITY if x.x.is_zero() else 1 / B.sqrt(x),
    "square": lambda x: x * x,
    "log2": lambda x: B.log(x) / B.log(Ball(arb(2))),
    "log10": lambda x: B.log(x) / B.log(Ball(arb(10))),
    "exp2": lambda x: B.exp(x * B.log(Ball(arb(2)))),
    "sigmoid": special.sigmoid,
    "silu": lambda x: x * special.sigmoid(x),
    "relu": lambda x: larger(x, ZERO),
    "mish": lambda x: x * B.tanh(special.softplus(x)),
    "sign": sign,
    "sgn": sign,
    "floor": floor,
    "ceil": ceil,
    "round": round_to_even,
    "trunc": trunc,
    "frac": lambda x: x - trunc(x),
    "lgamma": special.lgamma,
    "digamma": at_infinity(B.digamma, math.inf, math.nan),
    "special_ndtr": special.ndtr,
    "special_log_ndtr": lambda x: B.log(special.ndtr(x)),
    "special_entr": lambda x: -INFINITY if x < 0 else -xlogy(x, x),
    "special_erfcx": at_infinity(lambda x: B.exp(x * x) * B.erfc(x), 0, math.inf),
    "special_i0": special.bessel_i(0, scaled=False),
    "special_i1": special.bessel_i(1, scaled=False),
    "special_i0e": special.bessel_i(0, scaled=True),
    "special_i1e": special.bessel_i(1, scaled=True),
    "i0": special.bessel_i(0, scaled=False),
    "special_bessel_j0": lambda x: special.bessel_j(0, x),
    "special_bessel_j1": lambda x: special.bessel_j(1, x),
    "special_ndtri": special.ndtri,
    "log_sigmoid": lambda x: -special.softplus(-x),
}
BINARY: dict[str, Callable[[Ball, Ball], Ball]] = {
    "mul": lambda x, y: x * y,
    "div": divided,
    "true_divide": divided,
    "pow": power,
    "maximum": larger,
    "minimum": smaller,
    "fmax": lambda x, y: y if x.x.is_nan() else x if y.x.is_nan() else larger(x, y),
    "fmin": lambda x, y: y if x.x.is_nan() else x if y.x.is_nan() else smaller(x, y),
    "remainder": remainder,
    "fmod": fmod,
    "floor_divide": floor_divide,
    "atan2": atan2,
    "hypot": hypot,
    "xlogy": xlogy,
    "special_xlog1py": xlog1py,
    "logaddexp": lambda x, y: special.log_of_sum((x, y)),
    "igamma": lambda a, x: special.incomplete_gamma("gamma_lower", a, x),
    "igammac": lambda a, x: special.incomplete_gamma("gamma_upper", a, x),
    "copysign": lambda x, y: B.absolute(x) * (-1 if y < 0 else 1),
}
COMPARISONS: dict[str, Callable[[Ball, Ball], bool]] = {
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x.x.is_nan() or y.x.is_nan() or x != y,
}
TESTS: dict[str, Callable[[Ball], bool]] = {
    "isnan": lambda x: x.x.is_nan(),
    "isinf": lambda x: not x.x.is_finite() and not x.x.is_nan(),
    "isfinite": lambda x: x.x.is_finite(),
    "isposinf": lambda x: not x.x.is_finite() and bool(x.x > 0),
    "isneginf": lambda x: not x.x.is_finite() and bool(x.x < 0),
    "signbit": lambda x: x < 0,
}


def each(function: Callable[..., Any], *arrays: Any) -> Any:
    """A function of balls on arrays of them, broadcast; always an array."""
    result = np.frompyfunc(function, len(arrays), 1)(*arrays)
    if isinstance(result, np.ndarray):
        return result
    array = np.empty((), dtype=object)
    array[()] = result
    return array
