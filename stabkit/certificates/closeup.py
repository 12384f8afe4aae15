"""One number at one input on balls, as sheets hold it: what enclosures left open, and what could be the worst."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import flint
from flint import arb

from stabkit.arithmetic.enclosure import Enclosure
from stabkit.arithmetic.evaluate import Truth
from stabkit.certificates.tallies import Amount, Exact, Sheet
from stabkit.certificates.verdicts import place
from stabkit.conditioning import conditioning
from stabkit.floats import Format, as_finite, excess_bits, true_ulp
from stabkit.judge import Judgement, Kind, largest_difference, representable_truth
from stabkit.program import Outcome, Points, sample_of
from stabkit.verification import WORKING_BITS, Examiner, numbers_of


def by_balls(
    examiner: Examiner, points: Points, outcome: Outcome, rows: Iterable[int], sheets: Sequence[Sheet]
) -> None:
    """Enters every number of some rows into the sheets."""
    for row in rows:
        judgements = examiner.judge_row(sample_of(points, row), outcome, row, row)
        for sheet, judgement in zip(sheets, judgements, strict=True):
            _enter(sheet, judgement)


def _enter(sheet: Sheet, judgement: Judgement) -> None:
    """What balls say of one number."""
    v, row, form = sheet.verdicts, judgement.row, sheet.form
    v.kind[row], v.grave[row] = place(judgement.kind), judgement.severity == "error"
    sheet.truth[row] = judgement.truth.as_double()
    measurable = judgement.kind is Kind.RIGHT or (judgement.kind.is_failure and math.isfinite(judgement.got))
    ulps, excess = Amount(math.nan, math.nan), math.nan
    if measurable and judgement.truth.is_finite:
        with flint.ctx.workprec(WORKING_BITS):
            error, real = _error(judgement.got, judgement.truth, form)
            ulps = _in_ulps(error, real, form)
            excess = excess_bits(error, real, arb(0), form) if judgement.excess is None else judgement.excess
    v.ulps.lo[row], v.ulps.hi[row] = ulps.about, ulps.at_most
    v.excess.lo[row] = v.excess.hi[row] = excess


def _error(got: float, truth: Enclosure, form: Format) -> tuple[arb, arb]:
    """|got - truth|, at a kink to the nearest of its hull, and the truth."""
    real = representable_truth(truth, form)
    error = abs(as_finite(got, form) - real)
    return (error.abs_lower() if truth.kink else error), real


def _in_ulps(error: arb, real: arb, form: Format) -> Amount:
    ulps = error / true_ulp(real, form)
    return Amount(
        float(ulps.mid()), math.nextafter(float(ulps.abs_upper()), math.inf) if ulps.rad() > 0 else float(ulps)
    )


def exactly(examiner: Examiner, points: Points, outcome: Outcome, row: int, of: str) -> Exact | None:
    """One number on balls, its conditioning included; None where its truth stays open."""
    program, oracle, names = examiner.program, examiner.oracle, list(outcome.gradients)
    assert oracle is not None
    sample, form = sample_of(points, row), program.form
    with flint.ctx.workprec(WORKING_BITS):
        truth = _picked(oracle.truth(sample, form, names), of)
        if not truth.is_finite:
            return None
        error, real = _error(numbers_of(program, outcome, row)[of], truth, form)
        moved = [_picked(t, of) for t in conditioning(oracle, sample, form, names, program.target.arguments)]
        wobble = arb(0) if truth.kink else largest_difference(moved, truth, form)
        excess = excess_bits(error, real, wobble, form)
        return Exact(truth.as_double(), _in_ulps(error, real, form), Amount(excess, excess))


def _picked(truth: Truth, of: str) -> Enclosure:
    name = of.removeprefix("gradient:")
    return truth.values[0] if of == "value" else truth.gradient[name][0]
