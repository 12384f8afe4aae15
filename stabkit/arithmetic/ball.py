"""Arb balls as a number system: a value with a rigorous error radius, at the precision of the caller's choice.

Arb answers NaN both for "undefined" and for "this precision cannot tell". Here an undefined result of exact
operands stays NaN, and the rest raises `Undecided`, so that a climb in precision can settle it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import flint
from flint import arb

from stabkit.arithmetic import Undecided


class Ball:
    """One real number known to lie in `x`, or exactly +inf, -inf, or undefined (NaN)."""

    __slots__ = ("x",)

    def __init__(self, x: arb) -> None:
        self.x = x

    def __repr__(self) -> str:
        return f"Ball({self.x})"

    def __neg__(self) -> Ball:
        return Ball(-self.x)

    def __add__(self, other: Ball | float) -> Ball:
        y = _arb(other)
        return _settled(self.x + y, self.x, y)

    def __sub__(self, other: Ball | float) -> Ball:
        y = _arb(other)
        return _settled(self.x - y, self.x, y)

    def __rsub__(self, other: float) -> Ball:
        y = _arb(other)
        return _settled(y - self.x, self.x, y)

    def __mul__(self, other: Ball | float) -> Ball:
        y = _arb(other)
        return _settled(self.x * y, self.x, y)

    def __truediv__(self, other: Ball | float) -> Ball:
        y = _arb(other)
        return _settled(self.x / y, self.x, y)

    def __rtruediv__(self, other: float) -> Ball:
        y = _arb(other)
        return _settled(y / self.x, self.x, y)

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, power: int | float | Ball) -> Ball:
        if not isinstance(power, Ball) and power == int(power):
            power = int(power)
            return 1 / self.__pow__(-power) if power < 0 else _natural_power(self, power)
        y = _arb(power)
        return _settled(self.x**y, self.x, y)

    def __rpow__(self, base: float) -> Ball:
        y = _arb(base)
        return _settled(y**self.x, self.x, y)

    def __lt__(self, other: Ball | float) -> bool:
        return _certain(self.x, _arb(other), lambda a, b: a < b, lambda a, b: a >= b)

    def __le__(self, other: Ball | float) -> bool:
        return _certain(self.x, _arb(other), lambda a, b: a <= b, lambda a, b: a > b)

    def __gt__(self, other: Ball | float) -> bool:
        return _certain(self.x, _arb(other), lambda a, b: a > b, lambda a, b: a <= b)

    def __ge__(self, other: Ball | float) -> bool:
        return _certain(self.x, _arb(other), lambda a, b: a >= b, lambda a, b: a < b)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Ball, int, float)):
            return NotImplemented
        if other is self:
            return not self.x.is_nan()
        y = _arb(other)
        return _certain(
            self.x, y, lambda a, b: a.is_exact() and b.is_exact() and a == b, lambda a, b: not a.overlaps(b)
        )

    def __abs__(self) -> Ball:
        return Ball(abs(self.x))

    def equals(self, other: Ball | float) -> bool:
        """Whether both are known exactly, and equal."""
        y = _arb(other)
        return bool(self.x.is_exact() and y.is_exact() and self.x == y)

    __hash__ = None  # type: ignore[assignment]  # equality may be undecided


def _arb(value: Ball | float) -> arb:
    return value.x if isinstance(value, Ball) else arb(value)


def _settled(result: arb, *operands: arb) -> Ball:
    """The ball of a result, which may be infinite or undefined only if exact or undefined operands make it so."""
    if result.is_finite():
        return Ball(result)
    if any(x.is_nan() for x in operands):
        return Ball(arb.nan())
    if any(x.is_exact() and not x.is_finite() for x in operands) and (result > 0 or result < 0):
        return Ball(arb.pos_inf() if result > 0 else arb.neg_inf())  # an exact infinity and something finite
    if (result.is_nan() or result.is_exact()) and all(x.is_exact() for x in operands):
        return Ball(result)
    raise Undecided("a result is unbounded at this precision")


def _certain(x: arb, y: arb, holds: Callable[[arb, arb], bool], fails: Callable[[arb, arb], bool]) -> bool:
    if holds(x, y):
        return True
    if fails(x, y) or x.is_nan() or y.is_nan():
        return False
    side = _TIES.get()
    if side is not None and _is_tie(x, y):
        return holds(arb(-side if x.mid() > y.mid() else side), arb(0))  # y against x is answered accordingly
    raise Undecided("two balls overlap")


def _is_tie(x: arb, y: arb) -> bool:
    """Whether the difference of two numbers is lost in its radius, which the precision has made small."""
    size = max(abs(x.mid()), abs(y.mid()), arb(1))
    return bool((x - y).rad() <= size * arb(2) ** (-3 * flint.ctx.prec // 4))


@contextmanager
def ties_decided(side: int) -> Iterator[None]:
    """Inside it, numbers no precision tells apart compare as their midpoints (-1), as equal (0), or opposite (1)."""
    token = _TIES.set(side)
    try:
        yield
    finally:
        _TIES.reset(token)


_TIES: ContextVar[int | None] = ContextVar("ties", default=None)


def _is_infinite(x: arb) -> bool:
    return bool(x.is_exact() and not x.is_finite() and not x.is_nan())


def _natural_power(base: Ball, power: int) -> Ball:
    """base**power by squaring; Arb's own power is NaN for a ball that contains 0."""
    result, square = Ball(arb(1)), base
    while power:
        if power & 1:
            result = result * square
        power >>= 1
        if power:
            square = square * square
    return result


