"""Taking one run at one point apart: which operation lost how many bits, on which line, and why."""

from __future__ import annotations

import linecache
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flint
import torch
from flint import arb

from stabkit.anatomy import Anatomy, Number, Operation, SourceLine
from stabkit.arithmetic.evaluate import flatten
from stabkit.domain import Parameter, Point
from stabkit.errors import DomainError
from stabkit.exact.cause import HINTS, blamed_step
from stabkit.exact.place import near
from stabkit.exact.shadow import Pair, side_by_side, trace
from stabkit.exact.steps import Step
from stabkit.finding import SEVERITIES, number
from stabkit.floats import FORMATS, Format, shortest, ulp_error
from stabkit.judge import Judgement
from stabkit.oracle import oracle_for
from stabkit.program import Program, confirm_batching, points_of, require_device, sample_of
from stabkit.search.points import probe_points
from stabkit.target import resolve, with_tolerance
from stabkit.verification import Examiner, Sample, written

AROUND = 2  # lines shown before the first and after the last operation of a file
MOST_LINES = 60  # of a file, before lines without operations are left out


def dissect_at(
    name: str,
    declared: Sequence[Parameter],
    reference: str | None,
    dtype: str,
    device: str = "cpu",
    seed: int = 0,
    tolerance: float | None = None,
    natural_scale: float | None = None,
) -> Anatomy:
    """The run of a target at the point that its declared parameters fix.

    Raises:
        StabkitError: where the target cannot be used, or an argument has no value.
    """
    torch.manual_seed(seed)
    target = with_tolerance(resolve(name, declared), tolerance, natural_scale)
    require_device(device)
    for a in target.arguments:
        if not isinstance(a.domain, Point):
            raise DomainError(f"argument {a.name!r}", "has no value", f"give it one: --at '{a.name}=1.5'")
    sample = {a.name: a.domain.value for a in target.arguments if isinstance(a.domain, Point)}
    program = Program(target, FORMATS[dtype], device, seed=seed)
    program, _ = confirm_batching(program, probe_points(program, 1))
    return dissect(Examiner(program, oracle_for(target, reference, program)), sample)


def dissect(examiner: Examiner, sample: Sample) -> Anatomy:
    """The run of a program at one sample, rounded to the dtype.

    Raises:
        TargetError: where the target returns no loss.
    """
    program, form = examiner.program, examiner.program.form
    points = points_of(sample, program.target.arguments, form)
    exact_sample = sample_of(points, 0)
    outcome = program.run(points)
    judgements = [] if bool(outcome.raised[0]) else examiner.judge_row(exact_sample, outcome, 0, 0)
    native = trace(program, exact_sample, by_itself=True)
    pairs = side_by_side(program, exact_sample, exactly=True, native=native)
    worst = min((j for j in judgements if j.severity), key=_gravity, default=None)
    cause = "" if worst is None else examiner.cause(exact_sample, worst, pairs)
    blamed = None if worst is None else blamed_step(pairs, worst.got, worst.of.startswith("gradient"))
    operations = [
        _operation(step, pairs[k] if k < len(pairs) else None, form, cause if step is blamed else "")
        for k, step in enumerate(native)
        if step.place
    ]
    oracle = examiner.oracle
    return Anatomy(
        target=program.target.name,
        dtype=form.name,
        device=program.device,
        at=written(exact_sample, form),
        oracle="property" if oracle is None else oracle.name,
        certified=oracle is not None and oracle.certified,
        numbers=[_number(j, form) for j in judgements],
        blamed_for="" if worst is None else worst.of,
        cause=cause,
        hint=HINTS.get(cause, ""),
        operations=operations,
        source=_source(operations),
        notes=[*_out_of_range(sample, exact_sample), *_notes(examiner, outcome.complaint, len(native), len(pairs))],
    )


def _gravity(judgement: Judgement) -> tuple[int, bool, float]:
    """Errors first, the value before slopes, what lost most before the rest."""
    lost = math.inf if judgement.excess is None else judgement.excess
    return SEVERITIES.index(judgement.severity or "note"), judgement.of.startswith("gradient"), -lost


def _number(j: Judgement, form: Format) -> Number:
    return Number(
        of=j.of,
        got=number(shortest(j.got, form)),
        truth=number(j.truth.as_double()),
        verdict=j.kind.value,
        severity=j.severity,
        excess_bits=None if j.excess is None else round(j.excess, 2),
    )


