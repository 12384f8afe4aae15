"""Truth of a user's plain mpmath function: two precisions that agree, gradients by differences that agree.

Such a function takes mpmath numbers and uses mpmath's global context, so it runs under the global working
precision, which is restored. Agreement proves less than an enclosure: exact 0, infinities and NaN, which
every too low precision returns alike, are settled only at the last precision.
"""

from __future__ import annotations

import math
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
from stabkit.arithmetic.limits import GROWTH, LIMIT_PRECISION, Room, anywhere, limit
from stabkit.errors import DefinitionError
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


def evaluate_plain(
    function: Callable[..., Any],
    sample: Mapping[str, Sample],
    form: Format,
    gradient_of: Sequence[str] = (),
    room: Room = anywhere,
    seconds: float = 2.0,
) -> Truth:
    """The truth of plain mpmath code at one sample.

    Args:
        function: takes mpmath numbers by name, nested lists of them for vectors.
        sample: exact input values.
        form: the format whose spacing decides when two results agree.
        gradient_of: names of the inputs to differentiate by.
        room: which sides of a value lie inside the domain.
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
        values, precision = _climb(call.at, _first_precision(sample), form, deadline)
        values = [_defined(e, j, call, form, room) for j, e in enumerate(values)]
        open_end = next((e for e in values if not e.is_finite), None)
        gradient = {}
        for name in gradient_of:
            elements = enumerate(float(x) for x in flatten(sample[name]))
            slopes = (_Slope(call, name, i, x, form, room(name, x)) for i, x in elements)
            gradient[name] = tuple(_without_value(open_end) if open_end else s.truth(deadline) for s in slopes)
    return Truth(tuple(values), gradient, precision)


def _without_value(value: Enclosure) -> Enclosure:
    """What is known of a slope where a value is not finite: as little as of the value."""
    return UNRESOLVED if value.state is State.UNRESOLVED else UNDEFINED


def _first_precision(sample: Mapping[str, Sample]) -> int:
    """Bits that leave FIRST_PRECISION after a square of the smallest or largest input is added to 1.

    Lower ones agree on 1 + x*x = 1 and the like, whatever the truth.
    """
    numbers = [abs(float(x)) for value in sample.values() for x in flatten(value)]
    exponents = [abs(math.log2(x)) for x in numbers if x and math.isfinite(x)]
    return FIRST_PRECISION + 64 * math.ceil(2 * max(exponents, default=0.0) / 64)


def _defined(value: Enclosure, component: int, call: _Call, form: Format, room: Room) -> Enclosure:
    """A value, or its limit where it is undefined at the sample itself."""
    if value.state is not State.UNDEFINED:
        return value
    axes = [(name, k) for name, v in call.sample.items() for k in range(len(flatten(v)))]

    def pick(moved: Mapping[str, Sample]) -> Enclosure:
        results = _Call(call.function, moved).at(LIMIT_PRECISION)
        return Enclosure.of(to_arb(results[component])) if component < len(results) else UNDEFINED

    return limit(pick, call.sample, axes, form, room)


class _Call:
    """A plain function at one sample, exactly or with one element moved."""

    def __init__(self, function: Callable[..., Any], sample: Mapping[str, Sample]) -> None:
        self.function, self.sample = function, sample

    def at(self, bits: int, name: str = "", index: int = -1, step: Any = 0) -> list[Any]:
        """The result's components at `bits` bits; undefined ones, and a division by zero, are NaN."""
        with global_precision(bits):
            inputs = {n: _lifted(v, step if n == name else 0, index) for n, v in self.sample.items()}
            try:
                results = [_real(v) for v in flatten(self.function(**inputs))]
                if mpmath.mp.prec != bits:
                    raise DefinitionError(
                        "the reference",
                        "changes mpmath's global precision",
                        "leave mp.dps and mp.prec alone: they are set for it",
                    )
                return results
            except (ZeroDivisionError, ValueError, OverflowError, ArithmeticError):
                return [mpmath.nan]


def _lifted(value: Sample, step: Any, index: int) -> Any:
    if isinstance(value, int) and not step:
        return value  # labels and flags index lists
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
    if isinstance(value, float) and math.isfinite(value) and value * 2.0**20 % 1:
        raise DefinitionError(
            f"the reference's result {value!r}",
            "is a Python float, which holds 53 bits whatever the precision",
            "compute it with mpmath functions of the inputs, not with math or numpy",
        )
    try:
        return mpmath.mpf(value)
    except (TypeError, ValueError):
        raise DefinitionError(
            f"the reference's result {value!r:.60}", "is not a number or a list of numbers", "return mpmath numbers"
        ) from None


def _climb(
    compute: Callable[[int], list[Any]], first: int, form: Format, deadline: float
) -> tuple[list[Enclosure], int]:
    """Doubles the precision until two results in a row agree in every component."""
    clock = _Clock(deadline)
    bits, last = first, clock.timed(first, compute)
    found = [UNRESOLVED] * len(last)
    while bits < LAST_PRECISION and clock.allows(2 * bits):
        bits *= 2
        result = clock.timed(bits, compute)
        final = bits >= LAST_PRECISION
        found = [_agreed(a, b, form, final) for a, b in zip(last, result, strict=False)]
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
        size = math.frexp(x)[1] if x else form.emin - form.precision + 1
        # a function such as sin(x*x) has structure at 1/x; below the smallest float none has any
        self.scale = mpmath.ldexp(1, min(size, -size))
        self.depth = abs(size) + max(size, 0)  # bits between the input and where the steps start

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
        if any(abs(near) > GROWTH * abs(wide) > 0 for wide, near in zip(*slopes, strict=True)):
            return Enclosure(State.PLUS_INFINITY, arb.pos_inf())  # the quotient grows as the step shrinks: a pole
        by_side = [Enclosure.of(to_arb(wide).union(to_arb(near))) for wide, near in zip(*slopes, strict=True)]
        hull = Enclosure.of(by_side[0].ball.union(by_side[-1].ball))
        if hull.is_decided(self.form):
            return hull
        settled = len(by_side) == 2 and all(e.is_decided(self.form) for e in by_side)
        return Enclosure(State.FINITE, hull.ball, kink=True) if settled else UNRESOLVED