def _function(name: str) -> Callable[[Ball | float], Ball]:
    def apply(x: Ball | float) -> Ball:
        y = _arb(x)
        return _settled(getattr(y, name)(), y)

    return apply


def _periodic(name: str) -> Callable[[Ball | float], Ball]:
    at_numbers = _function(name)
    return lambda x: Ball(arb.nan()) if _is_infinite(_arb(x)) else at_numbers(x)


class BallSystem:
    """Balls at Arb's current precision; run it inside `flint.ctx.workprec(bits)`."""

    exp = staticmethod(_function("exp"))
    expm1 = staticmethod(_function("expm1"))
    sin = staticmethod(_periodic("sin"))
    cos = staticmethod(_periodic("cos"))
    tanh = staticmethod(_function("tanh"))
    lgamma = staticmethod(_function("lgamma"))
    digamma = staticmethod(_function("digamma"))

    @property
    def pi(self) -> Ball:
        return Ball(arb.pi())

    @staticmethod
    def number(value: float) -> Ball:
        return Ball(arb(value))

    @staticmethod
    def log(x: Ball | float) -> Ball:
        y = _arb(x)
        if y.is_zero():
            return Ball(arb.neg_inf())
        return Ball(arb.nan()) if y < 0 else _settled(y.log(), y)

    @staticmethod
    def log1p(x: Ball | float) -> Ball:
        y = _arb(x)
        if y.is_exact() and y == -1:
            return Ball(arb.neg_inf())
        return Ball(arb.nan()) if y < -1 else _settled(y.log1p(), y)

    @classmethod
    def expm1mx(cls, x: Ball | float) -> Ball:
        return cls.expm1(x) - x

    @classmethod
    def log1pmx(cls, x: Ball | float) -> Ball:
        return cls.log1p(x) - x

    @staticmethod
    def erf(x: Ball | float) -> Ball:
        y = _arb(x)
        return Ball(arb(1 if y > 0 else -1)) if _is_infinite(y) else _settled(y.erf(), y)

    @staticmethod
    def erfc(x: Ball | float) -> Ball:
        y = _arb(x)
        return Ball(arb(0 if y > 0 else 2)) if _is_infinite(y) else _settled(y.erfc(), y)

    @staticmethod
    def sqrt(x: Ball | float) -> Ball:
        y = _arb(x)
        return Ball(arb.nan()) if y < 0 else _settled(y.sqrt(), y)

    @staticmethod
    def absolute(x: Ball | float) -> Ball:
        return Ball(abs(_arb(x)))

    @staticmethod
    def maximum(x: Ball | float, y: Ball | float) -> Ball:
        return Ball(_arb(x).max(_arb(y)))

    @staticmethod
    def minimum(x: Ball | float, y: Ball | float) -> Ball:
        return Ball(_arb(x).min(_arb(y)))

    @staticmethod
    def hull(x: Ball | float, y: Ball | float) -> Ball:
        return Ball(_arb(x).union(_arb(y)))
