"""Claim: every gradient loses no more bits than rounding the inputs does."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, grouped, without_gradient, without_truth
from stabkit.checks.gradient_is_alive import still_alive
from stabkit.checks.matches_reference import not_of_another_formula
from stabkit.judge import Kind
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="gradient_is_accurate",
    code="STB202",
    says="every gradient differs from the true one by no more than rounding the inputs explains, within 4 bits",
    remedy="write the backward in closed form where autograd of the forward cancels",
)


def applies(sweep: Sweep) -> str | None:
    """None if there are gradients and a truth to compare them with."""
    return without_gradient(sweep) or without_truth(sweep)


def failures(sweep: Sweep) -> Iterable[Failure]:
    """Slopes that are finite, wrong and no dead gradient; where the formula is another one, its slopes are its own."""
    wrong = still_alive(sweep, sweep.failures(Kind.INACCURATE, gradient=True))
    return grouped(not_of_another_formula(sweep, wrong))
