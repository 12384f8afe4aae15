"""Claim: the same call gives the same bits."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, always
from stabkit.program import same_bits
from stabkit.search.points import probe_points
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="is_deterministic",
    code="STB403",
    says="two calls with the same inputs and the same generator state give the same value and gradient, bit for bit",
    remedy="look for hidden state, or for operations without a deterministic kernel on this device",
)

applies = always
CALLS = 3


def failures(sweep: Sweep) -> Iterable[Failure]:
    """One failure if any repeated call differs, shape and position being equal."""
    points = probe_points(sweep.program, 64 if sweep.program.batched else 4)
    first, *others = (sweep.program.run(points) for _ in range(CALLS))
    for again in others:
        pairs = [
            (first.values, again.values),
            *((g, again.gradients[n]) for n, g in first.gradients.items() if n in again.gradients),
        ]
        if not all(same_bits(a, b) for a, b in pairs):
            return [Failure("value", "varies", cause="", note="the same call gives another result the next time")]
    return []
