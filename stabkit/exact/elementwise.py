"""Elementwise operations on balls, by the name of the torch operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb

from stabkit.arithmetic import Undecided
from stabkit.arithmetic.ball import Ball, BallSystem

B = BallSystem
ZERO, ONE = Ball(arb(0)), Ball(arb(1))
Unary = Callable[[Ball], Ball]


def arb_function(name: str) -> Unary:
    """A function of Arb; undefined where Arb says NaN of an exact number, undecided of an inexact one."""

    def apply(x: Ball) -> Ball:
        result = getattr(x.x, name)()
        if result.is_finite() or x.x.is_exact():
            return Ball(result)
        raise Undecided(f"{name} is unbounded at this precision")

    return apply


def sigmoid(x: Ball) -> Ball:
    """1/(1 + exp(-x)), written for each sign so that an infinite x is no obstacle."""
    if x.x.is_exact() and not x.x.is_finite():
        return x if x.x.is_nan() else Ball(arb(1 if x.x > 0 else 0))
    return 1 / (1 + B.exp(-x))


def softplus(x: Ball) -> Ball:
    """log(1 + exp x)."""
    if x.x.is_exact() and not x.x.is_finite():
        return ZERO if x.x < 0 else x
    return B.log1p(B.exp(x))


def xlogy(x: Ball, y: Ball) -> Ball:
    """x log y, 0 where x is 0."""
    return ZERO if x.x.is_zero() and not y.x.is_nan() else x * B.log(y)


def xlog1py(x: Ball, y: Ball) -> Ball:
    """x log(1 + y), 0 where x is 0."""
    return ZERO if x.x.is_zero() and not y.x.is_nan() else x * B.log1p(y)


def sign(x: Ball) -> Ball:
    """-1, 0 or 1."""
    if x.x.is_nan():
        return x
    return ONE if x > 0 else -ONE if x < 0 else ZERO


def floor(x: Ball) -> Ball:
    """The largest whole number not above x."""
    return Ball(_whole(x.x.floor(), x))


def ceil(x: Ball) -> Ball:
    """The smallest whole number not below x."""
    return Ball(_whole(x.x.ceil(), x))


def _whole(result: arb, x: Ball) -> arb:
    if result.is_exact() or not x.x.is_finite():
        return result
    raise Undecided("a rounding is not settled")


def round_to_even(x: Ball) -> Ball:
    """The nearest whole number, the even one of two."""
    low = floor(x)
    distance = x - low
    if distance == 0.5:
        return low if floor(low / 2) * 2 == low else low + 1
    return low if distance < 0.5 else low + 1


def trunc(x: Ball) -> Ball:
    """Rounded towards 0."""
    return floor(x) if x >= 0 else ceil(x)


def remainder(x: Ball, y: Ball) -> Ball:
    """x - y floor(x/y)."""
    return x - y * floor(x / y)


def power(x: Ball, y: Ball) -> Ball:
    """x**y; of a negative x for whole y only."""
    if y.x.is_exact() and y.x.is_finite() and y.x == y.x.floor() and abs(y.x) < 1000:
        return x ** int(float(y.x))
    if x.x.is_zero():
        return ZERO if y > 0 else Ball(arb.pos_inf()) if y < 0 else ONE
    return Ball(arb.nan()) if x < 0 else B.exp(y * B.log(x))


def ndtr(x: Ball) -> Ball:
    """The cumulative distribution of the standard normal."""
    return B.erfc(-x / B.sqrt(Ball(arb(2)))) / 2


def normal_pdf(x: Ball) -> Ball:
    """The density of the standard normal."""
    return B.exp(-x * x / 2) / B.sqrt(2 * Ball(arb.pi()))


def polygamma(order: int, x: Ball) -> Ball:
    """The derivative of digamma of that order, by the Hurwitz zeta function."""
    if order == 0:
        return B.digamma(x)
    value = arb(order + 1).zeta(x.x) * arb(math.factorial(order)) * (-1) ** (order + 1)
    if value.is_finite() or x.x.is_exact():
        return Ball(value)
    raise Undecided("polygamma is unbounded at this precision")


def lgamma(x: Ball) -> Ball:
    """log |Gamma(x)|."""
    if x.x > 0:
        return B.lgamma(x)
    if x.x.is_exact() and x.x == x.x.floor():
        return Ball(arb.pos_inf())
    return B.log(B.absolute(Ball(arb.pi() / (arb.pi() * x.x).sin()))) - B.lgamma(1 - x)


def logaddexp(x: Ball, y: Ball) -> Ball:
    """log(exp x + exp y)."""
    return B.log(B.exp(x) + B.exp(y))


def hypot(x: Ball, y: Ball) -> Ball:
    """sqrt(x**2 + y**2)."""
    return B.sqrt(x**2 + y**2)


def larger(x: Ball, y: Ball) -> Ball:
    """The larger; NaN if either is."""
    return x if x.x.is_nan() else y if y.x.is_nan() else x if x >= y else y


def smaller(x: Ball, y: Ball) -> Ball:
    """The smaller; NaN if either is."""
    return x if x.x.is_nan() else y if y.x.is_nan() else x if x <= y else y


UNARY: dict[str, Unary] = {
    **{n: getattr(B, n) for n in ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "erfc", "sqrt")},
    **{
        n: arb_function(n) for n in ("tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erfinv")
    },
    "neg": lambda x: -x,
    "abs": B.absolute,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / B.sqrt(x),
    "square": lambda x: x * x,
    "log2": lambda x: B.log(x) / B.log(Ball(arb(2))),
    "log10": lambda x: B.log(x) / B.log(Ball(arb(10))),
    "exp2": lambda x: B.exp(x * B.log(Ball(arb(2)))),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "relu": lambda x: larger(x, ZERO),
    "mish": lambda x: x * B.tanh(softplus(x)),
    "sign": sign,
    "sgn": sign,
    "floor": floor,
    "ceil": ceil,
    "round": round_to_even,
    "trunc": trunc,
    "frac": lambda x: x - trunc(x),
    "lgamma": lgamma,
    "digamma": B.digamma,
    "special_ndtr": ndtr,
    "special_log_ndtr": lambda x: B.log(ndtr(x)),
    "special_entr": lambda x: -xlogy(x, x),
    "special_erfcx": lambda x: B.exp(x * x) * B.erfc(x),
    "special_i0": lambda x: Ball(x.x.bessel_i(arb(0))),
    "special_i1": lambda x: Ball(x.x.bessel_i(arb(1))),
    "special_i0e": lambda x: Ball(x.x.bessel_i(arb(0)) * (-abs(x.x)).exp()),
    "special_i1e": lambda x: Ball(x.x.bessel_i(arb(1)) * (-abs(x.x)).exp()),
    "i0": lambda x: Ball(x.x.bessel_i(arb(0))),
    "log_sigmoid": lambda x: -softplus(-x),
}
BINARY: dict[str, Callable[[Ball, Ball], Ball]] = {
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "true_divide": lambda x, y: x / y,
    "pow": power,
    "maximum": larger,
    "minimum": smaller,
    "fmax": lambda x, y: y if x.x.is_nan() else x if y.x.is_nan() else larger(x, y),
    "fmin": lambda x, y: y if x.x.is_nan() else x if y.x.is_nan() else smaller(x, y),
    "remainder": remainder,
    "fmod": lambda x, y: x - y * trunc(x / y),
    "floor_divide": lambda x, y: floor(x / y),
    "atan2": lambda x, y: Ball(arb.atan2(x.x, y.x)),
    "hypot": hypot,
    "xlogy": xlogy,
    "special_xlog1py": xlog1py,
    "logaddexp": logaddexp,
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
