"""Claim: every gradient is finite wherever the true one is."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, grouped, without_gradient
from stabkit.judge import Kind
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="gradient_is_finite",
    code="STB102",
    says="no gradient is infinite or NaN where the true gradient is representable",
    remedy="look for 0 * inf in the backward pass; clip the input of a branch that is not taken",
)

applies = without_gradient


def failures(sweep: Sweep) -> Iterable[Failure]:
    """Slopes that are NaN, or infinite early."""
    return grouped(sweep.failures(Kind.NOT_FINITE, gradient=True))