def _out_of_range(given: Sample, rounded: Sample) -> list[str]:
    """What was asked for and does not fit the dtype."""
    pairs = ((n, v, w) for n in given for v, w in zip(flatten(given[n]), flatten(rounded[n]), strict=True))
    return [f"{n}={v:g} is {w:g} in this dtype" for n, v, w in pairs if math.isfinite(v) and not math.isfinite(w)]


def _notes(examiner: Examiner, complaint: str | None, native: int, paired: int) -> list[str]:
    notes = [f"it raised {complaint}"] if complaint else []
    why = getattr(examiner.oracle, "why", "")
    notes += [why] if why else []
    if paired < native:
        notes.append(f"the exact run goes another way after {paired} of {native} operations")
    return notes


@dataclass(frozen=True)
class _Element:
    """One element of a result: what it is, what it should be, and the errors in it."""

    index: int
    gives: float
    exactly: float | None
    alone_ulps: float | None
    lost: float | None

    @property
    def badness(self) -> tuple[bool, float, float]:
        alone = self.alone_ulps
        return not math.isfinite(self.gives), self.lost or 0.0, abs(alone) if alone and math.isfinite(alone) else 0.0


def _operation(step: Step, pair: Pair | None, form: Format, cause: str) -> Operation:
    """One operation, at the element that is worst off."""
    elements = [_element(step, pair, k, form) for k in range(len(step.output))]
    e = max(elements, key=lambda x: x.badness, default=_Element(0, 0.0, None, None, None))
    sizes = [abs(v) for v in step.output if v and math.isfinite(v)]
    file, line = step.place or ("", 0)
    added = None if pair is None or e.lost is None else round(e.lost - math.log2(max(pair.loss_in, 1.0)), 1)
    return Operation(
        name=step.name,
        backward=step.backward,
        file=near(file),
        line=line,
        element=e.index,
        elements=len(step.output),
        operands=[number(shortest(x, form)) for x in step.operands_of(e.index)],
        gives=number(shortest(e.gives, form)),
        exactly=number(e.exactly),
        alone_ulps=number(None if e.alone_ulps is None else float(f"{e.alone_ulps:.3g}")),
        bits_lost=None if e.lost is None else round(e.lost, 1),
        bits_added=added,
        condition=number(None if step.alone is None else float(f"{step.alone.condition:.4g}")),
        smallest=min(sizes, default=None),
        largest=max(sizes, default=None),
        headroom=round(math.log2(form.largest) - math.log2(max(sizes)), 1) if sizes else None,
        footroom=round(math.log2(min(sizes)) - math.log2(form.smallest_normal), 1) if sizes else None,
        cause=cause,
    )


def _element(step: Step, pair: Pair | None, index: int, form: Format) -> _Element:
    gives = step.output[index]
    true = pair.true_output(index) if pair is not None else None
    alone = step.alone.result[index] if step.alone and len(step.alone.result) == len(step.output) else None
    return _Element(
        index,
        gives,
        None if true is None else float(true),
        None if alone is None else _ulps(gives, alone, form),
        None if true is None else _bits_lost(gives, true, form),
    )


def _ulps(gives: float, true: arb, form: Format) -> float | None:
    if not math.isfinite(gives) or not true.is_finite():
        return None if str(gives) != str(float(true)) else 0.0
    return ulp_error(gives, true, form)


def _bits_lost(gives: float, true: arb, form: Format) -> float | None:
    """log2 of the relative error in unit roundoffs; all of them where a zero stands for something else."""
    if not math.isfinite(gives) or not true.is_finite():
        return None
    with flint.ctx.workprec(128):
        error = abs(arb(gives) - true.mid())
        if error.is_zero():
            return 0.0
        relative = 1.0 if true.mid().is_zero() else float(error / abs(true.mid()))
        return min(max(math.log2(max(relative, 5e-324) / form.unit_roundoff), 0.0), float(form.precision))


def _source(operations: Sequence[Operation]) -> list[SourceLine]:
    """The lines from the first to the last operation of each file, with a little around them."""
    found = []
    for file in dict.fromkeys(o.file for o in operations):
        at = {o.line for o in operations if o.file == file}
        span: Any = range(max(min(at) - AROUND, 1), max(at) + AROUND + 1)
        if len(span) > MOST_LINES:
            span = sorted(at)
        text = {k: linecache.getline(file, k).rstrip() for k in span}
        found += [SourceLine(file, k, line) for k, line in text.items() if line or k in at]
    return found
