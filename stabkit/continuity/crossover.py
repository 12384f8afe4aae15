"""Where a decision flips in real arithmetic, and how place and size of a jump move with the other arguments."""

from __future__ import annotations

import math
from typing import Any

import torch
from flint import arb
from torch import Tensor

from stabkit.arithmetic.evaluate import flatten
from stabkit.continuity.jumps import Crossing, Jump, Side, places_of
from stabkit.domain import Interval
from stabkit.finding import Shift, number
from stabkit.floats import nearest, neighbours, shortest
from stabkit.program import Points, points_of_many
from stabkit.search.boundaries import Boundary, boundaries, grid_of
from stabkit.search.legal import moved_inside
from stabkit.search.lines import Lines, Spot, at_value_ranks
from stabkit.search.switches import decided
from stabkit.verification import Sample

HALVINGS = 48
FRACTION = 2.0**-8  # of an ulp, to which a crossover is located
FACTORS, OFFSETS = (0.25, 0.5, 0.75, 1.5, 2.0, 4.0), (-4.0, -1.0, -0.25, 0.25, 1.0, 4.0)
MOST_SHIFTED = 4  # other numbers
LAST = 6  # of the values of one, in a bounded domain


def crossover(crossing: Crossing) -> float | None:
    """Where the decision of a boundary flips on exact numbers; None where that cannot be told."""
    below, above = crossing.outside
    low, high = (arb(_number(s, crossing.spot)) for s in (below, above))
    start, end = _decided(crossing, low), _decided(crossing, high)
    if start is None or end is None or start == end:
        return None
    gap = abs(crossing.distance(*crossing.pair)) * FRACTION
    for _ in range(HALVINGS):
        if high - low < gap:
            break
        middle = ((low + high) / 2).mid()
        decided = _decided(crossing, middle)
        if decided is None:
            break
        low, high = (middle, high) if decided == start else (low, middle)
    return _plainest(low, high)


def _plainest(low: arb, high: arb) -> float:
    """The number of fewest digits between two."""
    middle = float(((low + high) / 2).mid())
    written = (float(f"{middle:.{digits}g}") for digits in range(1, 18))
    return next((x for x in written if low <= x <= high), middle)


def band(crossing: Crossing, crossover: float | None) -> tuple[float, float]:
    """The floats around all flips of the decision, those of the program and that of real arithmetic."""
    ends = list(places_of(crossing))
    if crossover is not None:
        form = crossing.lines.form
        close = torch.tensor([nearest(crossover, form)], dtype=form.dtype)
        ends += [close.item(), neighbours(close, -1 if close.item() > crossover else 1).item()]
    return min(ends), max(ends)


def _decided(crossing: Crossing, place: arb) -> int | None:
    """The decision on exact numbers with the moving number at that place."""
    sample, spot = crossing.pair[0].sample, crossing.spot
    moved = {**sample, spot.argument.name: _replaced(sample[spot.argument.name], spot, place)}
    return None if crossing.switch is None else decided(crossing.lines.program, moved, crossing.switch)


def _number(side: Side, spot: Spot) -> float:
    return float(flatten(side.sample[spot.argument.name])[spot.element])


def _replaced(value: Any, spot: Spot, new: Any) -> Any:
    """An argument's value, flattened if it is a list, with one number exchanged."""
    if not isinstance(value, list):
        return new
    flat = list(flatten(value))
    flat[spot.element] = new
    return flat


def shifts(jump: Jump) -> list[Shift]:
    """Place and size of a jump at other values of the other arguments, as the native program has them."""
    crossing = jump.at
    spots = _others(crossing)
    wanted = [(spot, x) for spot in spots for x in _values(crossing, spot)]
    if not wanted or crossing.switch is None:
        return []
    lines = Lines(crossing.lines.program, _moved(crossing, wanted), [crossing.spot] * len(wanted))
    nearest: dict[int, Boundary] = {}
    for b in boundaries(lines, grid_of(lines, gradients=False), crossing.switch):
        if b.line not in nearest or _far(lines, b) < _far(lines, nearest[b.line]):
            nearest[b.line] = b
    sizes = _sizes(lines, list(nearest.values()), jump.index)
    found = [_shift(lines, b, wanted[k][0], size) for (k, b), size in zip(nearest.items(), sizes, strict=True)]
    return list({(s.argument, s.value): s for s in found}.values())


def _shift(lines: Lines, boundary: Boundary, spot: Spot, size: float) -> Shift:
    form = lines.form
    own = lines.points[spot.argument.name][boundary.line].double().reshape(-1)[spot.element].item()
    place = at_value_ranks(torch.tensor([boundary.below]), form).double().item()
    return Shift(spot.label, number(shortest(own, form)), number(shortest(place, form)), number(size))


def _others(crossing: Crossing) -> list[Spot]:
    arguments = [a for a in crossing.lines.program.target.arguments if isinstance(a.domain, Interval)]
    every = [Spot(a, k) for a in arguments for k in range(int(torch.Size(a.shape).numel()))]
    return [s for s in every if s.label != crossing.spot.label][:MOST_SHIFTED]


def _values(crossing: Crossing, spot: Spot) -> list[float]:
    """Some values of another number: all over a bounded domain, else around its own."""
    own, domain = _number(crossing.pair[0], spot), spot.argument.domain
    assert isinstance(domain, Interval)  # others are not moved
    low, high = domain.low, domain.high
    if low > 0 and math.isfinite(high):
        return [low * (high / low) ** (k / LAST) for k in range(LAST + 1)]
    if math.isfinite(low) and math.isfinite(high):
        return [low + (high - low) * (k / LAST) for k in range(LAST + 1)]
    return [own, *(own * f for f in FACTORS)] if own else [own, *OFFSETS]


def _moved(crossing: Crossing, wanted: list[tuple[Spot, float]]) -> Points:
    """The sample below the jump with one other number exchanged a row, kept inside the domains."""
    program, sample = crossing.lines.program, crossing.pair[0].sample
    rows: list[Sample] = [
        {**sample, spot.argument.name: _replaced(sample[spot.argument.name], spot, x)} for spot, x in wanted
    ]
    return moved_inside(
        points_of_many(rows, program.target.arguments, program.form), program.target.arguments, program.form
    )


def _far(lines: Lines, boundary: Boundary) -> int:
    return abs(boundary.below - int(lines.at_home[boundary.line]))


def _sizes(lines: Lines, found: list[Boundary], index: int) -> list[float]:
    """The native steps of a number, in three digits."""
    line, below = torch.tensor([b.line for b in found]), torch.tensor([b.below for b in found])
    if not found:
        return []
    here, there = (_numbers(lines, line, below + k, index) for k in (0, 1))
    return [float(f"{x:.3g}") for x in (there - here).tolist()]


def _numbers(lines: Lines, line: Tensor, ranks: Tensor, index: int) -> Tensor:
    return lines.read(line, ranks, decisions=False).numbers[:, index]
