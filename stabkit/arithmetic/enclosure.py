"""What is known of one true number: an interval that contains it, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from flint import arb

from stabkit.floats import Format, power_of_two, true_ulp

ULP_FRACTION = 2.0**-8  # an enclosure this narrow, in ulps, settles every verdict


class State(Enum):
    """How much is known of a true number."""

    FINITE = "finite"
    PLUS_INFINITY = "inf"
    MINUS_INFINITY = "-inf"
    UNDEFINED = "undefined"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A true number: `ball` contains it when it is finite; at a kink the ball is the hull of the one-sided values."""

    state: State
    ball: arb
    kink: bool = False

    @classmethod
    def of(cls, ball: arb, kink: bool = False) -> Enclosure:
        """The enclosure of an Arb result, whose exact infinities and NaN are states of their own."""
        if ball.is_finite():
            return cls(State.FINITE, ball, kink)
        if ball.is_nan():
            return UNDEFINED
        if not ball.is_exact():
            return UNRESOLVED
        return cls(State.PLUS_INFINITY if ball > 0 else State.MINUS_INFINITY, ball)

    @property
    def is_finite(self) -> bool:
        return self.state is State.FINITE

    @property
    def is_infinite(self) -> bool:
        return self.state in (State.PLUS_INFINITY, State.MINUS_INFINITY)

    def is_decided(self, form: Format) -> bool:
        """Whether it settles a verdict: narrower than 2**-8 ulp, or wholly zero, or wholly overflow."""
        if not self.is_finite:
            return self.state is not State.UNRESOLVED
        return self.kink or self.is_zero(form) or self.overflows(form) or _is_narrow(self.ball, form)

    def is_zero(self, form: Format) -> bool:
        """Whether it rounds to zero: within half the smallest subnormal."""
        return bool(abs(self.ball) <= power_of_two(form.emin - form.precision))

    def overflows(self, form: Format) -> bool:
        """Whether it lies beyond the largest float by half an ulp or more."""
        return self.is_finite and bool(
            abs(self.ball) >= power_of_two(form.emax + 1) - power_of_two(form.emax - form.precision)
        )

    def as_double(self) -> float:
        """The nearest double, for display, 0 where it may be 0; infinities and NaN as they are."""
        if self.is_finite:
            return 0.0 if self.ball.contains(0) else float(self.ball.mid())
        return float(self.ball)


def _is_narrow(ball: arb, form: Format) -> bool:
    return bool(ball.rad() <= true_ulp(ball.mid(), form) * ULP_FRACTION)


UNDEFINED = Enclosure(State.UNDEFINED, arb.nan())
UNRESOLVED = Enclosure(State.UNRESOLVED, arb.nan())
