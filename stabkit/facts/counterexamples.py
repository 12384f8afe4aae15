"""Samples at which a program breaks a property: looked for, and judged again by themselves."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from flint import arb
from torch import Generator

from stabkit.arithmetic.enclosure import UNDEFINED, Enclosure
from stabkit.domain import Argument, Interval
from stabkit.facts.arrangements import Arrangement, Breach, arrangements, breach, moved_by
from stabkit.facts.properties import MONOTONE, Property, meant_by
from stabkit.finding import Severity
from stabkit.judge import Judgement, Kind
from stabkit.program import Points, points_of, points_of_many, rows_at, sample_of
from stabkit.search.points import draw, remoteness
from stabkit.verification import Examiner, Sample, written

DRAWN, DRAWN_ALONE = 2000, 24
MOST_WITNESSES = 12
ANY = Property("at_least")


@dataclass(frozen=True)
class Challenger(Examiner):
    """Judges samples by one property.

    Attributes:
        fact: the property.
        declared: by the user; else it was read off the truth, and what breaks it must be no mere rounding.
        reach: floats between the two runs that monotonicity compares, at most.
    """

    fact: Property = ANY
    declared: bool = True
    reach: int = 1

    @property
    def gravity(self) -> Severity:
        """Of what breaks it."""
        return "error" if self.declared else "warning"

    @property
    def steps(self) -> list[int]:
        """The distances along an axis, nearest first."""
        return [sign * 2**k for k in range(self.reach.bit_length()) for sign in (1, -1)]

    @property
    def axes(self) -> Sequence[Argument]:
        """All but those that the property itself moves together."""
        bound = [name for name in self.fact.names if self.fact.kind in ("zero_when", "shift_invariant")]
        tied = {a.name for name in bound for a in meant_by(name, self.program.target.arguments)}
        return [a for a in self.program.target.arguments if a.name not in tied]

    def judge_alone(self, sample: Sample, of: str) -> tuple[Sample, Judgement] | None:
        """One component of the value at one sample."""
        if self.fact.is_bound and not self.declared:
            return self._beyond_a_bound_of_the_truth(sample, of)
        found = self._first(sample, of)
        if found is None:
            return None
        arrangement, judgement = found
        return sample_of(arrangement.here, 0), judgement

    def _beyond_a_bound_of_the_truth(self, sample: Sample, of: str) -> tuple[Sample, Judgement] | None:
        found = super().judge_alone(sample, of)
        if found is None or not found[1].kind.is_failure:
            return found
        beyond = _is_beyond(found[1].got, self.fact)
        kind, severity = (found[1].kind, self.gravity) if beyond else (Kind.RIGHT, None)
        return found[0], replace(found[1], kind=kind, severity=severity)

    def _first(self, sample: Sample, of: str) -> tuple[Arrangement, Judgement] | None:
        """The nearest arrangement of a sample that breaks the property, or else one that does not."""
        arguments, form = self.program.target.arguments, self.program.form
        found = None
        for arrangement in arrangements(self.fact, points_of(sample, arguments, form), arguments, form, self.steps):
            if not bool(arrangement.legal[0]):
                continue
            result = breach(self.program, self.fact, arrangement)
            k = int(of.removeprefix("value").strip("[]") or 0)
            if k >= result.got.shape[1]:
                return None
            broken = float(result.bits[0, k]) > self.program.target.tolerance.bits
            if broken and (self.declared or self._holds_in_truth(arrangement)):
                return arrangement, self._judgement(0, of, result, 0, k)
            judgement = Judgement(0, of, float(result.got[0, k]), UNDEFINED, Kind.RIGHT)
            found = found or (arrangement, judgement)
        return found

    def _judgement(self, number: int, of: str, result: Breach, row: int, k: int) -> Judgement:
        other, bits = float(result.other[row, k]), float(result.bits[row, k])
        truth = Enclosure.of(arb(other)) if math.isfinite(other) else UNDEFINED
        got, excess = float(result.got[row, k]), bits if math.isfinite(bits) else None
        return Judgement(number, of, got, truth, Kind.INACCURATE, self.gravity, excess)

    def _holds_in_truth(self, arrangement: Arrangement) -> bool:
        """Whether the truth does not break it as well."""
        if self.oracle is None or arrangement.there is None:
            return False
        pair = (arrangement.here, arrangement.there)
        here, there = (self.oracle.truth(sample_of(p, 0), self.program.form, ()).values[0] for p in pair)
        rising = MONOTONE[self.fact.kind] * (1 if arrangement.steps > 0 else -1)
        return here.is_finite and there.is_finite and not bool((here.ball - there.ball) * rising > 0)

    def doubtful(self, samples: Sequence[Sample], errors_only: bool) -> list[bool]:
        """Which samples, run together, break it."""
        if not self.program.batched:
            return [True] * len(samples)
        if self.fact.is_bound and not self.declared:
            return super().doubtful(samples, errors_only)
        arguments, form = self.program.target.arguments, self.program.form
        points = points_of_many(samples, arguments, form)
        allowed = self.program.target.tolerance.bits
        broken = torch.zeros(len(samples), dtype=torch.bool)
        for arrangement in arrangements(self.fact, points, arguments, form, self.steps):
            broken |= (breach(self.program, self.fact, arrangement).bits > allowed).any(1)
        return broken.tolist()

    def details(self, sample: Sample, judgement: Judgement, late: bool) -> Mapping[str, Any]:
        """The property, and the other sample that breaks it."""
        found = None if self.fact.is_bound else self._first(sample, judgement.of)
        other = None if found is None else found[0].there
        neighbour = None if other is None else written(sample_of(other, 0), self.program.form)
        hint = f"{'declared' if self.declared else 'true at every point judged'}: {self.fact}"
        return {"breaks": str(self.fact), "neighbour": neighbour, "oracle": "property", "hint": hint}


def _is_beyond(value: float, fact: Property) -> bool:
    return value < fact.bound if fact.kind == "at_least" else value > fact.bound


@dataclass(frozen=True)
class Counterexamples:
    """What breaks a property.

    Attributes:
        challenger: who judges the samples again.
        samples, judgements: one of each other, at most a dozen.
        points: how many samples break it, of all that were run.
    """

    challenger: Challenger
    samples: tuple[Sample, ...]
    judgements: tuple[Judgement, ...]
    points: int = 0


def counterexamples(challenger: Challenger, samples: Sequence[Sample], deadline: float) -> Counterexamples:
    """Looks for samples that break a property, among given ones and freshly drawn ones.

    Args:
        deadline: on the monotonic clock, past which no further arrangement is looked at.
    """
    program, fact = challenger.program, challenger.fact
    arguments, form = program.target.arguments, program.form
    drawn = draw(arguments, form, DRAWN if program.batched else DRAWN_ALONE, Generator().manual_seed(program.seed))
    given = samples if program.batched else samples[:DRAWN_ALONE]
    points = drawn if not given else _both(drawn, given, arguments)
    steps = (1, -1, 2 ** (form.precision // 2), 2 ** (form.precision - 2))
    found: list[tuple[float, int, Sample, Judgement]] = []
    count = 0
    for arrangement in arrangements(fact, points, arguments, form, steps):
        if found and time.monotonic() > deadline:
            break
        result = breach(program, fact, arrangement)
        broken = (result.bits > program.target.tolerance.bits).any(1).nonzero().flatten()
        if not len(broken):
            continue
        count += len(broken)
        far = remoteness(rows_at(arrangement.here, broken), arguments)
        for row in broken[far.argsort(stable=True)[:MOST_WITNESSES]].tolist():
            k = int(result.bits[row].argmax())
            of = "value" if result.bits.shape[1] == 1 else f"value[{k}]"
            reach, sample = _nearest_pair(challenger, arrangement, row, k)
            found.append((reach, len(found), sample, challenger._judgement(0, of, result, row, k)))
    least = min((reach for reach, *_ in found), default=1)
    chosen = sorted(f for f in found if f[0] == least)[:MOST_WITNESSES]
    judgements = tuple(replace(j, row=row) for row, (*_, j) in enumerate(chosen))
    return Counterexamples(replace(challenger, reach=int(least)), tuple(s for *_, s, _ in chosen), judgements, count)


def _both(drawn: Points, given: Sequence[Sample], arguments: Sequence[Argument]) -> Points:
    """The given samples first."""
    lists = {a.name: torch.tensor([s[a.name] for s in given]).reshape(-1, *a.shape) for a in arguments}
    return {n: torch.cat([x.to(drawn[n].dtype), drawn[n]]) for n, x in lists.items()}


def _nearest_pair(challenger: Challenger, arrangement: Arrangement, row: int, k: int) -> tuple[int, Sample]:
    """Halves the way between two runs as long as one half breaks monotonicity; the way left, and where it starts."""
    here = sample_of(arrangement.here, row)
    name, element = arrangement.moved
    way = arrangement.steps
    if abs(way) <= 1:
        return abs(way), here
    points = {n: x[row : row + 1] for n, x in arrangement.here.items()}
    (leaf,) = [a for a in challenger.program.target.arguments if a.name == name]
    allowed = challenger.program.target.tolerance.bits

    def breaks(start: Points, steps: int) -> bool:
        part = moved_by(start, leaf, element, steps, challenger.program.form)
        return float(breach(challenger.program, challenger.fact, part).bits[0, k]) > allowed

    while abs(way) > 1:
        half = way // 2 if way > 0 else -(-way // 2)
        middle = moved_by(points, leaf, element, half, challenger.program.form).there or points
        if breaks(points, half):
            way = half
        elif isinstance(leaf.domain, Interval) and breaks(middle, way - half):
            points, way = middle, way - half
        else:
            break
    return abs(way), sample_of(points, 0)
