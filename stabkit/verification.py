"""Every number of one sample against the truth: the bridge from programs and oracles to judgements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import flint
from flint import arb

from stabkit.arithmetic.enclosure import UNRESOLVED, Enclosure
from stabkit.arithmetic.evaluate import Truth, flatten
from stabkit.errors import DefinitionError
from stabkit.judge import NATURAL_SCALE, Judgement, Kind, judge, largest_difference, slope_scale
from stabkit.oracle import Oracle, conditioning
from stabkit.program import Outcome, Program, points_of, sample_of

WORKING_BITS = 256  # of comparisons with a truth; enclosures keep the precision they were found at


def judge_sample(program: Program, oracle: Oracle | None, sample: dict[str, Any], outcome: Outcome, row: int, number: int) -> list[Judgement]:
    """Every number that the program gave at one sample, judged.

    Args:
        row: the sample's place in `outcome`.
        number: the row number that the judgements carry.

    Raises:
        DefinitionError: where reference and target return different numbers of components.
    """
    names = list(outcome.gradients)
    with flint.ctx.workprec(WORKING_BITS):
        if oracle is None:
            untold = (Judgement(number, of, got, UNRESOLVED, Kind.UNRESOLVED) for of, got in numbers_of(program, outcome, row).items())
            return [_by_property(j) for j in untold]
        truth = oracle.truth(sample, program.form, names)
        if len(truth.values) != outcome.values.shape[1]:
            raise DefinitionError(
                f"the reference returns {len(truth.values)} numbers a sample,", f"the target {outcome.values.shape[1]}", "let both return the same components"
            )
        moved = _Moved(oracle, sample, program, names)
        judgements = list(_against(truth, moved, program, sample, outcome, row, number))
    return judgements if oracle.name == "reference" else [_by_property(j) for j in judgements]


def numbers_of(program: Program, outcome: Outcome, row: int) -> dict[str, float]:
    """The numbers of one sample by what they are: `value`, `value[i]`, `gradient:NAME[i,j]`."""
    values = outcome.values[row].double().tolist()
    found = {_value_name(j, len(values)): v for j, v in enumerate(values)}
    for name, slopes in outcome.gradients.items():
        found |= {_slope_name(program, name, k): g for k, g in enumerate(slopes[row].double().flatten().tolist())}
    return found


class _Moved:
    """The truths at moved inputs, computed once and only when asked for."""

    def __init__(self, oracle: Oracle, sample: dict[str, Any], program: Program, names: Sequence[str]) -> None:
        self.ask = lambda: conditioning(oracle, sample, program.form, names)

    @cached_property
    def truths(self) -> list[Truth]:
        return self.ask()

    def spread(self, pick: Callable[[Truth], Enclosure], true: Enclosure, program: Program) -> Callable[[], arb]:
        """Computes the conditioning of one number when it is asked for."""
        return lambda: largest_difference([pick(t) for t in self.truths], true, program.form)


def _against(
    truth: Truth, moved: _Moved, program: Program, sample: dict[str, Any], outcome: Outcome, row: int, number: int
) -> Iterator[Judgement]:
    form = program.form
    got = numbers_of(program, outcome, row)
    for j, true in enumerate(truth.values):
        of = _value_name(j, len(truth.values))
        wobble = moved.spread(lambda t, j=j: t.values[min(j, len(t.values) - 1)], true, program)  # type: ignore[misc]
        yield judge(number, of, got[of], true, form, wobble, NATURAL_SCALE)
    for name in outcome.gradients:
        for k, (x, true) in enumerate(zip(flatten(sample[name]), truth.gradient[name], strict=True)):
            of = _slope_name(program, name, k)
            wobble = moved.spread(lambda t, n=name, k=k: t.gradient[n][k], true, program)  # type: ignore[misc]
            yield judge(number, of, got[of], true, form, wobble, slope_scale(truth.values[0], x))


def _value_name(component: int, components: int) -> str:
    return "value" if components == 1 else f"value[{component}]"


def _slope_name(program: Program, name: str, flat: int) -> str:
    shape = next(a.shape for a in program.target.arguments if a.name == name)
    places = []
    for size in reversed(shape):
        flat, place = divmod(flat, size)
        places.append(str(place))
    return f"gradient:{name}" + (f"[{','.join(reversed(places))}]" if shape else "")


def _by_property(judgement: Judgement) -> Judgement:
    """A non-finite number inside a declared domain fails by that fact alone where no truth is known."""
    if judgement.kind is Kind.UNRESOLVED and not math.isfinite(judgement.got):
        return replace(judgement, kind=Kind.NOT_FINITE, severity="error")
    return judgement


def judge_alone(program: Program, oracle: Oracle | None, sample: dict[str, Any], of: str) -> tuple[dict[str, Any], Judgement] | None:
    """One number at one sample, rounded to the dtype and run by itself; None where the program raises there."""
    points = points_of(sample, program.target.arguments, program.form)
    outcome = program.run(points)
    if bool(outcome.raised[0]):
        return None
    exact = sample_of(points, 0)
    found = next((j for j in judge_sample(program, oracle, exact, outcome, 0, 0) if j.of == of), None)
    return None if found is None else (exact, found)


def float64_is_off_alike(program: Program, sample: dict[str, Any], judgement: Judgement) -> bool:
    """Whether float64 errs by about as much as the audited dtype, so that rounding is not the cause."""
    wide = program.in_dtype("float64")
    outcome = wide.run(points_of(sample, program.target.arguments, wide.form))
    other = math.nan if bool(outcome.raised[0]) else numbers_of(wide, outcome, 0).get(judgement.of, math.nan)
    if not (judgement.truth.is_finite and math.isfinite(other) and math.isfinite(judgement.got)):
        return False
    with flint.ctx.workprec(WORKING_BITS):
        here, there = (abs(arb(x) - judgement.truth.ball) for x in (judgement.got, other))
        return bool(there * 256 > here)
