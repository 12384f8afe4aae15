"""Claim: the value makes no step between neighbouring floats that the truth does not make."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, without_truth
from stabkit.continuity.jump_search import evidence, failures_of, unfinished, without_neighbours
from stabkit.sweep import Sweep

__all__ = ["CLAIM", "applies", "evidence", "failures", "unfinished"]

CLAIM = Claim(
    name="is_continuous",
    code="STB701",
    says="where the program switches between formulas, the loss steps by no more than the truth, within 4 bits",
    remedy="move the crossover to where both formulas agree, or use one formula for both sides",
)


def applies(sweep: Sweep) -> str | None:
    """None if there is a truth, and an argument with neighbours."""
    return without_truth(sweep) or without_neighbours(sweep)


def failures(sweep: Sweep) -> Iterable[Failure]:
    """Jumps of the value."""
    return failures_of(sweep, gradient=False)
