"""Intervals as a number system: the elementary functions, on the float64 kernels listed for a build."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from stabkit.arithmetic.interval import (
    UP,
    Interval,
    doubted,
    either,
    interval_of,
    magnitudes,
    outward,
    point,
    square_of,
    unless_zero,
)
from stabkit.arithmetic.kernels import LARGEST, Kernel

LGAMMA_LEAST = 1.4616321449683623  # lgamma falls before it and rises after it


class IntervalSystem:
    """Intervals on the listed kernels of one build; what is not listed leaves every element in doubt."""

    def __init__(self, kernels: Mapping[str, Kernel]) -> None:
        self._kernels = kernels

    @property
    def pi(self) -> Interval:
        below = torch.tensor(math.pi, dtype=torch.float64)  # the double next to pi lies below it
        return Interval(below, torch.nextafter(below, UP))

    @staticmethod
    def number(value: float) -> Interval:
        return interval_of(value)

    def exp(self, x: Interval) -> Interval:
        return self._monotone("exp", x)

    def expm1(self, x: Interval) -> Interval:
        return _with_zero(x, self._monotone("expm1", x))

    def tanh(self, x: Interval) -> Interval:
        return _with_zero(x, self._monotone("tanh", x))

    def erf(self, x: Interval) -> Interval:
        return _with_zero(x, self._monotone("erf", x))

    def erfc(self, x: Interval) -> Interval:
        return self._monotone("erfc", x)

    def log(self, x: Interval) -> Interval:
        return self._monotone("log", doubted(x, x.lo <= 0))

    def log1p(self, x: Interval) -> Interval:
        return _with_zero(x, self._monotone("log1p", doubted(x, x.lo <= -1)))

    def expm1mx(self, x: Interval) -> Interval:
        """By its series near 0, where the difference cancels; it falls before 0 and rises after it."""
        ends = [_expm1mx_series(e, self.expm1(e) - e) for e in _finite_ends(x)]
        return _valley(x, *ends)

    def log1pmx(self, x: Interval) -> Interval:
        """By its series near 0, where the difference cancels; it rises before 0 and falls after it."""
        x = doubted(x, x.lo <= -1)
        ends = [_log1pmx_series(e, self.log1p(e) - e) for e in _finite_ends(x)]
        return -_valley(x, *(-e for e in ends))

    @staticmethod
    def sqrt(x: Interval) -> Interval:
        x = doubted(x, x.lo < 0)
        lo, hi = outward(x.lo.clamp(min=0).sqrt(), x.hi.clamp(min=0).sqrt())
        return _with_zero(x, Interval(lo.clamp(min=0), hi, x.doubt))

    def lgamma(self, x: Interval) -> Interval:
        """Beyond the listed range, x <= 0 included, an element is in doubt."""
        kernel = self._kernels["lgamma"]
        x = doubted(x, (x.lo < kernel.low) | (x.hi > kernel.high))
        ends = kernel.apply(x.lo), kernel.apply(x.hi)
        lo, hi = outward(torch.minimum(*ends), torch.maximum(*ends), kernel.steps)
        around_least = (x.lo <= LGAMMA_LEAST) & (x.hi >= LGAMMA_LEAST)
        return Interval(lo.masked_fill(around_least, kernel.floor), hi, x.doubt)

    def sin(self, x: Interval) -> Interval:
        return _nothing_known(x)

    cos = digamma = sin

    @staticmethod
    def absolute(x: Interval) -> Interval:
        return Interval(*magnitudes(x), x.doubt)

    @staticmethod
    def maximum(x: Interval | float, y: Interval | float) -> Interval:
        a, b = interval_of(x), interval_of(y)
        return Interval(torch.maximum(a.lo, b.lo), torch.maximum(a.hi, b.hi), either(a.doubt, b.doubt))

    @staticmethod
    def minimum(x: Interval | float, y: Interval | float) -> Interval:
        a, b = interval_of(x), interval_of(y)
        return Interval(torch.minimum(a.lo, b.lo), torch.minimum(a.hi, b.hi), either(a.doubt, b.doubt))

    @staticmethod
    def hull(x: Interval | float, y: Interval | float) -> Interval:
        a, b = interval_of(x), interval_of(y)
        return Interval(torch.minimum(a.lo, b.lo), torch.maximum(a.hi, b.hi), either(a.doubt, b.doubt))

    def _monotone(self, name: str, x: Interval) -> Interval:
        """A rising or falling function by its kernel at the ends; beyond the kernel's range its floor and ceiling."""
        kernel = self._kernels[name]
        least, greatest = (x.lo, x.hi) if kernel.rises else (x.hi, x.lo)
        at_least = kernel.apply(least.clamp(kernel.low, kernel.high))
        at_greatest = at_least if x.is_point else kernel.apply(greatest.clamp(kernel.low, kernel.high))
        lo, hi = outward(at_least, at_greatest, kernel.steps)
        beyond = (least < kernel.low, greatest > kernel.high)
        if not kernel.rises:
            beyond = (least > kernel.high, greatest < kernel.low)
        lo = lo.clamp(min=kernel.floor).masked_fill(beyond[0], kernel.floor)
        return Interval(lo, hi.clamp(max=kernel.ceiling).masked_fill(beyond[1], kernel.ceiling), x.doubt)


