"""Every float of a domain, in chunks: the program run on all of them, and every number judged.

Enclosures settle most numbers by the thousand; what they leave open goes to balls, one input at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import flint
import torch
from flint import arb
from torch import Tensor

from stabkit.arithmetic.bounds import Bounds, Enclosures
from stabkit.arithmetic.enclosure import Enclosure
from stabkit.arithmetic.evaluate import Truth
from stabkit.certificate import Axis, Tally
from stabkit.conditioning import conditioning, moved_points
from stabkit.domain import Argument, Interval, Point
from stabkit.errors import TargetError
from stabkit.floats import Format, as_finite, excess_bits, from_ordinals, ordinals, true_ulp
from stabkit.foresight import foresee
from stabkit.judge import Judgement, Kind, largest_difference, representable_truth
from stabkit.oracle import Oracle
from stabkit.program import Outcome, Points, Program, count_of, dtype_of, rows_at, rows_of, sample_of
from stabkit.search.lattice import Lattice
from stabkit.tallies import RAISES, Amount, Exact, Sheet, bins_of, tally
from stabkit.verdicts import OPEN, Verdicts, place, spreads, verdicts_on
from stabkit.verification import WORKING_BITS, Examiner, numbers_of

MOST_INPUTS = 2**33
LANES = 64  # a batch is filled up to a multiple of it, so that every input runs in the vector part of kernels
TOGETHER = 1024  # inputs of one exact replay
FIRST_CONDITIONED = 64  # inputs by which to know how many bits the worst loses at least
EVERYDAY_CHUNK, LARGE_CHUNK, DEAR_CHUNK = 2**15, 2**18, 2**12
MANY = 2**20  # inputs, from which chunks are large


@dataclass(frozen=True)
class Space:
    """All inputs of a target in one dtype: one or two arguments take every float of theirs, others are fixed."""

    arguments: tuple[Argument, ...]
    form: Format
    axes: tuple[Axis, ...]

    @property
    def count(self) -> int:
        """How many inputs there are."""
        return math.prod(axis.size for axis in self.axes)

    def points(self, ranks: Tensor) -> Points:
        """The inputs of these ranks."""
        by_name, left = {}, ranks
        for axis in reversed(self.axes):
            by_name[axis.argument] = from_ordinals(left % axis.size + axis.first, self.form)
            left = left // axis.size
        for a in self.arguments:
            if isinstance(a.domain, Point):
                value = torch.tensor(a.domain.value, dtype=torch.float64).to(dtype_of(a, self.form))
                by_name[a.name] = value.reshape(1, *a.shape).expand(len(ranks), *a.shape).clone()
        return {a.name: by_name[a.name] for a in self.arguments}


def space_of(program: Program) -> Space:
    """The inputs of a program.

    Raises:
        TargetError: where they are too many, or of a kind that is not walked through.
        DomainError: where a domain holds no float of the dtype.
    """
    name, form, arguments = program.target.name, program.form, program.target.arguments
    varied = [a for a in arguments if not isinstance(a.domain, Point)]
    for a in varied:
        if not isinstance(a.domain, Interval) or a.shape:
            raise TargetError(
                f"argument {a.name!r} of {name!r}",
                f"is no single float of an interval ({a})",
                f"fix it, for instance --arg '{a.name}=point{{1}}', or use stabkit audit",
            )
    if not 1 <= len(varied) <= 2:
        names = ", ".join(a.name for a in varied) or "none"
        raise TargetError(
            f"target {name!r}",
            f"varies {len(varied)} arguments ({names}) where one or two can be walked through",
            "fix others with --arg 'NAME=point{1}', or use stabkit audit",
        )
    if form.name == "float64":
        raise TargetError("dtype 'float64'", "has too many numbers to try them all", "use stabkit audit")
    space = Space(arguments, form, tuple(_axis(a, form) for a in varied))
    if space.count > MOST_INPUTS:
        raise TargetError(
            f"target {name!r}",
            f"has {space.count:.2g} inputs in {form.name}, more than can be tried",
            "narrow the domains, fix an argument with point{…}, or pass --dtype float16",
        )
    return space


def _axis(argument: Argument, form: Format) -> Axis:
    domain = argument.domain
    assert isinstance(domain, Interval)
    lattice = Lattice(domain, form, argument.name)
    if lattice.is_empty:
        lattice.draw("simple", 1, torch.Generator())  # says what is wrong with the domain
    ends = torch.tensor([lattice.low, lattice.high, *lattice.legal_infinities], dtype=form.dtype)
    first, last = int(ordinals(ends).min()), int(ordinals(ends).max())
    first -= first == 0 and lattice.contains(-0.0)  # both zeros, as at 0 inside
    last += last == -1
    low, high = from_ordinals(torch.tensor([first, last]), form).double().tolist()
    return Axis(argument.name, first, last, *(x if math.isfinite(x) else str(x) for x in (low, high)))


def chunk_size(examiner: Examiner, inputs: int) -> int:
    """Inputs to count together: fewer where each costs more, so that an interrupt loses little."""
    if not examiner.program.batched or examiner.oracle is None or examiner.oracle.thrifty:
        return DEAR_CHUNK
    return LARGE_CHUNK if inputs > MANY else EVERYDAY_CHUNK


def count(examiner: Examiner, space: Space, first: int, stop: int) -> list[Tally]:
    """The tallies of the inputs from rank `first` to `stop`, one for each number.

    Raises:
        TargetError: where the target returns several numbers for one input.
    """
    points = space.points(torch.arange(first, stop))
    outcome = run_in_lanes(examiner.program, points)
    if outcome.values.shape[1] != 1:
        raise TargetError(
            f"target {examiner.program.target.name!r}",
            f"returns {outcome.values.shape[1]} numbers for one input",
            "return one, or use stabkit audit",
        )
    look = partial(_exactly, examiner, points, outcome)
    return [tally(s, space.axes, look) for s in judged(examiner, torch.arange(first, stop), points, outcome)]


def judged(examiner: Examiner, ranks: Tensor, points: Points, outcome: Outcome) -> list[Sheet]:
    """Every number of an outcome with its verdicts: by enclosures, the rest by balls."""
    size, form = len(ranks), examiner.program.form
    numbers = {"value": outcome.values, **{f"gradient:{n}": g for n, g in outcome.gradients.items()}}
    unknown = torch.full((size,), math.nan, dtype=torch.float64)
    sheets = [
        Sheet(of, form, ranks, x.double().reshape(size), unknown.clone(), Verdicts.nothing(size))
        for of, x in numbers.items()
    ]
    truth = enclosures(examiner, points, list(outcome.gradients))
    if truth is not None and truth.values.lo.shape[1] == 1:
        _settle(examiner, points, list(outcome.gradients), truth, sheets)
    for s in sheets:
        bins = bins_of(torch.stack([s.verdicts.ulps.lo, s.verdicts.ulps.hi]))
        s.verdicts.kind[(bins[0] != bins[1]) & ~s.verdicts.ulps.hi.isnan()] = OPEN
    undecided = torch.stack([s.verdicts.kind == OPEN for s in sheets]).any(0) & ~outcome.raised
    for row in undecided.nonzero().flatten().tolist():
        judgements = examiner.judge_row(sample_of(points, row), outcome, row, row)
        for s, judgement in zip(sheets, judgements, strict=True):
            _enter(s, judgement)
    for s in sheets:
        s.verdicts.put(outcome.raised.nonzero().flatten(), _raising(int(outcome.raised.sum())))
    return sheets


def _raising(size: int) -> Verdicts:
    found = Verdicts.nothing(size)
    found.kind.fill_(RAISES)
    found.grave.fill_(True)
    return found


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
    return Amount(float(ulps.mid()), math.nextafter(float(ulps.abs_upper()), math.inf) if ulps.rad() > 0 else float(ulps))


def _exactly(examiner: Examiner, points: Points, outcome: Outcome, row: int, of: str) -> Exact | None:
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


def enclosures(examiner: Examiner, points: Points, names: Sequence[str]) -> Enclosures | None:
    """Bounds of the truth at many inputs: by intervals, else by common replays; None where there is no such way."""
    form, oracle = examiner.program.form, examiner.oracle
    assert oracle is not None
    exact = {n: x.double() if x.is_floating_point() else x for n, x in points.items()}
    found = oracle.enclosures(exact, form, names)
    return _replayed(oracle, exact, form, names) if found is None else found


def _replayed(oracle: Oracle, points: Points, form: Format, names: Sequence[str]) -> Enclosures | None:
    found = Enclosures(Bounds.unknown(count_of(points), 1), {n: Bounds.unknown(count_of(points), 1) for n in names})
    for start in range(0, count_of(points), TOGETHER):
        part = rows_of(points, start, start + TOGETHER)
        known = foresee(oracle, form, {start + k: sample_of(part, k) for k in range(count_of(part))}, names)
        if known is None:
            return None
        for row in known.samples:
            truth = known.truth_of(row)
            if truth is not None and len(truth.values) == 1:
                for bounds, e in zip(found.all, (truth.values[0], *(truth.gradient[n][0] for n in names)), strict=True):
                    bounds.lo[row], bounds.hi[row] = _outwards(e.ball)
    return found


def _outwards(ball: arb) -> tuple[float, float]:
    """Doubles around a ball."""
    return math.nextafter(float(ball.lower()), -math.inf), math.nextafter(float(ball.upper()), math.inf)


def _settle(
    examiner: Examiner, points: Points, names: Sequence[str], truth: Enclosures, sheets: Sequence[Sheet]
) -> None:
    """Verdicts from enclosures: without conditioning first, then with it where that matters."""
    form, allowed, size = examiner.program.form, examiner.program.target.tolerance, count_of(points)
    columns = [Bounds(b.lo[:, 0], b.hi[:, 0]) for b in truth.all]
    scales = _scales(points, names, columns[0], allowed.natural_scale)
    anything = Bounds(*(torch.full((size,), x, dtype=torch.float64) for x in (0.0, math.inf)))
    everywhere = torch.arange(size)
    for s, b, scale in zip(sheets, columns, scales, strict=True):
        s.truth[:] = b.lo / 2 + b.hi / 2
        s.verdicts.put(everywhere, verdicts_on(s.got, b, anything, scale, form, allowed))

    def condition(rows: Tensor) -> None:
        there = [enclosures(examiner, p, names) for p in moved_points(rows_at(points, rows), form, arguments)]
        moved = [[Bounds(b.lo[:, 0], b.hi[:, 0]) for b in e.all] for e in there if e is not None]
        for k, (s, b, scale) in enumerate(zip(sheets, columns, scales, strict=True)):
            spread = spreads(b.rows(rows), [m[k] for m in moved])
            s.verdicts.put(rows, verdicts_on(s.got[rows], b.rows(rows), spread, scale.rows(rows), form, allowed))

    arguments = examiner.program.target.arguments
    worst = [torch.topk(s.verdicts.excess.hi.nan_to_num(-math.inf), min(FIRST_CONDITIONED, size)) for s in sheets]
    first = torch.cat([w.indices for w in worst]).unique()
    condition(first)
    wanted = torch.zeros(size, dtype=torch.bool)
    for s in sheets:
        floor = s.verdicts.excess.lo[first].nan_to_num(-math.inf).max()
        wanted |= (s.verdicts.kind == OPEN) | (s.verdicts.excess.hi > floor)
    wanted[first] = False
    if bool(wanted.any()):
        condition(wanted.nonzero().flatten())


def _scales(points: Points, names: Sequence[str], value: Bounds, natural: float) -> list[Bounds]:
    """Bounds of the natural scale of each number: S of a value, max(S, |value|)/|x| of a slope by x."""
    least, most = value.magnitude().nan_to_num(0.0), torch.maximum(value.lo.abs(), value.hi.abs())
    most = most.nan_to_num(math.inf, math.inf)
    plain = torch.full_like(least, natural)
    found = [Bounds(plain, plain)]
    for n in names:
        x = points[n].double().reshape(-1).abs()
        at_zero = x == 0
        sides = ((side.clamp(min=natural) / x).masked_fill(at_zero, math.inf) for side in (least, most))
        found.append(Bounds(*sides))
    return found


def run_in_lanes(program: Program, points: Points) -> Outcome:
    """The outcome of a batch filled up so that no input is in the tail of a vectorised kernel; who raises runs alone."""
    size = count_of(points)
    index = torch.arange(size + (-size) % LANES if program.batched else size).clamp(max=size - 1)
    outcome = program.run(rows_at(points, index))
    found = _first(outcome, size)
    if program.batched and bool(found.raised.any()):
        rows = found.raised.nonzero().flatten()
        alone = replace(program, batched=False).run(rows_at(points, rows))
        if alone.values.shape[1] == found.values.shape[1]:
            found.values[rows], found.raised[rows] = alone.values.to(found.values.dtype), alone.raised
            for n, g in alone.gradients.items():
                found.gradients[n][rows] = g
    return found


def _first(outcome: Outcome, count: int) -> Outcome:
    slopes = {n: g[:count] for n, g in outcome.gradients.items()}
    return replace(outcome, values=outcome.values[:count], gradients=slopes, raised=outcome.raised[:count])
