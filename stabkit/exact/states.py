"""What an element may be, and functions of balls that say what they are where Arb does not: at infinity, at poles."""

from __future__ import annotations

from collections.abc import Callable

from flint import arb

from stabkit.arithmetic import Undecided
from stabkit.arithmetic.ball import Ball

Unary = Callable[[Ball], Ball]
ZERO, ONE = Ball(arb(0)), Ball(arb(1))
INFINITY, NAN = Ball(arb.pos_inf()), Ball(arb.nan())


def known(result: arb, *operands: Ball) -> Ball:
    """A result of Arb, which is NaN for good only where the operands are exact."""
    if result.is_finite() or all(v.x.is_exact() for v in operands):
        return Ball(result)
    raise Undecided("a special function is unbounded at this precision")


def arb_function(name: str) -> Unary:
    """A function of Arb; undefined where Arb says NaN of an exact number, undecided of an inexact one."""

    def apply(x: Ball) -> Ball:
        if x.x.is_nan():
            return x
        return known(getattr(x.x, name)(), x)

    return apply


def is_infinite(x: Ball) -> bool:
    """Whether it is +inf or -inf."""
    return not x.x.is_finite() and not x.x.is_nan()


def at_infinity(function: Unary, positive: float, negative: float) -> Unary:
    """A function with its values at +inf and -inf stated."""

    def apply(x: Ball) -> Ball:
        return Ball(arb(positive if x.x > 0 else negative)) if is_infinite(x) else function(x)

    return apply


def with_poles(function: Unary) -> Unary:
    """A function that is infinite, with the sign of x, at -1 and 1."""
    return lambda x: x * INFINITY if x.x.is_exact() and abs(x.x) == 1 else function(x)
