"""Truth of a user's plain mpmath function: two precisions that agree, gradients by differences that agree.

Such a function takes mpmath numbers and uses mpmath's global context, so it runs under the global working
precision, which is restored. Agreement proves less than an enclosure: exact 0, infinities and NaN, which
every too low precision returns alike, are settled only at the last precision.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import flint
import mpmath
from flint import arb, arf

from stabkit.arithmetic.enclosure import UNDEFINED, UNRESOLVED, Enclosure, State
from stabkit.arithmetic.evaluate import FIRST_PRECISION, LAST_PRECISION, Sample, Truth, flatten
from stabkit.floats import Format


@contextmanager
def global_precision(bits: int) -> Iterator[None]:
    """mpmath's global precision, restored on the way out whatever the function did to it."""
    saved = mpmath.mp.prec
    mpmath.mp.prec = bits
    try:
        yield
    finally:
        mpmath.mp.prec = saved


def _anywhere(name: str, x: float) -> tuple[bool, bool]:
    return True, True


def evaluate_plain(
    function: Callable[..., Any],
    sample: Mapping[str, Sample],
    form: Format,
    gradient_of: Sequence[str] = (),
    inside: Callable[[str, float], tuple[bool, bool]] = _anywhere,
    seconds: float = 2.0,
) -> Truth:
    """The truth of plain mpmath code at one sample.

    Args:
        function: takes mpmath numbers by name, nested lists of them for vectors.
        sample: exact input values.
        form: the format whose spacing decides when two results agree.
        gradient_of: names of the inputs to differentiate by.
        inside: (may step down, may step up) from a value of the named input without leaving its domain.
        seconds: after this long no further precision is tried.

    Example:
        >>> from stabkit.floats import FORMATS
        >>> truth = evaluate_plain(lambda x: mpmath.log1p(mpmath.exp(x)), {"x": 0.0}, FORMATS["float32"], ["x"])
        >>> truth.gradient["x"][0].as_double()
        0.5
    """
    deadline = time.monotonic() + seconds
    call = _Call(function, sample)
    with flint.ctx.workprec(LAST_PRECISION):  # mpmath's digits are carried over exactly
        values, precision = _climb(call.at, form, deadline)
        gradient = {}
        for name in gradient_of:
            elements = enumerate(float(x) for x in flatten(sample[name]))
            slopes = (_Slope(call, name, i, x, form, inside(name, x)) for i, x in elements)
            gradient[name] = tuple(s.truth(deadline) if values[0].is_finite else UNDEFINED for s in slopes)
    return Truth(tuple(values), gradient, precision)


class _Call:
    """A plain function at one sample, exactly or with one element moved."""

    def __init__(self, function: Callable[..., Any], sample: Mapping[str, Sample]) -> None:
        self.function, self.sample = function, sample

    def at(self, bits: int, name: str = "", index: int = -1, step: Any = 0) -> list[Any]:
        """The result's components at `bits` bits; undefined ones, and a division by zero, are NaN."""
        with global_precision(bits):
            inputs = {n: _lifted(v, step if n == name else 0, index) for n, v in self.sample.items()}
            try:
                return [_real(v) for v in flatten(self.function(**inputs))]
            except (ZeroDivisionError, ValueError, OverflowError, ArithmeticError):
                return [mpmath.nan]


def _lifted(value: Sample, step: Any, index: int) -> Any:
    if not isinstance(value, (list, tuple)):
        number = _from_arb(value) if isinstance(value, arb) else mpmath.mpf(value)
        return number + step if step else number
    start, rows = 0, []
    for v in value:
        size = len(flatten(v))
        rows.append(_lifted(v, step if start <= index < start + size else 0, index - start))
        start += size
    return rows


def _from_arb(value: arb) -> Any:
    mantissa, exponent = value.man_exp()
    return mpmath.mpf((int(mantissa), int(exponent)))


def _real(value: Any) -> Any:
    if isinstance(value, mpmath.mpc):
        return value.real if value.imag == 0 else mpmath.nan
    return mpmath.mpf(value)


def _climb(compute: Callable[[int], list[Any]], form: Format, deadline: float) -> tuple[list[Enclosure], int]:
    """Doubles the precision until two results in a row agree in every component."""
    clock = _Clock(deadline)
    bits, last = FIRST_PRECISION, clock.timed(FIRST_PRECISION, compute)
    found = [UNRESOLVED] * len(last)
    while bits < LAST_PRECISION and clock.allows(2 * bits):
        bits *= 2
        result = clock.timed(bits, compute)
        found = [_agreed(a, b, form, final=bits >= LAST_PRECISION) for a, b in zip(last, result, strict=False)]
        if all(e.state is not State.UNRESOLVED for e in found):
            break
        last = result
        if _is_special(result) and bits < LAST_PRECISION // 2:  # nothing between here and the cap would settle it
            if not clock.allows(LAST_PRECISION):
                break
            bits = LAST_PRECISION // 2
            last = clock.timed(bits, compute)
    return found, bits


