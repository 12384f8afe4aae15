"""Claim: the value loses no more bits than rounding its inputs does."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, grouped, without_truth
from stabkit.checks.matches_reference import not_of_another_formula
from stabkit.judge import Kind
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="value_is_accurate",
    code="STB201",
    says="the loss differs from the truth by no more than rounding its inputs explains, within 4 bits",
    remedy="rearrange the cancelling part with expm1, log1p or a factored form",
)

applies = without_truth


def failures(sweep: Sweep) -> Iterable[Failure]:
    """Values that are finite and wrong, except where the formula as such is another one."""
    return grouped(not_of_another_formula(sweep, sweep.failures(Kind.INACCURATE, gradient=False)))
