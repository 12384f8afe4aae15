"""Claim: the program means the same in every dtype: none of its constants depends on the dtype, and shows."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, grouped
from stabkit.meaning import Comparison, differences
from stabkit.oracle import ExactProgram
from stabkit.program import draws_random_numbers
from stabkit.search.points import probe_points
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="properties_hold",
    code="STB601",
    says="on exact numbers the program gives the same in this dtype as in float64, within 4 bits of this dtype",
    remedy="take eps and bounds from the mathematics, not from torch.finfo, or document what they cut off",
)


def applies(sweep: Sweep) -> str | None:
    """None for a narrow dtype in which the program runs on exact numbers."""
    if not isinstance(sweep.oracle, ExactProgram):
        return "only a program that runs on exact numbers without a reference is compared with itself"
    if draws_random_numbers(sweep.program, probe_points(sweep.program, 2)):
        return "it draws random numbers, others in another dtype"
    return "float64 is what the other dtypes are compared with" if sweep.program.form.name == "float64" else None


def examiner(sweep: Sweep) -> Comparison:
    """Who judges the program in this dtype by the program in float64."""
    wide = ExactProgram(sweep.program.in_dtype("float64"), getattr(sweep.oracle, "deadline", 0.0))
    return Comparison(sweep.program, sweep.oracle, other=wide, gravity="warning")


def failures(sweep: Sweep) -> Iterable[Failure]:
    """The values that mean something else in float64."""
    return grouped(differences(sweep, examiner(sweep)))
