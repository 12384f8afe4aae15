"""Steps of a program between two neighbouring floats that the truth does not make, judged by the error rule.

The error of a step is (got above - got below) - (truth above - truth below), measured outside the band in which the
program's decision flickers. Where the program is its own truth, a step of the program on exact numbers that its slopes
do not explain is one of its formulas: whether it is meant cannot be known, so it is a warning at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import flint
import torch
from flint import arb
from torch import Tensor

from stabkit.arithmetic.enclosure import Enclosure
from stabkit.arithmetic.evaluate import Truth, flatten
from stabkit.conditioning import conditioning
from stabkit.domain import is_bool, is_index
from stabkit.exact.shadow import trace
from stabkit.finding import Severity
from stabkit.floats import excess_bits, true_ulp
from stabkit.judge import largest_difference, slope_scale
from stabkit.oracle import Oracle
from stabkit.program import sample_of
from stabkit.search.boundaries import Boundary
from stabkit.search.lines import Lines, Spot, at_value_ranks, value_ranks
from stabkit.search.surroundings import MARGIN, Surroundings, farthest, reach_of, surroundings
from stabkit.search.switches import Switch, decided
from stabkit.verification import WORKING_BITS, Sample, number_names

MUCH = 8  # an error of less than that part of a step is one of the numbers, not of the step
MEANT = 0.5  # of the value, or of its natural scale: larger steps of a program by itself are taken for meant


@dataclass(frozen=True)
class Side:
    """One float of a line: the sample, what the program gives there, and what is true."""

    sample: Sample
    got: Sequence[float]
    truth: Truth


@dataclass(frozen=True)
class Jump:
    """A step of one number that the truth does not explain.

    Attributes:
        index: of the number among values and then slopes.
        below, above: the two neighbouring floats.
        excess: bits lost beyond conditioning.
        own: it is one of the program's formulas, which is what it is judged by.
    """

    at: Crossing
    index: int
    below: Side
    above: Side
    excess: float
    severity: Severity
    own: bool

    @property
    def of(self) -> str:
        """`value`, `value[i]` or `gradient:NAME[i,j]`."""
        return self.at.names[self.index]

    @property
    def size(self) -> arb:
        """Of the step of what the program gives, beyond the one of the truth or of its slopes."""
        step = arb(self.above.got[self.index]) - arb(self.below.got[self.index])
        if not self.own:
            return step - (self.at.true(self.above, self.index).ball - self.at.true(self.below, self.index).ball)
        return step - self.at.slope(self.below) * self.at.distance(self.below, self.above)

    @property
    def ulps(self) -> float:
        """The size in ulps of the value."""
        return float((self.size / true_ulp(self.at.true(self.below, self.index).ball, self.at.lines.form)).mid())

    @property
    def errors(self) -> tuple[arb, arb]:
        """|got - truth| below and above."""
        below, above = (arb(s.got[self.index]) - self.at.true(s, self.index).ball for s in (self.below, self.above))
        return abs(below), abs(above)

    @property
    def wrong(self) -> Literal["below", "above", "both"]:
        """`below`, `above`, or `both` where neither is clearly further from the truth."""
        below, above = self.errors
        if max(below.mid(), above.mid()) * 4 < abs(self.size.mid()):
            return "both"
        return "below" if below.mid() > 2 * above.mid() else "above" if above.mid() > 2 * below.mid() else "both"

    @cached_property
    def witness(self) -> tuple[Side, Side, Enclosure]:
        """The side that is wrong, the other one, and what is true there, if need be going on from the other side."""
        below, above = self.errors
        side, other = (self.below, self.above) if below.mid() > above.mid() else (self.above, self.below)
        if 4 * max(below.mid(), above.mid()) >= abs(self.size.mid()):
            return side, other, self.at.true(side, self.index)
        onward = self.at.true(self.below, self.index).ball + self.at.slope(self.below) * self.at.distance(
            self.below, self.above
        )
        return self.above, self.below, Enclosure.of(onward)


@dataclass(frozen=True)
class Crossing:
    """A boundary of a program with its surroundings, and who says what is true there."""

    lines: Lines
    around: Surroundings
    oracle: Oracle

    @property
    def switch(self) -> Switch | None:
        """The decision that flips there."""
        return self.around.boundary.switch

    @property
    def spot(self) -> Spot:
        """The number that moves."""
        return self.lines.spots[self.around.boundary.line]

    @cached_property
    def names(self) -> list[str]:
        """Of the numbers: values, then slopes."""
        return number_names(self.lines.program, self.values, list(self.around.reading.gradients))

    @property
    def values(self) -> int:
        """How many components the value has."""
        return self.around.reading.values.shape[1]

    @property
    def differentiated(self) -> list[str]:
        """The arguments that the truth is differentiated by."""
        arguments = self.lines.program.target.arguments
        return [a.name for a in arguments if not is_bool(a.domain) and not is_index(a.domain)]

    @cached_property
    def pair(self) -> tuple[Side, Side]:
        """The two neighbouring floats, each run by itself."""
        below = int(self.around.ranks[self.around.at])
        return self._alone_at(below), self._alone_at(below + 1)

    def _alone_at(self, rank: int) -> Side:
        """A float of the line, run by itself."""
        got = self.lines.read(*self._row(rank), decisions=False).numbers[0].tolist()
        sample = self._sample_at(rank)
        return Side(sample, got, self.oracle.truth(sample, self.lines.form, self.differentiated))

    def _sample_at(self, rank: int) -> Sample:
        return sample_of(self.lines.samples(*self._row(rank)), 0)

    def _row(self, rank: int) -> tuple[Tensor, Tensor]:
        return torch.tensor([self.around.boundary.line]), torch.tensor([rank])

    @cached_property
    def outside(self) -> tuple[Side, Side]:
        """A float below and one above all flips, the one of real arithmetic among them."""
        below, above = self.ends or self._clear
        return self._alone_at(below), self._alone_at(above)

    @property
    def _clear(self) -> tuple[int, int]:
        """Places clear of the band of native flips."""
        below, above = self.around.outside
        return int(self.around.ranks[below]), int(self.around.ranks[above])

    @cached_property
    def ends(self) -> tuple[int, int] | None:
        """Places below and above all flips; None where only rounding makes the decision flip."""
        low, high = self._clear
        if self._flips(low, high) is not False:
            return low, high
        first, last = (int(r) for r in self.lines.ends[self.around.boundary.line])
        reach = reach_of(self.lines.form, together=True)
        while reach <= farthest(self.lines.form):
            below, above = max(low - reach, first), min(high + reach, last)
            if self._flips(below, above):
                below, above = self._narrowed(below, above)
                return min(low, below), max(high, above)
            reach *= 8
        return None

    def _narrowed(self, below: int, above: int) -> tuple[int, int]:
        """Two places between which the decision flips on exact numbers, drawn together."""
        while above - below > 2 * MARGIN:
            middle = (below + above) // 2
            below, above = (below, middle) if self._flips(below, middle) else (middle, above)
        return below, above

    def _flips(self, below: int, above: int) -> bool | None:
        """Whether the decision differs on exact numbers between two places; None where that cannot be told."""
        if self.switch is None or self.switch.is_hidden:
            return None
        states = [decided(self.lines.program, self._sample_at(rank), self.switch) for rank in (below, above)]
        return None if None in states else states[0] != states[1]

    def true(self, side: Side, index: int) -> Enclosure:
        """The true number at a side."""
        return self._picked(side.truth, index)

    def _picked(self, truth: Truth, index: int) -> Enclosure:
        if index < self.values:
            return truth.values[min(index, len(truth.values) - 1)]
        at = index - self.values
        for name, g in self.around.reading.gradients.items():
            if at < g.shape[1]:
                return truth.gradient[name][at]
            at -= g.shape[1]
        raise IndexError(index)

    def slope(self, side: Side) -> arb:
        """The true slope along the line."""
        found = side.truth.gradient[self.spot.argument.name][self.spot.element]
        return found.ball if found.is_finite else arb(0)

    def native_slope(self, side: Side) -> float:
        """The slope along the line that the program gives at a side; NaN where it gives none."""
        at = self.values
        for name, g in self.around.reading.gradients.items():
            if name == self.spot.argument.name:
                return side.got[at + self.spot.element]
            at += g.shape[1]
        return math.nan

    def distance(self, a: Side, b: Side) -> arb:
        """How far the number moves between two sides."""
        return arb(_number(b, self.spot)) - arb(_number(a, self.spot))

    def jumps(self) -> list[Jump]:
        """The numbers that jump here: values, or else slopes."""
        with flint.ctx.workprec(WORKING_BITS):
            found = [j for k in range(self.values) if (j := self._jump(k)) is not None]
            slopes = range(self.values, len(self.names))
            return found or [j for k in slopes if (j := self._jump(k)) is not None]

    def _jump(self, index: int) -> Jump | None:
        if not self.may_jump(index) or self.ends is None:
            return None
        judged = self._beyond_truth(index) or self._own(index)
        if judged is None or not all(self.true(s, index).is_finite for s in self.pair):
            return None
        excess, severity, own = judged
        jump = Jump(self, index, *self.pair, excess, severity, own)
        shown = self.switch is not None or self._is_no_rounding(jump)
        return jump if shown and self._is_there(jump) else None

    def may_jump(self, index: int) -> bool:
        """Whether the program makes a step that stands out."""
        return self._is_step(index) and self.around.stands_out(index)

    def _is_step(self, index: int) -> bool:
        """Whether the number differs by more than what is tolerated of itself, between the floats and outside."""
        numbers, tolerance = self.around.reading.numbers[:, index], self.lines.program.target.tolerance.bits
        here = numbers[self.around.at : self.around.at + 2]
        explained = 2**tolerance * self.lines.form.unit_roundoff * float(here.abs().max())
        return bool(here.isfinite().all()) and abs(float(here[1] - here[0])) > explained

    def _is_there(self, jump: Jump) -> bool:
        """Whether the step is still there when both floats run by themselves, and larger than what is tolerated."""
        real = self.true(jump.below, jump.index).ball
        return excess_bits(jump.size, real, arb(0), self.lines.form) > self.lines.program.target.tolerance.bits

    def _is_no_rounding(self, jump: Jump) -> bool:
        """Whether a step that no decision shows is larger than roundings on the way, and no stair of many."""
        results = [x for step in trace(self.lines.program, jump.below.sample) if not step.backward for x in step.output]
        largest = max((abs(x) for x in results if math.isfinite(x)), default=0.0)
        roundings = 2**self.lines.program.target.tolerance.bits * 2 * self.lines.form.unit_roundoff * largest
        return abs(jump.size) > roundings and all(self._is_followed(side, jump) for side in (-1, 1))

    def _is_followed(self, direction: int, jump: Jump) -> bool:
        """Whether the program moves with the truth on one side of a step; rounding makes stairs, flat between steps."""
        start = jump.above if direction > 0 else jump.below
        before = arb(start.got[jump.index]) - self.true(start, jump.index).ball
        for rank in self._further(start, direction, jump):
            side = self._alone_at(rank)
            true = self.true(side, jump.index)
            if not true.is_finite or not math.isfinite(side.got[jump.index]):
                return False
            drift = abs(arb(side.got[jump.index]) - true.ball - before)
            if not drift * 4 < abs(jump.size):
                return False
        return True

    def _further(self, start: Side, direction: int, jump: Jump) -> list[int]:
        """Places at which the truth has moved by about a third of the step, or as far as half the number itself."""
        here = _number(start, self.spot)
        slope, size = abs(float(self.slope(start).mid())), abs(float(jump.size.mid()))
        most = max(abs(here) / 2, self.lines.form.smallest_normal)
        distances = [min(size / (3 * slope), most)] if slope * most * 3 > size else [most / 64, most / 8, most]
        low, high = (int(r) for r in self.lines.ends[self.around.boundary.line])
        places = torch.tensor([here + direction * d for d in distances], dtype=torch.float64)
        ranks = value_ranks(places.to(self.lines.form.dtype)).clamp(low, high)
        return [int(r) for r in ranks]

    def _beyond_truth(self, index: int) -> tuple[float, Severity, bool] | None:
        """How far the step outside the band is off the one of the truth."""
        below, above = self.outside
        a, b = self.true(below, index), self.true(above, index)
        if not (a.is_finite and b.is_finite) or a.kink or b.kink:
            return None
        error = (arb(above.got[index]) - arb(below.got[index])) - (b.ball - a.ball)
        step = self.around.reading.numbers[:, index].diff()[self.around.at]
        if abs(error) * MUCH < abs(arb(float(step))):  # the truth makes that step too
            return None
        found = self._judged(error, index)
        return None if found is None else (*found, False)

    def _own(self, index: int) -> tuple[float, Severity, bool] | None:
        """How far the step outside the band, which the program makes on exact numbers too, is off its slopes."""
        below, above = self.outside
        a, b = self.true(below, index), self.true(above, index)
        given = self.oracle.name == "reference" or index >= self.values
        if given or not (a.is_finite and b.is_finite) or self._is_meant(below, above, index):
            return None
        slopes, distance = (self.slope(below), self.slope(above)), self.distance(below, above)
        left = abs(b.ball - a.ball - (slopes[0] + slopes[1]) / 2 * distance) - abs(slopes[1] - slopes[0]) / 2 * distance
        found = self._judged(left, index) if left > 0 else None
        return None if found is None else (found[0], "warning", True)

    def _is_meant(self, below: Side, above: Side, index: int) -> bool:
        """Whether a step of the formulas is what losses do on purpose: whole numbers, masks, thresholds."""
        if self.switch is not None and self.switch.is_rounding:
            return True
        got = below.got[index], above.got[index]
        step = abs(got[1] - got[0])
        scale = max(abs(got[0]), abs(got[1]), self.lines.program.target.tolerance.natural_scale)
        return 0.0 in got or step > MEANT * scale or step == round(step)

    def _judged(self, error: arb, index: int) -> tuple[float, Severity] | None:
        """Excess bits and severity of a step by the error rule; None where they pass."""
        form, tolerance = self.lines.form, self.lines.program.target.tolerance
        real = max((abs(self.true(s, index).ball) for s in self.outside), key=lambda x: float(x.mid()))
        if excess_bits(error, real, arb(0), form) <= tolerance.bits:
            return None
        spread = max((self._conditioning(k, index) for k in (0, 1)), key=lambda x: float(x.mid()))
        excess = excess_bits(error, real, spread, form)
        if excess <= tolerance.bits:
            return None
        grave = excess_bits(error, real, spread, form, self._scale(index)) > form.precision / 2
        return excess, "error" if grave and index < self.values else "warning"

    @cached_property
    def _moved(self) -> list[list[Truth]]:
        """The truths at inputs moved by a unit roundoff, below and above the band."""
        form, arguments = self.lines.form, self.lines.program.target.arguments
        return [conditioning(self.oracle, s.sample, form, self.differentiated, arguments) for s in self.outside]

    def _conditioning(self, side: int, index: int) -> arb:
        """How far rounding the inputs moves a number, over u."""
        moved = [self._picked(t, index) for t in self._moved[side]]
        return largest_difference(moved, self.true(self.outside[side], index), self.lines.form)

    def _scale(self, index: int) -> float | arb:
        """The natural scale of a number."""
        natural, side = self.lines.program.target.tolerance.natural_scale, self.outside[0]
        if index < self.values:
            return natural
        name, _, _ = self.names[index].removeprefix("gradient:").partition("[")
        return slope_scale(side.truth.values[0], float(max(map(abs, flatten(side.sample[name])))), natural)


def crossing_at(lines: Lines, boundary: Boundary, oracle: Oracle) -> Crossing:
    """A boundary, with as many floats around it as lie between its native and its exact flips."""
    found = Crossing(lines, surroundings(lines, boundary), oracle)
    jumps = any(found.may_jump(k) for k in range(len(found.names)))
    if not lines.program.together or not jumps or found.ends is None:
        return found
    ranks, (low, high) = found.around.ranks, found.ends
    here = int(ranks[found.around.at])
    far = max(here - low, high - here)
    return Crossing(lines, surroundings(lines, boundary, far), oracle) if far > len(ranks) // 4 else found


def _number(side: Side, spot: Spot) -> float:
    """The number that moves, at a side."""
    return float(flatten(side.sample[spot.argument.name])[spot.element])


def places_of(crossing: Crossing) -> Iterator[float]:
    """The first and the last float of the band, below and above its outermost flips."""
    around = crossing.around
    for index in (around.first, around.last + 1):
        yield at_value_ranks(around.ranks[index : index + 1], crossing.lines.form).double().item()
