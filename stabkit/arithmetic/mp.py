"""mpmath as a number system: the readable ground truth, at a stated precision in a context of its own."""

from typing import Any

import mpmath

from stabkit.arithmetic import Number


class MpSystem:
    """Real numbers rounded to `bits` bits; never touches mpmath's global precision.

    Example:
        >>> ctx = MpSystem(200)
        >>> ctx.to_string(ctx.log(ctx.number(2)), 15)
        '0.693147180559945'
    """

    def __init__(self, bits: int) -> None:
        self._mp: Any = mpmath.MPContext()
        self._mp.prec = bits
        self.exp, self.expm1, self.log1p = self._mp.exp, self._mp.expm1, self._mp.log1p
        self.sqrt, self.sin, self.cos, self.tanh = self._mp.sqrt, self._mp.sin, self._mp.cos, self._mp.tanh
        self.erf, self.erfc, self.lgamma, self.digamma = (
            self._mp.erf,
            self._mp.erfc,
            self._mp.loggamma,
            self._mp.digamma,
        )
        self.absolute, self.maximum, self.minimum = self._mp.fabs, max, min

    @property
    def pi(self) -> Number:
        return +self._mp.pi

    def number(self, value: float) -> Number:
        return self._mp.mpf(value)

    def log(self, x: Number) -> Number:
        return self._mp.log(x) if x >= 0 else self._mp.nan

    def expm1mx(self, x: Number) -> Number:
        return self._mp.expm1(x) - x

    def log1pmx(self, x: Number) -> Number:
        return self._mp.log1p(x) - x

    def hull(self, x: Number, y: Number) -> Number:
        """x where both agree: rounded numbers cannot stand for an interval, so a wider hull is undefined."""
        return x if x == y else self._mp.nan

    def to_string(self, x: Number, digits: int) -> str:
        """x in decimal with that many significant digits."""
        return str(self._mp.nstr(x, digits))
