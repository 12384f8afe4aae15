"""The floats around a boundary: how often its decision flips there, and whether its step stands out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stabkit.floats import Format
from stabkit.search.boundaries import Boundary
from stabkit.search.lines import Lines, Reading
from stabkit.search.switches import Switch

LONE_REACH = 24  # floats to both sides, where samples run one at a time
MOST_REACH = 2048
WIDEST = 8  # by which factor the reach grows while flips are near its ends
STANDS_OUT = 3.0  # times the steps of floats between which nothing flips
CHANCE = 0.02  # of those steps may be as large, for a step to be put down to the decision that flips there
MOST_BITS = 20
MOST_WIDE = 2**17  # floats to both sides, where the flip of real arithmetic is far off
MARGIN = 8  # floats beyond the band


def reach_of(form: Format, together: bool) -> int:
    """Floats to both sides that are looked at: a sixteenth of a binade of halves, 2048 of longer floats."""
    return min(MOST_REACH if together else LONE_REACH, 1 << (form.precision - 4))


def farthest(form: Format) -> int:
    """Floats away from a native flip in which the flip of real arithmetic is looked for: an eighth of a binade."""
    return 1 << min(form.precision - 4, MOST_BITS)


@dataclass(frozen=True)
class Surroundings:
    """A stretch of neighbouring floats around a boundary, and what the program gives there.

    Attributes:
        boundary: with the decision that flips there, if any does.
        ranks: their places [R], ascending.
        at: index of the float below the boundary.
        first, last: indices of the floats below the first and the last flip of the band.
        flips: how many there are.
    """

    boundary: Boundary
    ranks: Tensor
    reading: Reading
    at: int
    first: int
    last: int
    flips: int

    def stands_out(self, number: int) -> bool:
        """Whether hardly any step of a number nearby is as large; no other one at all, if no decision shows it."""
        steps = self.reading.numbers[:, number].diff().abs().nan_to_num(0.0, 0.0, 0.0)
        quiet = ~self._flipping
        quiet[self.at] = False
        alike = int((steps[quiet] * STANDS_OUT >= steps[self.at]).sum())
        return alike <= (0 if self.boundary.switch is None else CHANCE * int(quiet.sum()))

    def is_whole(self, clear: int) -> bool:
        """Whether the band ends well inside the stretch, and the program decides differently on both sides of it."""
        return self.at - self.first < clear and self.last - self.at < clear and self.flips % 2 == 1

    @property
    def _flipping(self) -> Tensor:
        """Between which floats any decision flips, [R - 1]."""
        found = torch.zeros(len(self.ranks) - 1, dtype=torch.bool)
        for state in self.reading.states.values():
            found |= state[1:] != state[:-1]
        return found

    @property
    def outside(self) -> tuple[int, int]:
        """Indices of a float below and one above the band, clear of it where the domain allows."""
        return max(self.first - MARGIN, 0), min(self.last + 1 + MARGIN, len(self.ranks) - 1)


def surroundings(lines: Lines, boundary: Boundary, beyond: int = 0) -> Surroundings:
    """The floats around a boundary, more of them while its decision still flips near their ends.

    Args:
        beyond: how many more floats there are to a flip that is known.
    """
    reach = reach_of(lines.form, lines.program.together)
    reach = min(2 * (reach + beyond), MOST_WIDE) if beyond else reach
    widest = min(reach * WIDEST, MOST_WIDE) if lines.program.together else reach
    found = _within(lines, boundary, reach)
    while reach < widest and not found.is_whole(reach // 2):
        reach *= 2
        found = _within(lines, boundary, reach)
    return found


def _within(lines: Lines, boundary: Boundary, reach: int) -> Surroundings:
    low, high = (int(r) for r in lines.ends[boundary.line])
    ranks = torch.arange(max(boundary.below - reach + 1, low), min(boundary.below + reach, high) + 1)
    at = int((ranks == boundary.below).nonzero()[0])
    reading = lines.read(torch.full_like(ranks, boundary.line), ranks)
    switch = boundary.switch or _flipping_at(reading, at)
    flips = [at]
    if switch is not None and switch in reading.states:
        state = reading.states[switch]
        flips = (state[1:] != state[:-1]).nonzero().flatten().tolist()
    first, last, count = _band(flips, at, max(reach // 2, 1))
    at = _largest_step(reading, at, lines.form)
    return Surroundings(Boundary(boundary.line, boundary.below, switch), ranks, reading, at, first, last, count)


def _flipping_at(reading: Reading, at: int) -> Switch | None:
    """The first decision that differs between two neighbouring floats, or next to them."""
    pairs = [(k, k + 1) for k in (at, at - 1, at + 1) if 0 <= k < len(reading.values) - 1]
    return next((s for a, b in pairs for s, state in reading.states.items() if state[a] != state[b]), None)


def _largest_step(reading: Reading, at: int, form: Format) -> int:
    """Where the step is: a backward formula may decide at the bound itself otherwise than the forward one."""
    steps = relative_step(reading.numbers[:-1], reading.numbers[1:], form)
    around = [k for k in (at - 1, at + 1) if 0 <= k < len(steps)]
    other = max(around, key=lambda k: float(steps[k]), default=at)
    return other if float(steps[other]) > 8 * float(steps[at]) else at


def relative_step(here: Tensor, there: Tensor, form: Format) -> Tensor:
    """The largest step of the numbers of each sample, [R] of [R, N], in unit roundoffs of that number."""
    explained = form.unit_roundoff * torch.maximum(here.abs(), there.abs())
    return ((there - here).abs() / explained.clamp(min=form.smallest_subnormal)).nan_to_num(0.0, 0.0, 0.0).amax(1)


def _band(flips: list[int], at: int, gap: int) -> tuple[int, int, int]:
    """First and last of the flips that hang together with one of them, and how many they are."""
    near = min(flips, key=lambda k: abs(k - at), default=at)
    if near not in flips or abs(near - at) > 1:
        return at, at, 1
    first = last = flips.index(near)
    while first > 0 and flips[first] - flips[first - 1] <= gap:
        first -= 1
    while last < len(flips) - 1 and flips[last + 1] - flips[last] <= gap:
        last += 1
    if (last - first) % 2 and len(flips) > last - first + 1:  # both sides decide alike: one more flip belongs to them
        before = flips[first] - flips[first - 1] if first else math.inf
        after = flips[last + 1] - flips[last] if last < len(flips) - 1 else math.inf
        first, last = (first - 1, last) if before < after else (first, last + 1)
    return flips[first], flips[last], last - first + 1
