"""Claim: where the value is continuous, no slope makes a step that the true one does not make."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, without_gradient, without_truth
from stabkit.continuity.jump_search import evidence, failures_of, unfinished, without_neighbours
from stabkit.sweep import Sweep

__all__ = ["CLAIM", "applies", "evidence", "failures", "unfinished"]

CLAIM = Claim(
    name="gradient_is_continuous",
    code="STB702",
    says="where the program switches between formulas, slopes step by no more than the true ones, within 4 bits",
    remedy="let the formulas meet with the same slope, or use one formula for both sides",
)


def applies(sweep: Sweep) -> str | None:
    """None if there are gradients, a truth, and an argument with neighbours."""
    return without_gradient(sweep) or without_truth(sweep) or without_neighbours(sweep)


def failures(sweep: Sweep) -> Iterable[Failure]:
    """Jumps of slopes at which the value does not jump."""
    return failures_of(sweep, gradient=True)
