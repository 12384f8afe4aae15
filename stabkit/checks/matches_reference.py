"""Claim: the program computes what its reference defines, rounding aside."""

from collections.abc import Iterable
from functools import lru_cache

from stabkit.checks import Claim, Failure, grouped
from stabkit.judge import Judgement, Kind
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="matches_reference",
    code="STB501",
    says="float64 differs from the definition by no more than rounding explains at well-conditioned everyday points",
    remedy="compare the formula with the reference term by term",
)

EVERYDAY = 0.0  # binades outside the everyday range
FEWEST = 3  # points; one alone may be chance


def applies(sweep: Sweep) -> str | None:
    """None if there is a written definition to match."""
    return None if sweep.oracle is not None and sweep.oracle.name == "reference" else "no reference was given"


@lru_cache(maxsize=4)
def _mismatches(sweep: Sweep) -> tuple[Judgement, ...]:
    suspects = (
        j
        for j in sweep.failures(Kind.INACCURATE, gradient=False)
        if j.severity == "error" and j.well_conditioned and sweep.remoteness(j.row) <= EVERYDAY
    )
    found = tuple(j for j in suspects if sweep.examiner.is_off_alike_elsewhere(sweep.samples[j.row], j))
    return found if len(found) >= FEWEST else ()


def mismatches(sweep: Sweep) -> tuple[Judgement, ...]:
    """Values that are wrong at everyday, well-conditioned points, and in float64 by about as much."""
    return _mismatches(sweep) if applies(sweep) is None else ()


def not_of_another_formula(sweep: Sweep, wrong: Iterable[Judgement]) -> list[Judgement]:
    """Wrong numbers without those that a formula other than the reference explains, if the sweep shows there is one."""
    if not mismatches(sweep):
        return list(wrong)
    return [j for j in wrong if not sweep.examiner.is_off_alike_elsewhere(sweep.samples[j.row], j)]


def failures(sweep: Sweep) -> Iterable[Failure]:
    """The mismatches, as one failure for each component of the value."""
    by_number: dict[str, list[Judgement]] = {}
    for group in grouped(mismatches(sweep)):
        by_number.setdefault(group.of, []).extend(group.judgements)
    return [Failure(of, "off", tuple(js), cause="approximation") for of, js in by_number.items()]
