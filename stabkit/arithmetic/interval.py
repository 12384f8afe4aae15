"""Intervals: pairs of float64 tensors, rounded outward, for many samples at once.

Each element is a real number known to lie in [lo, hi], or *in doubt*: nothing is known of it, because an operand may
have left its domain, or an operation is not listed here. Bounds may be infinite; the number itself never is. A
comparison answers for all elements alike or raises `Diverged`, so that a definition with branches is run again on
the parts that agree.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from stabkit.arithmetic import Undecided

UP, DOWN = torch.tensor(math.inf, dtype=torch.float64), torch.tensor(-math.inf, dtype=torch.float64)
EXACT_INTEGERS = 2**53


class Diverged(Undecided):
    """A comparison holds for some elements and not for others; elements in neither mask are undecided."""

    def __init__(self, holds: Tensor, fails: Tensor) -> None:
        super().__init__("a comparison differs between samples")
        self.holds, self.fails = holds, fails


class Interval:
    """[lo, hi] elementwise; `doubt` marks the elements of which nothing is known, None if there are none.

    lo is hi, the same tensor, where every element is a known float.
    """

    __slots__ = ("doubt", "hi", "lo")

    def __init__(self, lo: Tensor, hi: Tensor, doubt: Tensor | None = None) -> None:
        self.lo, self.hi, self.doubt = lo, hi, doubt

    def __repr__(self) -> str:
        return f"Interval({self.lo}, {self.hi}, doubt={self.doubt})"

    @property
    def is_point(self) -> bool:
        """Whether every element is a known float."""
        return self.lo is self.hi

    def __neg__(self) -> Interval:
        if self.is_point:
            return point(-self.lo, self.doubt)
        return Interval(-self.hi, -self.lo, self.doubt)

    def __add__(self, other: Interval | float) -> Interval:
        y = interval_of(other)
        return _outward_sum(self.lo + y.lo, self.hi + y.hi, either(self.doubt, y.doubt))

    def __sub__(self, other: Interval | float) -> Interval:
        y = interval_of(other)
        return _outward_sum(self.lo - y.hi, self.hi - y.lo, either(self.doubt, y.doubt))

    def __rsub__(self, other: float) -> Interval:
        return interval_of(other) - self

    def __mul__(self, other: Interval | float) -> Interval:
        y = interval_of(other)
        if _is_one(y):
            return self
        return y if _is_one(self) else _product(self, y)

    def __truediv__(self, other: Interval | float) -> Interval:
        y = interval_of(other)
        return self if _is_one(y) else _quotient(self, y)

    def __rtruediv__(self, other: float) -> Interval:
        return _quotient(interval_of(other), self)

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, power: object) -> Interval:
        """Whole powers only; others raise Undecided."""
        if isinstance(power, (int, float)) and power == int(power):
            whole = int(power)
            return 1 / _natural_power(self, -whole) if whole < 0 else _natural_power(self, whole)
        raise Undecided("only whole powers of intervals are listed")

    def __rpow__(self, base: float) -> Interval:
        raise Undecided("powers with an interval as exponent are not listed")

    def __lt__(self, other: Interval | float) -> bool:
        y = interval_of(other)
        return _for_all(self.hi < y.lo, self.lo >= y.hi, either(self.doubt, y.doubt))

    def __le__(self, other: Interval | float) -> bool:
        y = interval_of(other)
        return _for_all(self.hi <= y.lo, self.lo > y.hi, either(self.doubt, y.doubt))

    def __gt__(self, other: Interval | float) -> bool:
        return interval_of(other) < self

    def __ge__(self, other: Interval | float) -> bool:
        return interval_of(other) <= self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Interval, int, float)):
            return NotImplemented
        y = interval_of(other)
        same = (self.lo == self.hi) & (y.lo == y.hi) & (self.lo == y.lo)
        return _for_all(same, (self.hi < y.lo) | (self.lo > y.hi), either(self.doubt, y.doubt))

    def equals(self, other: Interval | float) -> Tensor:
        """Which elements may equal those of another."""
        y = interval_of(other)
        return (self.lo <= y.hi) & (self.hi >= y.lo)

    __hash__ = None  # type: ignore[assignment]  # equality may be undecided


def point(values: Tensor, doubt: Tensor | None = None) -> Interval:
    """The interval of known floats."""
    return Interval(values, values, doubt)


def of_floats(values: Tensor) -> Interval:
    """Doubles [...] as intervals; what is not finite is in doubt."""
    finite = values.isfinite()
    return point(values) if bool(finite.all()) else point(values.masked_fill(~finite, 0.0), ~finite)


def either(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The elements in doubt in one or the other."""
    return b if a is None else a if b is None else a | b


def interval_of(value: Interval | float) -> Interval:
    """A Python number as an interval that holds it; an interval as it is.

    Raises:
        Undecided: for other kinds of number, which balls may take exactly.
    """
    if isinstance(value, Interval):
        return value
    if not isinstance(value, (int, float)):
        raise Undecided(f"a {type(value).__name__} beside an interval")
    exact = torch.tensor(float(value), dtype=torch.float64)
    if isinstance(value, int) and abs(value) > EXACT_INTEGERS:
        return Interval(torch.nextafter(exact, DOWN), torch.nextafter(exact, UP))
    return of_floats(exact)


