"""Claim: the program computes what its reference defines, rounding aside."""

from collections.abc import Iterable, Sequence
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
LOOKED_AT = 12  # points at most, each run in another precision


def applies(sweep: Sweep) -> str | None:
    """None if there is a written definition to match."""
    return None if sweep.oracle is not None and sweep.oracle.name == "reference" else "no reference was given"


@lru_cache(maxsize=4)
def _mismatches(sweep: Sweep) -> tuple[Judgement, ...]:
    suspects = [
        j
        for j in sweep.failures(Kind.INACCURATE, gradient=False)
        if j.severity == "error" and j.well_conditioned and sweep.remoteness(j.row) <= EVERYDAY
    ]
    found = tuple(j for j in suspects[:LOOKED_AT] if _is_off_alike(sweep, j))
    return found if len(found) >= FEWEST else ()


def _is_off_alike(sweep: Sweep, judgement: Judgement) -> bool:
    return sweep.examiner.is_off_alike_elsewhere(sweep.samples[judgement.row], judgement)


def mismatches(sweep: Sweep) -> tuple[Judgement, ...]:
    """Values that are wrong at everyday, well-conditioned points, and in float64 by about as much."""
    return _mismatches(sweep) if applies(sweep) is None else ()


def not_of_another_formula(sweep: Sweep, wrong: Sequence[Judgement]) -> Sequence[Judgement]:
    """Wrong numbers, unless most of them come from a formula other than the reference."""
    if not mismatches(sweep):
        return wrong
    looked = sorted(wrong, key=lambda j: sweep.remoteness(j.row))[:LOOKED_AT]
    return [] if sum(_is_off_alike(sweep, j) for j in looked) * 2 > len(looked) else wrong


def failures(sweep: Sweep) -> Iterable[Failure]:
    """The mismatches, as one failure for each component of the value."""
    by_number: dict[str, list[Judgement]] = {}
    for group in grouped(mismatches(sweep)):
        by_number.setdefault(group.of, []).extend(group.judgements)
    return [Failure(of, "off", tuple(js), cause="approximation") for of, js in by_number.items()]