class _Clock:
    """Tells whether a computation at more bits would still end in time, from how long the last one took."""

    def __init__(self, deadline: float) -> None:
        self.deadline, self.bits, self.took = deadline, 1, 0.0

    def timed(self, bits: int, compute: Callable[[int], Any]) -> Any:
        """compute(bits), timed."""
        start = time.monotonic()
        result = compute(bits)
        self.bits, self.took = bits, time.monotonic() - start
        return result

    def allows(self, bits: int) -> bool:
        """Whether `bits` bits are affordable; mpmath's cost grows with about their power 1.5."""
        needed: float = self.took * (bits / self.bits) ** 1.5
        return time.monotonic() + needed <= self.deadline


def _is_special(result: list[Any]) -> bool:
    return any(v == 0 or not mpmath.isfinite(v) for v in result)


def _agreed(a: Any, b: Any, form: Format, final: bool) -> Enclosure:
    """The enclosure of b with |a - b| as its radius, if that is narrow; special values only if `final`."""
    if a == 0 or b == 0 or not mpmath.isfinite(a) or not mpmath.isfinite(b):
        same = a == b or (mpmath.isnan(a) and mpmath.isnan(b))
        return Enclosure.of(to_arb(b)) if final and same else UNRESOLVED
    enclosure = Enclosure.of(to_arb(a).union(to_arb(b)))
    return enclosure if enclosure.is_decided(form) else UNRESOLVED


def to_arb(value: Any) -> arb:
    """An mpmath number as an exact Arb number."""
    if mpmath.isnan(value):
        return arb.nan()
    if mpmath.isinf(value):
        return arb.pos_inf() if value > 0 else arb.neg_inf()
    sign, mantissa, exponent, _ = value._mpf_
    return arb(arf((-int(mantissa) if sign else int(mantissa), int(exponent))))


class _Slope:
    """The derivative of a plain function by one element: central, or one-sided at bounds and kinks."""

    def __init__(self, call: _Call, name: str, index: int, x: float, form: Format, room: tuple[bool, bool]) -> None:
        self.call, self.name, self.index, self.form = call, name, index, form
        self.sides = [side for side, free in zip((-1, 1), room, strict=True) if free]
        smallest = form.emin - form.precision + 1
        self.scale = mpmath.mpf(abs(x)) if x else mpmath.ldexp(1, smallest)
        self.depth = 0 if x else -smallest  # bits below 1 where the step starts

    def truth(self, deadline: float) -> Enclosure:
        """Differences at 4 times the working precisions 128, 512 and 4096, with two steps each, until all agree."""
        clock = _Clock(deadline)
        for working in (FIRST_PRECISION, 4 * FIRST_PRECISION, LAST_PRECISION // 4):
            bits = 4 * working + 2 * self.depth
            if not clock.allows(bits):
                break
            slopes = clock.timed(bits, partial(self._two_steps, working))
            flat = all(q == 0 for row in slopes for q in row)
            if not flat or working == LAST_PRECISION // 4:
                found = self._common(slopes)
                if found.state is not State.UNRESOLVED:
                    return found
        return UNRESOLVED

    def _two_steps(self, working: int, bits: int) -> list[list[Any]]:
        return [self._quotients(bits, mpmath.ldexp(self.scale, 8 * k - working)) for k in (1, 0)]

    def _quotients(self, bits: int, step: Any) -> list[Any]:
        """The one-sided difference quotient on each side that may be stepped to."""
        with global_precision(bits):
            here = self._at(bits, 0)
            return [(self._at(bits, side * step) - here) / (side * step) for side in self.sides]

    def _at(self, bits: int, step: Any) -> Any:
        results = self.call.at(bits, self.name, self.index, step)
        with global_precision(bits):
            return mpmath.fsum(results)

    def _common(self, slopes: list[list[Any]]) -> Enclosure:
        """The hull of all quotients if it is narrow; at a kink the hull of what each side agrees on."""
        if not slopes[0] or not all(mpmath.isfinite(q) for row in slopes for q in row):
            return UNRESOLVED
        by_side = [Enclosure.of(to_arb(wide).union(to_arb(near))) for wide, near in zip(*slopes, strict=True)]
        hull = Enclosure.of(by_side[0].ball.union(by_side[-1].ball))
        if hull.is_decided(self.form):
            return hull
        settled = len(by_side) == 2 and all(e.is_decided(self.form) for e in by_side)
        return Enclosure(State.FINITE, hull.ball, kink=True) if settled else UNRESOLVED