def _is_one(x: Interval) -> bool:
    return x.lo.dim() == 0 and x.is_point and x.doubt is None and x.lo.item() == 1


def outward(lo: Tensor, hi: Tensor, steps: int = 1) -> tuple[Tensor, Tensor]:
    """Both bounds moved outward by that many floats."""
    for _ in range(steps):
        lo, hi = torch.nextafter(lo, DOWN), torch.nextafter(hi, UP)
    return lo, hi


def _outward_sum(lo: Tensor, hi: Tensor, doubt: Tensor | None) -> Interval:
    """The widened sum; a floating sum that is zero is exact."""
    wide = outward(lo, hi)
    return Interval(unless_zero(lo, wide[0]), unless_zero(hi, wide[1]), doubt)


def unless_zero(x: Tensor, wide: Tensor) -> Tensor:
    """`wide`, but 0 where x is: there the unrounded result is exactly 0."""
    zero = x == 0
    return wide.masked_fill(zero, 0.0) if bool(zero.any()) else wide


def _product(x: Interval, y: Interval) -> Interval:
    def vanishes(x: Interval, y: Interval) -> Tensor:
        return _is_zero(x) | _is_zero(y)

    return _finished(_extremes(torch.mul, x, y), x, y, vanishes, either(x.doubt, y.doubt))


def _quotient(x: Interval, y: Interval) -> Interval:
    doubt, through_zero = either(x.doubt, y.doubt), (y.lo <= 0) & (y.hi >= 0)
    if bool(through_zero.any()):
        doubt = either(doubt, through_zero)
        lo = y.lo.masked_fill(through_zero, 1.0)
        y = Interval(lo, lo if y.is_point else y.hi.masked_fill(through_zero, 1.0))
    return _finished(_extremes(torch.div, x, y), x, y, lambda x, y: _is_zero(x), doubt)


def _extremes(operation: Callable[[Tensor, Tensor], Tensor], x: Interval, y: Interval) -> tuple[Tensor, Tensor]:
    """Least and greatest result at the corners.

    0 * inf and inf / inf count as 0, because an infinite bound is never attained.
    """
    xs = [x.lo] if x.is_point else [x.lo, x.hi]
    ys = [y.lo] if y.is_point else [y.lo, y.hi]
    corners = [operation(a, b) for a in xs for b in ys]
    least = functools.reduce(torch.minimum, corners)
    if len(corners) > 1 and bool(least.isnan().any()):
        unknown = x.lo.isnan() | x.hi.isnan() | y.lo.isnan() | y.hi.isnan()
        corners = [torch.where(unknown, c, c.nan_to_num(0.0, math.inf, -math.inf)) for c in corners]
        least = functools.reduce(torch.minimum, corners)
    return least, functools.reduce(torch.maximum, corners)


def _finished(
    bounds: tuple[Tensor, Tensor],
    x: Interval,
    y: Interval,
    vanishes: Callable[[Interval, Interval], Tensor],
    doubt: Tensor | None,
) -> Interval:
    """The widened product or quotient: exact where it is zero, and on its side of zero where the signs say so."""
    lo, hi = outward(*bounds)
    touching = (bounds[0] == 0) | (bounds[1] == 0)
    if bool(touching.any()):
        zero = vanishes(x, y)
        alike = ((x.lo >= 0) & (y.lo >= 0)) | ((x.hi <= 0) & (y.hi <= 0))
        opposite = ((x.lo >= 0) & (y.hi <= 0)) | ((x.hi <= 0) & (y.lo >= 0))
        lo = torch.where(alike, lo.clamp(min=0), lo).masked_fill(zero, 0.0)
        hi = torch.where(opposite, hi.clamp(max=0), hi).masked_fill(zero, 0.0)
    return Interval(lo, hi, doubt)


def _is_zero(x: Interval) -> Tensor:
    return (x.lo == 0) & (x.hi == 0)


def square_of(x: Interval) -> Interval:
    """x*x, never negative."""
    low, high = magnitudes(x)
    lo, hi = outward(low * low, high * high)
    return Interval(lo.clamp(min=0), unless_zero(high, hi), x.doubt)


def magnitudes(x: Interval) -> tuple[Tensor, Tensor]:
    """The least and the greatest |x|."""
    if x.is_point:
        return (x.lo.abs(),) * 2
    a, b = x.lo.abs(), x.hi.abs()
    return torch.minimum(a, b).masked_fill((x.lo < 0) & (x.hi > 0), 0.0), torch.maximum(a, b)


def _natural_power(base: Interval, power: int) -> Interval:
    """base**power by squaring."""
    if power == 0:
        return point(torch.ones_like(base.lo), base.doubt)
    result, square = None, base
    while True:
        if power & 1:
            result = square if result is None else result * square
        power >>= 1
        if not power:
            return result  # type: ignore[return-value]  # the highest bit is set
        square = square_of(square)


def _for_all(holds: Tensor, fails: Tensor, doubt: Tensor | None) -> bool:
    if doubt is not None:
        holds, fails = holds & ~doubt, fails & ~doubt
    if bool(holds.all()):
        return True
    if bool(fails.all()):
        return False
    raise Diverged(holds, fails)


def doubted(x: Interval, outside: Tensor) -> Interval:
    """x with what may lie outside a domain in doubt."""
    return Interval(x.lo, x.hi, either(x.doubt, outside)) if bool(outside.any()) else x
