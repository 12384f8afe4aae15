"""Claim: the target does not write into its arguments."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, always
from stabkit.program import inputs_after, rows_of, same_bits
from stabkit.search.points import probe_points
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="inputs_are_untouched",
    code="STB402",
    says="the arguments hold after the call what they held before",
    remedy="replace in-place operations on arguments by ones that return a new tensor",
)

applies = always
PROBES = 6


def failures(sweep: Sweep) -> Iterable[Failure]:
    """One failure for each argument that the call changed."""
    changed: dict[str, None] = {}
    probes = probe_points(sweep.program, PROBES)
    for row in range(PROBES):
        before = rows_of(probes, row, row + 1)
        after = inputs_after(sweep.program, before)
        changed |= dict.fromkeys(n for n, x in after.items() if not same_bits(x, before[n]))
    return [Failure("value", "changed", cause="", note=f"{n} is overwritten by the call") for n in changed]
