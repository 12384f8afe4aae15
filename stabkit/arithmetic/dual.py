"""Duals: a number with its derivatives, over any number system, so that a definition also states its gradient.

Tangents are kept by input index and absent where the number does not depend on that input, so that
0 * inf never arises from inputs that play no part.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stabkit.arithmetic import Number, NumberSystem

_WATCHED: list[list[Any]] = []


@contextmanager
def watched_ties() -> Iterator[list[Any]]:
    """Collects whether comparisons of differentiated numbers, inside it, met equal operands."""
    _WATCHED.append([])
    try:
        yield _WATCHED[-1]
    finally:
        _WATCHED.pop()


class Dual:
    """value + sum of tangents[i] * d(input i)."""

    __slots__ = ("tangents", "value")

    def __init__(self, value: Number, tangents: Mapping[int, Number]) -> None:
        self.value, self.tangents = value, tangents

    def __repr__(self) -> str:
        return f"Dual({self.value}, {dict(self.tangents)})"

    def __neg__(self) -> Dual:
        return Dual(-self.value, {i: -t for i, t in self.tangents.items()})

    def __add__(self, other: Dual | float) -> Dual:
        if not isinstance(other, Dual):
            return Dual(self.value + other, self.tangents)
        return Dual(self.value + other.value, _sum(self.tangents, other.tangents))

    def __sub__(self, other: Dual | float) -> Dual:
        return self + (-other)

    def __rsub__(self, other: float) -> Dual:
        return -self + other

    def __mul__(self, other: Dual | float) -> Dual:
        if not isinstance(other, Dual):
            return Dual(self.value * other, _scaled(self.tangents, other))
        return Dual(
            self.value * other.value, _sum(_scaled(self.tangents, other.value), _scaled(other.tangents, self.value))
        )

    def __truediv__(self, other: Dual | float) -> Dual:
        if not isinstance(other, Dual):
            return Dual(self.value / other, {i: t / other for i, t in self.tangents.items()})
        quotient = self.value / other.value
        left = {i: t / other.value for i, t in self.tangents.items()}
        right = {i: -(t * quotient) / other.value for i, t in other.tangents.items()}
        return Dual(quotient, _sum(left, right))

    def __rtruediv__(self, other: float) -> Dual:
        quotient = other / self.value
        return Dual(quotient, {i: -(t * quotient) / self.value for i, t in self.tangents.items()})

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, power: int | float | Dual) -> Dual:
        if isinstance(power, Dual):
            raise NotImplementedError("a power of two variables: write ctx.exp(y * ctx.log(x))")
        if power == 0:
            return Dual(self.value**0, {})
        return Dual(self.value**power, _scaled(self.tangents, self.value ** (power - 1) * power))

    def __rpow__(self, base: float) -> Dual:
        raise NotImplementedError(f"{base}**x: write ctx.exp(x * ctx.log(ctx.number({base})))")

    def __lt__(self, other: Dual | float) -> bool:
        return self._compared(operator.lt, other)

    def __le__(self, other: Dual | float) -> bool:
        return self._compared(operator.le, other)

    def __gt__(self, other: Dual | float) -> bool:
        return self._compared(operator.gt, other)

    def __ge__(self, other: Dual | float) -> bool:
        return self._compared(operator.ge, other)

    def __eq__(self, other: object) -> bool:
        return self._compared(operator.eq, other)

    def _compared(self, holds: Callable[[Any, Any], bool], other: Any) -> bool:
        """The comparison of values; at equal ones a branch may begin, so that slopes need a look at both sides."""
        y = _value(other)
        result = bool(holds(self.value, y))
        if _WATCHED and (self.tangents or getattr(other, "tangents", None)):
            equals = getattr(self.value, "equals", None)
            _WATCHED[-1].append(self.value == y if equals is None else equals(y))
        return result

    def __abs__(self) -> Dual:
        return self if self >= 0 else -self

    __hash__ = None  # type: ignore[assignment]


def _value(x: Dual | float) -> Number:
    return x.value if isinstance(x, Dual) else x


def _sum(a: Mapping[int, Number], b: Mapping[int, Number]) -> dict[int, Number]:
    return {**a, **{i: a[i] + t if i in a else t for i, t in b.items()}}


def _scaled(tangents: Mapping[int, Number], factor: Number) -> dict[int, Number]:
    return {i: t * factor for i, t in tangents.items()}


def _of_numbers_too(function: Callable[[DualSystem, Dual], Dual]) -> Callable[[DualSystem, Dual], Dual]:
    """Lets a function of a dual take a Python number."""

    @functools.wraps(function)
    def apply(self: DualSystem, x: Dual) -> Dual:
        return function(self, x if isinstance(x, Dual) else self.number(x))

    return apply


class DualSystem:
    """Duals over a base system; the vocabulary is the base's, each function with its derivative.

    Example:
        >>> from stabkit.arithmetic.mp import MpSystem
        >>> ctx = DualSystem(MpSystem(100))
        >>> x = Dual(ctx.base.number(0), {0: ctx.base.number(1)})
        >>> ctx.exp(x * 3).tangents[0] == 3
        True
    """

    def __init__(self, base: NumberSystem) -> None:
        self.base = base
        self.met_tie = False  # a maximum of equal numbers was taken: tangents are hulls of one-sided ones

    @property
    def pi(self) -> Dual:
        return Dual(self.base.pi, {})

    def number(self, value: float) -> Dual:
        return Dual(self.base.number(value), {})

    def _chain(self, x: Dual, value: Number, slope: Callable[[], Number]) -> Dual:
        return Dual(value, _scaled(x.tangents, slope()) if x.tangents else {})

    @_of_numbers_too
    def exp(self, x: Dual) -> Dual:
        value = self.base.exp(x.value)
        return self._chain(x, value, lambda: value)

    @_of_numbers_too
    def log(self, x: Dual) -> Dual:
        return Dual(self.base.log(x.value), {i: t / x.value for i, t in x.tangents.items()})

    @_of_numbers_too
    def expm1(self, x: Dual) -> Dual:
        return self._chain(x, self.base.expm1(x.value), lambda: self.base.exp(x.value))

    @_of_numbers_too
    def log1p(self, x: Dual) -> Dual:
        return Dual(self.base.log1p(x.value), {i: t / (x.value + 1) for i, t in x.tangents.items()})

    @_of_numbers_too
    def expm1mx(self, x: Dual) -> Dual:
        return self._chain(x, self.base.expm1mx(x.value), lambda: self.base.expm1(x.value))

    @_of_numbers_too
    def log1pmx(self, x: Dual) -> Dual:
        return self._chain(x, self.base.log1pmx(x.value), lambda: -x.value / (x.value + 1))

    @_of_numbers_too
    def sqrt(self, x: Dual) -> Dual:
        value = self.base.sqrt(x.value)
        return Dual(value, {i: t / (value * 2) for i, t in x.tangents.items()})

    @_of_numbers_too
    def sin(self, x: Dual) -> Dual:
        return self._chain(x, self.base.sin(x.value), lambda: self.base.cos(x.value))

    @_of_numbers_too
    def cos(self, x: Dual) -> Dual:
        return self._chain(x, self.base.cos(x.value), lambda: -self.base.sin(x.value))

    @_of_numbers_too
    def tanh(self, x: Dual) -> Dual:
        return self._chain(x, self.base.tanh(x.value), lambda: self._squared_sech(x.value))

    def _squared_sech(self, x: Number) -> Number:
        """1 - tanh(x)**2, without its cancellation."""
        small = self.base.exp(self.base.absolute(x) * -2)
        return small * 4 / ((small + 1) * (small + 1))

    @_of_numbers_too
    def erf(self, x: Dual) -> Dual:
        return self._chain(x, self.base.erf(x.value), lambda: self._bell(x.value))

    @_of_numbers_too
    def erfc(self, x: Dual) -> Dual:
        return self._chain(x, self.base.erfc(x.value), lambda: -self._bell(x.value))

    def _bell(self, x: Number) -> Number:
        return self.base.exp(-(x * x)) * 2 / self.base.sqrt(self.base.pi)

    @_of_numbers_too
    def lgamma(self, x: Dual) -> Dual:
        return self._chain(x, self.base.lgamma(x.value), lambda: self.base.digamma(x.value))

    @_of_numbers_too
    def digamma(self, x: Dual) -> Dual:
        """Raises NotImplementedError where a derivative is asked for: no base system has a trigamma."""
        if x.tangents:
            raise NotImplementedError("no number system here has the derivative of digamma")
        return Dual(self.base.digamma(x.value), {})

    @_of_numbers_too
    def absolute(self, x: Dual) -> Dual:
        return self.maximum(x, -x)

    def maximum(self, x: Dual | float, y: Dual | float) -> Dual:
        """The larger; at a tie the tangents are hulls, which `met_tie` says are not yet the one-sided slopes."""
        a, b = self._lifted(x), self._lifted(y)
        if a.value == b.value:
            self.met_tie = True
            return Dual(a.value, self._hulls(a.tangents, b.tangents))
        if a.value > b.value:
            return a
        if a.value < b.value:
            return b
        undefined = a.value + b.value  # an operand is undefined, and so are value and slopes
        return Dual(undefined, dict.fromkeys((*a.tangents, *b.tangents), undefined))

    def minimum(self, x: Dual | float, y: Dual | float) -> Dual:
        return -self.maximum(-self._lifted(x), -self._lifted(y))

    def hull(self, x: Dual | float, y: Dual | float) -> Dual:
        a, b = self._lifted(x), self._lifted(y)
        return Dual(self.base.hull(a.value, b.value), self._hulls(a.tangents, b.tangents))

    def _lifted(self, x: Dual | float) -> Dual:
        return x if isinstance(x, Dual) else self.number(x)

    def _hulls(self, a: Mapping[int, Number], b: Mapping[int, Number]) -> dict[int, Number]:
        zero = self.base.number(0)
        return {i: self.base.hull(a.get(i, zero), b.get(i, zero)) for i in {*a, *b}}
