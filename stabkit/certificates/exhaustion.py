"""Every float of a domain, in chunks: the program run on all of them, and every number judged.

Enclosures settle most numbers by the thousand; what they leave open goes to balls, one input at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from flint import arb
from torch import Tensor

from stabkit.arithmetic.bounds import Bounds, Enclosures
from stabkit.certificates.certificate import Tally
from stabkit.certificates.closeup import by_balls, exactly
from stabkit.certificates.space import Space
from stabkit.certificates.tallies import NEGLIGIBLE, RAISES, Sheet, bins_of, tally
from stabkit.certificates.verdicts import OPEN, Verdicts, spreads, verdicts_on
from stabkit.conditioning import moved_points
from stabkit.errors import TargetError
from stabkit.floats import Format
from stabkit.foresight import foresee
from stabkit.oracle import Oracle
from stabkit.program import Outcome, Points, Program, count_of, rows_at, rows_of, sample_of
from stabkit.verification import Examiner

LANES = 64  # a batch is filled up to a multiple of it, so that every input runs in the vector part of kernels
TOGETHER = 1024  # inputs of one exact replay
FIRST_CONDITIONED = 64  # inputs by which to know how many bits the worst loses at least
MOST_PLACED = 1024  # inputs of a chunk whose errors, between two bins of the histogram, balls place; others go higher
EVERYDAY_CHUNK, LARGE_CHUNK, DEAR_CHUNK = 2**15, 2**18, 2**12
MANY = 2**20  # inputs, from which chunks are large


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
    look = partial(exactly, examiner, points, outcome)
    return [tally(s, space.axes, look) for s in judged(examiner, torch.arange(first, stop), points, outcome)]


def judged(examiner: Examiner, ranks: Tensor, points: Points, outcome: Outcome) -> list[Sheet]:
    """Every number of an outcome with its verdicts: by enclosures, the rest by balls."""
    sheets = blank_sheets(examiner.program.form, ranks, outcome)
    truth = enclosures(examiner, points, list(outcome.gradients))
    if truth is not None and truth.values.lo.shape[1] == 1:
        _settle(examiner, points, list(outcome.gradients), truth, sheets)
    for s in sheets:
        bins = bins_of(torch.stack([s.verdicts.ulps.lo, s.verdicts.ulps.hi]))
        between = ((bins[0] != bins[1]) & ~s.verdicts.ulps.hi.isnan()).nonzero().flatten()
        s.verdicts.kind[between[:MOST_PLACED]] = OPEN
    undecided = torch.stack([s.verdicts.kind == OPEN for s in sheets]).any(0) & ~outcome.raised
    by_balls(examiner, points, outcome, undecided.nonzero().flatten().tolist(), sheets)
    for s in sheets:
        s.verdicts.put(outcome.raised.nonzero().flatten(), raising(int(outcome.raised.sum())))
    return sheets


def blank_sheets(form: Format, ranks: Tensor, outcome: Outcome) -> list[Sheet]:
    """The numbers of an outcome of which nothing is known yet."""
    size = len(ranks)
    numbers = {"value": outcome.values, **{f"gradient:{n}": g for n, g in outcome.gradients.items()}}
    unknown = torch.full((size,), math.nan, dtype=torch.float64)
    return [
        Sheet(of, form, ranks, x.double().reshape(size), unknown.clone(), Verdicts.nothing(size))
        for of, x in numbers.items()
    ]


def raising(size: int) -> Verdicts:
    """The verdicts where the program raises instead."""
    found = Verdicts.nothing(size)
    found.kind.fill_(RAISES)
    found.grave.fill_(True)
    return found


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
    if ball == arb(float(ball)):  # it is that double
        return float(ball), float(ball)
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
    first = torch.zeros(size, dtype=torch.bool)
    first[torch.cat([w.indices for w in worst])] = True
    condition(first.nonzero().flatten())
    wanted = torch.zeros(size, dtype=torch.bool)
    for s in sheets:
        floor = s.verdicts.excess.lo[first].nan_to_num(-math.inf).max().clamp(min=NEGLIGIBLE)
        wanted |= (s.verdicts.kind == OPEN) | (s.verdicts.excess.hi > floor)
    if bool((wanted & ~first).any()):
        condition((wanted & ~first).nonzero().flatten())


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
    """The outcome of a batch filled up so that no input is in the tail of a kernel; inputs that raise run alone."""
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
