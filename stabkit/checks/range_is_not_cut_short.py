"""Claim: value and gradient become zero only where the truth does."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, grouped, without_truth
from stabkit.checks.gradient_is_alive import still_alive
from stabkit.judge import Kind
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="range_is_not_cut_short",
    code="STB301",
    says="nothing underflows to zero while the true number is still representable",
    remedy="keep the logarithm of the small factor, or multiply in an order that stays in range",
)

applies = without_truth


def failures(sweep: Sweep) -> Iterable[Failure]:
    """Zeros in place of tiny numbers, in the value or a slope that is no dead gradient."""
    slopes = still_alive(sweep, sweep.failures(Kind.VANISHED, gradient=True))
    return grouped([*sweep.failures(Kind.VANISHED, gradient=False), *slopes])