def _nothing_known(x: Interval) -> Interval:
    everything = torch.ones_like(x.lo, dtype=torch.bool)
    return Interval(torch.full_like(x.lo, -math.inf), torch.full_like(x.lo, math.inf), everything)


def _with_zero(x: Interval, result: Interval) -> Interval:
    """The result of a function that keeps the sign of x, exactly 0 where an end of x is."""
    return Interval(unless_zero(x.lo, result.lo), unless_zero(x.hi, result.hi), result.doubt)


def _valley(x: Interval, at_lo: Interval, at_hi: Interval) -> Interval:
    """A function >= 0 that falls before 0, vanishes there and rises after it, from its enclosures at the ends of x."""
    lo = torch.minimum(at_lo.lo, at_hi.lo).masked_fill((x.lo <= 0) & (x.hi >= 0), 0.0).clamp(min=0)
    unbounded = x.lo.isinf() | x.hi.isinf()
    return Interval(lo, torch.maximum(at_lo.hi, at_hi.hi).masked_fill(unbounded, math.inf), x.doubt)


def _finite_ends(x: Interval) -> tuple[Interval, Interval]:
    """The ends of x as known floats, the largest in place of an infinite one."""
    return point(x.lo.clamp(-LARGEST, LARGEST)), point(x.hi.clamp(-LARGEST, LARGEST))


def _expm1mx_series(x: Interval, elsewhere: Interval) -> Interval:
    """x**2 (1/2! + x/3! + x**2/4! + ...) where |x| < 1/16, with a bound on what is left out."""
    return _near_zero(x, elsewhere, 1 / 16, [math.factorial(k) for k in range(2, 10)])


def _log1pmx_series(x: Interval, elsewhere: Interval) -> Interval:
    """-x**2 (1/2 - x/3 + x**2/4 - ...) where |x| < 1/64, with a bound on what is left out."""
    return _near_zero(x, elsewhere, 1 / 64, [k * (-1) ** (k + 1) for k in range(2, 10)])


def _near_zero(x: Interval, elsewhere: Interval, radius: float, denominators: list[int]) -> Interval:
    """x**2 (1/d0 + x/d1 + ...) within the radius; the terms left out are below twice the first of them."""
    near = x.lo.abs() < radius
    if not bool(near.any()):
        return elsewhere
    small = point(torch.where(near, x.lo, 0.0))
    rest = 2 / abs(denominators[-1])  # times x**len(denominators), as the loop goes on
    total = Interval(torch.full_like(x.lo, -rest), torch.full_like(x.lo, rest))
    for d in reversed(denominators):
        total = total * small + Interval(*outward(*(torch.tensor(1 / d, dtype=torch.float64),) * 2))
    series = square_of(small) * total
    return Interval(torch.where(near, series.lo, elsewhere.lo), torch.where(near, series.hi, elsewhere.hi), x.doubt)
