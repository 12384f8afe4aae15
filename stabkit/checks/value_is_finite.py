"""Claim: the value is finite wherever the true value is."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from stabkit.checks import Claim, Failure, always, grouped
from stabkit.judge import Judgement, Kind
from stabkit.oracle import ExactProgram
from stabkit.sweep import Sweep
from stabkit.verification import Examiner, Sample

CLAIM = Claim(
    name="value_is_finite",
    code="STB101",
    says="the loss is neither infinite nor NaN where the true value is representable",
    remedy="find the operation that left the range; work in log space or factor the scale out",
)
FEWEST = 5  # samples without any value, for a program to have none anywhere

applies = always


@dataclass(frozen=True)
class _Nowhere(Examiner):
    """Judges a program that has no value anywhere: in a declared domain that is a failure, not a gap in the domain."""

    def judge_alone(self, sample: Sample, of: str) -> tuple[Sample, Judgement] | None:
        """One number at one sample."""
        found = super().judge_alone(sample, of)
        return None if found is None else (found[0], _failed(found[1]))


def _failed(judgement: Judgement) -> Judgement:
    is_gap = judgement.kind is Kind.UNDEFINED
    return replace(judgement, kind=Kind.NOT_FINITE, severity="error") if is_gap else judgement


def _is_nowhere_defined(sweep: Sweep) -> bool:
    """Whether the program by its own account has no value at any sample of a domain that was declared."""
    values = [j for j in sweep.judgements if j.of.startswith("value")]
    declared = isinstance(sweep.oracle, ExactProgram) and not sweep.program.target.guesses
    return declared and len(values) >= FEWEST and all(j.kind is Kind.UNDEFINED for j in values)


def examiner(sweep: Sweep) -> Examiner:
    """Who judges failed values again."""
    usual = sweep.examiner
    return _Nowhere(usual.program, usual.oracle) if _is_nowhere_defined(sweep) else usual


def failures(sweep: Sweep) -> Iterable[Failure]:
    """Values that are NaN, or infinite early; all of a program that has none."""
    if _is_nowhere_defined(sweep):
        return grouped(_failed(j) for j in sweep.judgements if j.of.startswith("value"))
    return grouped(sweep.failures(Kind.NOT_FINITE, gradient=False))
