"""What is true where a definition is undefined, or has a tie, at the sample itself: the limits next to it.

Each axis is approached from both sides, as far as the domain allows, to 2**-1200 and 2**-2000; and where there are
several, all at once along two diagonals. Limits that agree are the truth; one-sided limits that differ make a kink;
infinite ones a pole; none at all means outside the domain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flint
from flint import arb

from stabkit.arithmetic import Undecided
from stabkit.arithmetic.enclosure import UNDEFINED, UNRESOLVED, Enclosure, State
from stabkit.floats import Format, power_of_two

DISTANCES = (-1200, -2000)  # binary exponents
GROWTH = 1.3  # log(2**-2000) / log(2**-1200) is 1.67; what converges does not grow by a third there
LIMIT_PRECISION = 8192  # holds 2**1024 + 2**-2000 exactly

Room = Callable[[str, float], tuple[bool, bool]]  # (may step down, may step up) from a value of the named input
Point = Mapping[str, Any]


def anywhere(name: str, x: float) -> tuple[bool, bool]:
    """Room on both sides of every value."""
    return True, True


def limit(
    pick: Callable[[Point], Enclosure], sample: Point, axes: Sequence[tuple[str, int]], form: Format, room: Room
) -> Enclosure:
    """The limit of one number at a sample, from every side of the given axes that the domain leaves open.

    Args:
        pick: the number at a moved sample; may raise Undecided.
        axes: (input name, flat index of the element) to approach along.
    """
    with flint.ctx.workprec(LIMIT_PRECISION):
        sides = [_from_one_side(pick, moved, form) for moved in _approaches(sample, axes, room)]
        return hull_of([e for e in sides if e.state is not State.UNDEFINED], form)


def _approaches(sample: Point, axes: Sequence[tuple[str, int]], room: Room) -> Iterator[tuple[Point, Point]]:
    """For each open side of each axis, the sample moved far and near."""
    for name, index in axes:
        x = _element(sample[name], index)
        approachable = isinstance(x, float) and math.isfinite(x)
        open_sides = room(name, x) if approachable else (False, False)
        for side, is_open in zip((-1, 1), open_sides, strict=True):
            if is_open:
                far, near = ({**sample, name: _moved(sample[name], index, side * power_of_two(d))} for d in DISTANCES)
                yield far, near
    if len(axes) > 1:
        yield from _across(sample, axes, room)


def _across(sample: Point, axes: Sequence[tuple[str, int]], room: Room) -> Iterator[tuple[Point, Point]]:
    """The sample moved far and near along all axes at once: alike, and at rates of their own."""
    for rate in (lambda k: 1, lambda k: k + 1):
        pair = []
        for distance in DISTANCES:
            moved = sample
            for k, (name, index) in enumerate(axes):
                x = _element(sample[name], index)
                below, above = room(name, x) if isinstance(x, float) and math.isfinite(x) else (False, False)
                if below or above:
                    step = power_of_two(distance) * rate(k) * (1 if above else -1)
                    moved = {**moved, name: _moved(moved[name], index, step)}
            pair.append(moved)
        yield pair[0], pair[1]


def _from_one_side(pick: Callable[[Point], Enclosure], moved: tuple[Point, Point], form: Format) -> Enclosure:
    try:
        far, near = (pick(m) for m in moved)
    except Undecided:
        return UNRESOLVED
    if State.UNDEFINED in (far.state, near.state):
        return UNDEFINED
    if not (far.is_finite and near.is_finite) or (far.overflows(form) and near.overflows(form)):
        return Enclosure(State.PLUS_INFINITY, arb.pos_inf())
    if abs(near.ball) > GROWTH * abs(far.ball):
        return Enclosure(State.PLUS_INFINITY, arb.pos_inf())  # grows even like a logarithm: no limit
    both = Enclosure.of(far.ball.union(near.ball))
    return both if both.is_decided(form) else UNRESOLVED


def hull_of(sides: Sequence[Enclosure], form: Format) -> Enclosure:
    """One number for what several sides give: that number, their hull as a kink, or the first that is not finite."""
    if not sides:
        return UNDEFINED
    special = next((e for e in sides if not e.is_finite), None)
    if special is not None:
        return special
    hull = sides[0].ball
    for e in sides[1:]:
        hull = hull.union(e.ball)
    smooth = Enclosure.of(hull)
    return smooth if smooth.is_decided(form) else Enclosure(State.FINITE, hull, kink=True)


def _element(value: Any, index: int) -> Any:
    if not isinstance(value, (list, tuple)):
        return value
    for v in value:
        size = _size(v)
        if index < size:
            return _element(v, index)
        index -= size
    raise IndexError(index)


def _moved(value: Any, index: int, step: arb) -> Any:
    if not isinstance(value, (list, tuple)):
        return arb(value) + step if index == 0 else value
    rows = []
    for v in value:
        rows.append(_moved(v, index, step))
        index -= _size(v)
    return rows


def _size(value: Any) -> int:
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 1
