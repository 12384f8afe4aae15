"""Claim: clamps and small constants that guard a formula change nothing. Where they do, that is a note, no fault."""

from collections.abc import Iterable

import flint

from stabkit.checks import Claim, Failure, grouped
from stabkit.exact.guards import guards_removed
from stabkit.exact.shadow import exact_trace
from stabkit.meaning import Comparison, differences
from stabkit.oracle import ExactProgram
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="guards_do_not_bind",
    code="STB602",
    says="on exact numbers the program gives the same without clamps by fixed bounds and without added eps",
    remedy="choose the guard below what the data reach, or use a form that needs none",
)


def applies(sweep: Sweep) -> str | None:
    """None where a program that runs on exact numbers has guards."""
    if not isinstance(sweep.oracle, ExactProgram):
        return "only a program that runs on exact numbers without a reference is compared with itself"
    with flint.ctx.workprec(64), guards_removed() as removed:
        for sample in sweep.samples[:3]:
            exact_trace(sweep.program, sample)
    return None if removed else "it has no clamp by fixed bounds and adds no eps"


def examiner(sweep: Sweep) -> Comparison:
    """Who judges the program by itself without guards."""
    bare = ExactProgram(sweep.program, getattr(sweep.oracle, "deadline", 0.0), guarded=False)
    return Comparison(sweep.program, sweep.oracle, other=bare)


def failures(sweep: Sweep) -> Iterable[Failure]:
    """The values that guards change."""
    return grouped(differences(sweep, examiner(sweep)))
