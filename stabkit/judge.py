"""Comparing what a program gave with what is true, one number at a time, by the error rule of the design.

With u the unit roundoff and C the conditioning of the number, *excess bits* are log2(|error| / max(u(|truth| + C),
smallest subnormal)). Up to 4 pass, unless the target's tolerance says otherwise. Beyond, it is a warning; an error if
more than half the significand is still lost after the natural scale has been added: u S for a value (S = 1 nat),
u max(S, |value|)/|x| for a slope by x. A slope that has lost no bit once u S/max(1, |x|) has been added is a note:
moving x by 1, or by its own size, makes a difference below the rounding of one natural scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from flint import arb

from stabkit.arithmetic.enclosure import Enclosure, State
from stabkit.finding import Severity
from stabkit.floats import Format, as_finite, excess_bits, log2_magnitude, power_of_two, ulp_error
from stabkit.spec import USUAL_TOLERANCE


class Kind(Enum):
    """What became of one number."""

    RIGHT = "right"
    NOT_FINITE = "not finite"
    INACCURATE = "inaccurate"
    VANISHED = "vanished"  # zero where a tiny truth is representable
    RANGE_LIMIT = "range limit"  # the truth itself does not fit the dtype
    UNDEFINED = "undefined"
    UNRESOLVED = "unresolved"

    @property
    def is_failure(self) -> bool:
        return self in (Kind.NOT_FINITE, Kind.INACCURATE, Kind.VANISHED)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One number, judged.

    Attributes:
        row: index of the sample.
        of: `value`, `value[i]`, or `gradient:NAME[i,j]`.
        excess: bits lost beyond conditioning, None where that says nothing.
        well_conditioned: a unit roundoff of the inputs moves the truth by few ulps of it.
    """

    row: int
    of: str
    got: float
    truth: Enclosure
    kind: Kind
    severity: Severity | None = None
    excess: float | None = None
    ulps: float | None = None
    well_conditioned: bool = True


def judge(
    row: int,
    of: str,
    got: float,
    truth: Enclosure,
    form: Format,
    conditioning: Callable[[], arb],
    scale: float | arb,
    bits: float = USUAL_TOLERANCE.bits,
    further: Callable[[], arb] = lambda: arb(0),
    harmless: float | arb = 0.0,
) -> Judgement:
    """Judges one number.

    Args:
        row, of: what the number is.
        got: what the program gave.
        truth: what is true.
        form: the audited format.
        conditioning: computes C; asked only where the error is not explained without it.
        scale: the natural scale that error severity adds, times 1/u.
        bits: excess bits that pass.
        further: C from a wider neighbourhood; asked only where the nearer one does not explain the error.
        harmless: what else is added, times 1/u, before an error is more than a note.
    """
    settled = _without_comparison(got, truth, form)
    if settled is not None:
        return Judgement(row, of, got, truth, settled, "error" if settled.is_failure else None)
    real = representable_truth(truth, form)
    error = as_finite(got, form) - real
    if excess_bits(error, real, arb(0), form) <= bits:
        return Judgement(row, of, got, truth, Kind.RIGHT)
    wobble = arb(0) if truth.kink else conditioning()  # the hull at a kink already holds what moving would add
    excess = excess_bits(error, real, wobble, form)
    if excess > bits and not truth.kink:
        wobble = max(wobble, further(), key=log2_magnitude)
        excess = excess_bits(error, real, wobble, form)
    if excess <= bits:
        return Judgement(row, of, got, truth, Kind.RIGHT, excess=excess)
    kind = _kind_of_failure(got, truth, form)
    finite = math.isfinite(got)
    severity: Severity = "warning"
    if not finite or excess_bits(error, real, wobble, form, scale) > form.precision / 2:
        severity = "error"
    elif excess_bits(error, real, wobble, form, harmless) <= 0:
        severity = "note"
    return Judgement(
        row,
        of,
        got,
        truth,
        kind,
        severity,
        excess if finite else None,
        ulp_error(got, real, form) if finite else None,
        bool(wobble <= 64 * max(abs(real), arb(USUAL_TOLERANCE.natural_scale), key=log2_magnitude)),
    )


def _without_comparison(got: float, truth: Enclosure, form: Format) -> Kind | None:
    """The kind, where no distance needs to be measured."""
    if truth.state is State.UNRESOLVED:
        return Kind.UNRESOLVED
    if truth.state is State.UNDEFINED:
        return Kind.UNDEFINED
    if not truth.is_finite:
        return Kind.NOT_FINITE if math.isinf(got) and got * truth.as_double() < 0 else Kind.RANGE_LIMIT
    if truth.overflows(form) and (math.isnan(got) or (abs(got) >= form.overflow and (got > 0) == bool(truth.ball > 0))):
        return Kind.RANGE_LIMIT
    return Kind.NOT_FINITE if math.isnan(got) else None


def representable_truth(truth: Enclosure, form: Format) -> arb:
    """The truth, or one ulp beyond the largest float where it is larger still."""
    if not truth.overflows(form):
        return truth.ball
    return power_of_two(form.emax + 1) * (1 if truth.ball > 0 else -1)


def _kind_of_failure(got: float, truth: Enclosure, form: Format) -> Kind:
    if math.isinf(got):
        return Kind.NOT_FINITE
    lower_half_of_range = log2_magnitude(truth.ball) < form.emin / 2
    return Kind.VANISHED if got == 0 and lower_half_of_range else Kind.INACCURATE


def largest_difference(moved: list[Enclosure], truth: Enclosure, form: Format, roundoffs: int = 1) -> arb:
    """C: the largest |moved - truth| over a move of so many u, among those that are finite."""
    differences = [abs(e.ball.mid() - truth.ball.mid()) for e in moved if e.is_finite and not e.kink]
    largest = max(differences, key=log2_magnitude, default=arb(0))
    return largest / arb(form.unit_roundoff * roundoffs)


def harmless_slope(x: float, natural: float = USUAL_TOLERANCE.natural_scale) -> arb:
    """S/max(1, |x|): the slope by which the value moves by S where x moves by 1, or by its own size."""
    return arb(natural) / arb(max(1.0, abs(x)))


def slope_scale(value: Enclosure, x: float, natural: float = USUAL_TOLERANCE.natural_scale) -> arb:
    """max(S, |value|)/|x|: moving x by its own size moves the loss by less than its rounding; unbounded at x = 0."""
    if x == 0:
        return arb.pos_inf()
    size = abs(value.ball) if value.is_finite else arb(natural)
    return max(arb(natural), size, key=log2_magnitude) / abs(arb(x))
