"""Every number of one sample against the truth: the bridge from programs and oracles to judgements."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol

import flint
from flint import arb

from stabkit.arithmetic.enclosure import UNRESOLVED, Enclosure, State
from stabkit.arithmetic.evaluate import Truth, flatten
from stabkit.conditioning import conditioning
from stabkit.domain import Argument, Tensors
from stabkit.errors import DefinitionError
from stabkit.exact.cause import blamed_step, cause_of
from stabkit.exact.shadow import Pair, side_by_side
from stabkit.exact.steps import Step
from stabkit.finding import Finding, number
from stabkit.floats import FORMATS, Format, shortest
from stabkit.foresight import foresee
from stabkit.judge import Judgement, Kind, harmless_slope, judge, largest_difference, slope_scale
from stabkit.oracle import ExactProgram, Oracle
from stabkit.program import Outcome, Program, points_of, points_of_many, sample_of
from stabkit.proof import prove
from stabkit.spec import Tolerance

FURTHER = 8  # unit roundoffs within which a slope may be that of the other side of a kink
WORKING_BITS = 256  # of comparisons with a truth; enclosures keep the precision they were found at

Sample = dict[str, Any]


class Known(Protocol):
    """Truths of an outcome that were found for many rows together: a proof, or a foresight."""

    def truth_of(self, row: int) -> Truth | None:
        """The truth at one sample, if it is known."""

    def moved_of(self, row: int) -> list[Truth] | None:
        """The truths at its moved inputs, if they are known."""


@dataclass(frozen=True)
class Examiner:
    """A program and who judges it; None where only finiteness can be judged."""

    program: Program
    oracle: Oracle | None
    _traces: dict[str, list[Pair]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_certified(self) -> bool:
        """Whether the truth is settled by precision rather than plausible."""
        return self.oracle is not None and self.oracle.certified

    def operations(self, sample: Sample) -> list[Pair]:
        """Every operation of a run at one sample, natively and in float64; kept, as several numbers may fail there."""
        key = repr(sample)
        exactly = self.program.form.name == "float64" or (self.oracle is not None and self.oracle.name == "program")
        if key not in self._traces:
            self._traces[key] = side_by_side(self.program, sample, exactly)
        return self._traces[key]

    def cause(self, sample: Sample, judgement: Judgement, pairs: Sequence[Pair] | None = None) -> str:
        """Why a number fails at a sample, whose operations may be known already."""
        itself = isinstance(self.oracle, ExactProgram)
        may_differ = judgement.kind is not Kind.NOT_FINITE and not itself  # the program is no other formula than itself
        alike = may_differ and self.is_off_alike_elsewhere(sample, judgement)
        in_gradient = judgement.of.startswith("gradient")
        return cause_of(
            self.operations(sample) if pairs is None else pairs, self.program.form, judgement.got, in_gradient, alike
        )

    def blamed(self, sample: Sample, judgement: Judgement) -> Step | None:
        """The operation that a number owes its failure to, where one can be told."""
        if judgement.kind is Kind.UNDEFINED:
            return None
        return blamed_step(self.operations(sample), judgement.got, judgement.of.startswith("gradient"))

    def spans(self, sample: Sample) -> Mapping[str, Tensors]:
        """Domains that a reproduction gives to arguments in place of their values at a witness; none."""
        return {}

    def enriched(self, finding: Finding, sample: Sample) -> Finding:
        """What else an examiner has to say about a finding at its witness; nothing."""
        return finding

    def doubtful(self, samples: Sequence[Sample], errors_only: bool) -> list[bool]:
        """Which samples, run together, might fail: all that is not settled at little cost each."""
        if self.oracle is None or not self.program.batched:
            return [True] * len(samples)
        points = points_of_many(samples, self.program.target.arguments, self.program.form)
        outcome = self.program.run(points)
        proof = prove(self.program, self.oracle, points, outcome, conditioned=not errors_only)
        if proof is not None:
            return (~(proof.cleared if errors_only else proof.settled).both).tolist()
        exact = {row: sample_of(points, row) for row in range(len(samples))}
        known = self.foresee(exact, outcome)
        return [known is None or self._might_fail(exact[row], outcome, row, known, errors_only) for row in exact]

    def _might_fail(self, sample: Sample, outcome: Outcome, row: int, known: Known, errors_only: bool) -> bool:
        """Whether a sample fails as long as nothing is put down to its conditioning."""
        truth = known.truth_of(row)
        if self.oracle is None or truth is None or bool(outcome.raised[row]):
            return True
        got = numbers_of(self.program, outcome, row)
        case = _Case(self.program, self.oracle, sample, tuple(outcome.gradients), known, row)
        with flint.ctx.workprec(WORKING_BITS):
            found = [
                judge(
                    row,
                    n.of,
                    got[n.of],
                    n.truth,
                    self.program.form,
                    lambda: arb(0),
                    n.scale,
                    case.tolerance.bits,
                    harmless=n.harmless,
                )
                for n in case.numbers(outcome.values.shape[1])
            ]
        return any(j.kind.is_failure and (j.severity == "error" or not errors_only) for j in found)

    def judge_row(
        self, sample: Sample, outcome: Outcome, row: int, number: int, known: Known | None = None
    ) -> list[Judgement]:
        """Every number that the program gave at one sample, judged.

        Args:
            sample: the exact inputs of `row` of the outcome.
            number: the row number that the judgements carry.
            known: of the outcome's truths already.

        Raises:
            DefinitionError: where reference and target return different numbers of components.
        """
        got = numbers_of(self.program, outcome, row)
        form, components = self.program.form, outcome.values.shape[1]
        with flint.ctx.workprec(WORKING_BITS):
            if self.oracle is None:
                return [
                    _by_property(Judgement(number, of, x, UNRESOLVED, Kind.UNRESOLVED), sample) for of, x in got.items()
                ]
            known = known or self.foresee({row: sample}, outcome)
            case = _Case(self.program, self.oracle, sample, tuple(outcome.gradients), known, row)
            if len(case.truth.values) != components and not case.is_open:
                raise DefinitionError(
                    f"the reference returns {len(case.truth.values)} numbers a sample,",
                    f"the target {components}",
                    "let both return the same components",
                )
            judgements: list[Judgement] = []
            for n in case.numbers(components):
                switches = n.of.startswith("gradient") and all(j.kind is Kind.RIGHT for j in judgements[:components])
                further = case.spread_further(n) if switches else lambda: arb(0)
                judgements.append(
                    judge(
                        number,
                        n.of,
                        got[n.of],
                        n.truth,
                        form,
                        case.spread(n),
                        n.scale,
                        case.tolerance.bits,
                        further,
                        n.harmless,
                    )
                )
        return judgements if self.oracle.name == "reference" else [_by_property(j, sample) for j in judgements]

    def foresee(self, samples: Mapping[int, Sample], outcome: Outcome) -> Known | None:
        """The truths at some rows of an outcome by common replays, where that is possible."""
        return foresee(self.oracle, self.program.form, samples, tuple(outcome.gradients))

    def judge_alone(self, sample: Sample, of: str) -> tuple[Sample, Judgement] | None:
        """One number at one sample, rounded to the dtype and run by itself; None where the program raises there."""
        exact, judgements = self.judge_all_alone(sample)
        found = next((j for j in judgements if j.of == of), None)
        return None if found is None else (exact, found)

    def judge_all_alone(self, sample: Sample) -> tuple[Sample, list[Judgement]]:
        """Every number at one sample, rounded to the dtype and run by itself; none where the program raises there."""
        points = points_of(sample, self.program.target.arguments, self.program.form)
        outcome, exact = self.program.run(points), sample_of(points, 0)
        return exact, [] if bool(outcome.raised[0]) else self.judge_row(exact, outcome, 0, 0)

    @property
    def axes(self) -> Sequence[Argument]:
        """The arguments along which a failure can be followed while the others stay."""
        return self.program.target.arguments

    def details(self, sample: Sample, judgement: Judgement, late: bool) -> Mapping[str, Any]:
        """What a finding says of a failed number beyond the usual, by the names of its fields; little if it is late."""
        return {}

    def is_off_alike_elsewhere(self, sample: Sample, judgement: Judgement) -> bool:
        """Whether another precision errs by about as much, so that rounding is not the cause.

        The other precision is float64; for float64 itself it is float32, at the sample rounded to float32.
        """
        if not judgement.truth.is_finite or not math.isfinite(judgement.got):
            return False
        if self.program.form.name != "float64":
            wide = self._number_in("float64", sample, judgement.of)
            return _err_alike(wide, judgement.got, judgement.truth)
        rounded = sample_of(points_of(sample, self.program.target.arguments, FORMATS["float32"]), 0)
        again = self.judge_alone(rounded, judgement.of)
        if again is None or not again[1].kind.is_failure or not again[1].truth.is_finite:
            return False
        return _err_alike(again[1].got, self._number_in("float32", rounded, judgement.of), again[1].truth)

    def _number_in(self, dtype: str, sample: Sample, of: str) -> float:
        """One number of the program in another dtype; NaN where it raises."""
        other = self.program.in_dtype(dtype)
        outcome = other.run(points_of(sample, other.target.arguments, other.form))
        return math.nan if bool(outcome.raised[0]) else numbers_of(other, outcome, 0).get(of, math.nan)


def _err_alike(wide: float, narrow: float, truth: Enclosure) -> bool:
    """Whether the wider precision is off by at least 1/256 of what the narrower is; rounding shrinks by far more."""
    if not (math.isfinite(wide) and math.isfinite(narrow)):
        return False
    with flint.ctx.workprec(WORKING_BITS):
        here, there = abs(arb(narrow) - truth.ball), abs(arb(wide) - truth.ball)
        return bool(there * 256 > here)


@dataclass(frozen=True)
class _Number:
    """One true number of a sample: its name, how to find it again in another truth, and its natural scales."""

    of: str
    truth: Enclosure
    pick: Callable[[Truth], Enclosure]
    scale: float | arb
    harmless: float | arb = 0.0


@dataclass(frozen=True)
class _Case:
    """The truth at one sample and, if asked for, at inputs moved by a unit roundoff."""

    program: Program
    oracle: Oracle
    sample: Sample
    names: tuple[str, ...]
    known: Known | None
    row: int

    @cached_property
    def truth(self) -> Truth:
        known = None if self.known is None else self.known.truth_of(self.row)
        return known or self.oracle.truth(self.sample, self.program.form, self.names)

    @property
    def is_open(self) -> bool:
        """Whether the truth is one open end, which stands for however many components there are."""
        (first, *others) = self.truth.values
        return not others and first.state in (State.UNRESOLVED, State.UNDEFINED)

    @property
    def arguments(self) -> tuple[Argument, ...]:
        return self.program.target.arguments

    @property
    def tolerance(self) -> Tolerance:
        return self.program.target.tolerance

    @cached_property
    def moved(self) -> list[Truth]:
        known = None if self.known is None else self.known.moved_of(self.row)
        return known or conditioning(self.oracle, self.sample, self.program.form, self.names, self.arguments)

    def spread(self, n: _Number) -> Callable[[], arb]:
        """Computes the conditioning of one number when it is asked for."""
        return lambda: largest_difference([n.pick(t) for t in self.moved], n.truth, self.program.form)

    @cached_property
    def moved_further(self) -> list[Truth]:
        return conditioning(self.oracle, self.sample, self.program.form, self.names, self.arguments, FURTHER)

    def spread_further(self, n: _Number) -> Callable[[], arb]:
        """The same from a wider neighbourhood: beside a kink, a comparison of rounded numbers takes the other side."""
        return lambda: largest_difference([n.pick(t) for t in self.moved_further], n.truth, self.program.form, FURTHER)

    def numbers(self, components: int) -> Iterator[_Number]:
        """Every true number of the sample."""
        values = self.truth.values * (components if self.is_open else 1)
        for j, true in enumerate(values):
            yield _Number(_value_name(j, len(values)), true, partial(_value_in, j), self.tolerance.natural_scale)
        natural = self.tolerance.natural_scale
        for name in self.names:
            for k, (x, true) in enumerate(zip(flatten(self.sample[name]), self.truth.gradient[name], strict=True)):
                of = _slope_name(self.program, name, k)
                scales = slope_scale(values[0], x, natural), harmless_slope(x, natural)
                yield _Number(of, true, partial(_slope_in, name, k), *scales)


def _value_in(component: int, truth: Truth) -> Enclosure:
    return truth.values[component] if component < len(truth.values) else UNRESOLVED


def _slope_in(name: str, element: int, truth: Truth) -> Enclosure:
    return truth.gradient[name][element]


def written(sample: Sample, form: Format) -> dict[str, Any]:
    """A sample in the result format: shortest decimals, non-finite numbers as strings."""

    def write(value: Any) -> Any:
        if isinstance(value, list):
            return [write(v) for v in value]
        return number(shortest(value, form)) if isinstance(value, float) else value

    return {name: write(value) for name, value in sample.items()}


def numbers_of(program: Program, outcome: Outcome, row: int) -> dict[str, float]:
    """The numbers of one sample by what they are: `value`, `value[i]`, `gradient:NAME[i,j]`."""
    rows = [outcome.values[row], *(g[row] for g in outcome.gradients.values())]
    numbers = [x for part in rows for x in part.double().flatten().tolist()]
    return dict(zip(number_names(program, outcome.values.shape[1], list(outcome.gradients)), numbers, strict=True))


def number_names(program: Program, components: int, differentiated: Sequence[str]) -> list[str]:
    """What the numbers of a sample are: its values, then the slopes by those arguments, element by element."""
    sizes = {a.name: math.prod(a.shape) for a in program.target.arguments}
    slopes = [_slope_name(program, name, k) for name in differentiated for k in range(sizes[name])]
    return [*(_value_name(j, components) for j in range(components)), *slopes]


def _value_name(component: int, components: int) -> str:
    return "value" if components == 1 else f"value[{component}]"


def _slope_name(program: Program, name: str, flat: int) -> str:
    shape = next(a.shape for a in program.target.arguments if a.name == name)
    places = []
    for size in reversed(shape):
        flat, place = divmod(flat, size)
        places.append(str(place))
    return f"gradient:{name}" + (f"[{','.join(reversed(places))}]" if shape else "")


def _by_property(judgement: Judgement, sample: Sample) -> Judgement:
    """A non-finite number at finite inputs of a declared domain fails by that fact alone where no truth is known."""
    finite_inputs = all(math.isfinite(x) for v in sample.values() for x in flatten(v))
    if judgement.kind is Kind.UNRESOLVED and not math.isfinite(judgement.got) and finite_inputs:
        return replace(judgement, kind=Kind.NOT_FINITE, severity="error")
    return judgement
