"""Special functions of balls, and their values where Arb has none."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

from flint import arb

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact.states import (
    INFINITY,
    NAN,
    ONE,
    ZERO,
    Unary,
    arb_function,
    at_infinity,
    is_infinite,
    known,
    with_poles,
)

B = BallSystem
erfinv = with_poles(arb_function("erfinv"))
sigmoid = at_infinity(lambda x: 1 / (1 + B.exp(-x)), 1, 0)
softplus = at_infinity(lambda x: B.log1p(B.exp(x)), math.inf, 0)


def log_of_sum(numbers: Iterable[Ball]) -> Ball:
    """log(exp a + exp b + ...); the largest is taken out first, for numbers whose exponentials Arb cannot hold."""
    terms = [v for v in numbers if v.x.is_finite() or not v.x < 0]
    if not terms or not all(v.x.is_finite() for v in terms):
        return functools.reduce(lambda a, b: a + b, terms, -INFINITY if not terms else ZERO)
    largest = terms.pop(max(range(len(terms)), key=lambda k: terms[k].x.mid()))
    rest = functools.reduce(lambda a, b: a + b, (B.exp(v - largest) for v in terms), ZERO)
    return largest + B.log1p(rest)


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
    return known(arb(order + 1).zeta(x.x) * arb(math.factorial(order)) * (-1) ** (order + 1), x)


def lgamma(x: Ball) -> Ball:
    """log |Gamma(x)|."""
    if is_infinite(x):
        return INFINITY
    if x.x > 0:
        return B.lgamma(x)
    if x.x.is_exact() and x.x == x.x.floor():
        return INFINITY
    return B.log(B.absolute(Ball(arb.pi() / (arb.pi() * x.x).sin()))) - B.lgamma(1 - x)


def bessel_i(order: int, scaled: bool) -> Unary:
    """The modified Bessel function of the first kind, over exp|x| if scaled."""

    def apply(x: Ball) -> Ball:
        value = known(x.x.bessel_i(arb(order)), x)
        return value * B.exp(-B.absolute(x)) if scaled else value

    return at_infinity(apply, *((0, 0) if scaled else (math.inf, math.inf * (-1) ** order)))


def bessel_j(order: int, x: Ball) -> Ball:
    """The Bessel function of the first kind; 0 at infinity."""
    return ZERO if is_infinite(x) else known(x.x.bessel_j(arb(order)), x)


def ndtri(p: Ball) -> Ball:
    """The quantile of the standard normal."""
    return -B.sqrt(Ball(arb(2))) * erfinv(1 - 2 * p)


def incomplete_gamma(name: str, a: Ball, x: Ball) -> Ball:
    """The regularized incomplete gamma function, `gamma_lower` or `gamma_upper`, for a > 0 and x >= 0."""
    below = name == "gamma_lower"
    if a.x.is_nan() or x.x.is_nan() or a < 0 or x < 0 or (a.x.is_zero() and x.x.is_zero()):
        return NAN
    if x.x.is_zero() and a.x.is_finite() and not a.x.is_zero():
        return ZERO if below else ONE
    if is_infinite(x) and is_infinite(a):
        return NAN
    if is_infinite(x) or is_infinite(a):
        return ONE if below == a.x.is_finite() else ZERO
    return known(getattr(x.x, name)(a.x, regularized=True), a, x)
