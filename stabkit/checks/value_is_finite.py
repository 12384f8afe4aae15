"""Claim: the value is finite wherever the true value is."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, always, grouped
from stabkit.judge import Kind
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="value_is_finite",
    code="STB101",
    says="the loss is neither infinite nor NaN where the true value is representable",
    remedy="find the operation that left the range; work in log space or factor the scale out",
)

applies = always


def failures(sweep: Sweep) -> Iterable[Failure]:
    """Values that are NaN, or infinite early."""
    return grouped(sweep.failures(Kind.NOT_FINITE, gradient=False))
