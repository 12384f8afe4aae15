"""How far the truth moves when the inputs move by a unit roundoff: what rounding them explains.

The directions are Walsh functions on random signs, so that any two inputs move together in some and apart in others;
each comes with its opposite, so that a jump next to the sample is crossed. Labels, counts and other discrete values are
exact and stay; nothing leaves its domain.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from flint import arb

from stabkit.arithmetic.evaluate import Truth, flatten
from stabkit.dependence import hulls, in_order, is_discrete
from stabkit.domain import Argument, Booleans, Interval, Point, real
from stabkit.floats import Format
from stabkit.oracle import Oracle, Sample
from stabkit.program import Points
from stabkit.search.legal import put_in_order


def conditioning(
    oracle: Oracle,
    sample: Sample,
    form: Format,
    gradient_of: Sequence[str],
    arguments: Sequence[Argument],
    roundoffs: int = 1,
) -> list[Truth]:
    """The truths at inputs moved by so many unit roundoffs each.

    The largest |difference| from the truth itself, over that move, is the conditioning C of a number.
    """
    moved = neighbourhood(sample, form, arguments, oracle.certified, roundoffs)
    return [oracle.truth(s, form, gradient_of) for s in moved]


def neighbourhood(
    sample: Sample, form: Format, arguments: Sequence[Argument], thoroughly: bool = True, roundoffs: int = 1
) -> list[Sample]:
    """The sample moved along each direction, and the first alone of them back too where points are dear."""
    inside = _continuous(arguments)
    vectors = sign_vectors(sum(len(flatten(v)) for v in sample.values()))
    chosen = vectors if thoroughly else (vectors[0], *vectors[1::2])
    moved = (_moved(sample, form, [s * roundoffs for s in signs], inside) for signs in chosen)
    return [in_order(m, sample, arguments) for m in moved]


def moved_points(points: Points, form: Format, arguments: Sequence[Argument]) -> list[Points]:
    """Many samples moved along each direction, exactly, as doubles."""
    inside, sizes = _continuous(arguments), {n: x[0].numel() for n, x in points.items()}
    found = []
    for signs in sign_vectors(sum(sizes.values())):
        moved, start = {}, 0
        for n, x in points.items():
            step = torch.tensor(signs[start : start + sizes[n]], dtype=torch.float64).reshape(x.shape[1:])
            moved[n] = x.double() if x.is_floating_point() else x
            if n in inside and x.is_floating_point():
                there, bounds = x.double() * (1 + step * form.unit_roundoff), inside[n]
                legal = (there >= bounds.low) & (there <= bounds.high)
                moved[n] = torch.where(legal, there, moved[n])
            start += sizes[n]
        found.append(put_in_order(moved, points, arguments))
    return found


@cache
def sign_vectors(count: int) -> tuple[tuple[int, ...], ...]:
    """The directions in which the `count` numbers of a sample are moved.

    Example:
        >>> len(sign_vectors(1)), len(sign_vectors(2)), len(sign_vectors(4))
        (2, 4, 6)
    """
    drawn = random.Random(0)
    signs = [drawn.choice((-1, 1)) for _ in range(count)]
    masks = (0, *(1 << bit for bit in range(max(count - 1, 1).bit_length())))  # any two indices differ in a bit
    walsh = [[s * (-1) ** (i & mask).bit_count() for i, s in enumerate(signs)] for mask in masks]
    return tuple(dict.fromkeys(tuple(side * s for s in row) for row in walsh for side in (-1, 1)))


def _continuous(arguments: Sequence[Argument]) -> dict[str, Interval]:
    """What the arguments that move stay in, by name."""
    inside = hulls(arguments)
    moving = [a for a in arguments if not isinstance(a.domain, Booleans) and not is_discrete(a.domain)]
    return {a.name: real if isinstance(a.domain, Point) else inside.get(a.name, real) for a in moving}


def _moved(sample: Sample, form: Format, signs: Sequence[int], inside: dict[str, Interval]) -> Sample:
    waiting = iter(signs)

    def move(value: Any, bounds: Interval | None) -> Any:
        if isinstance(value, list):
            return [move(v, bounds) for v in value]
        sign = next(waiting)
        if isinstance(value, int) or not math.isfinite(value) or value == 0 or bounds is None:
            return value
        step = sign * form.unit_roundoff
        there = value * (1 + step) if form.precision < 50 else arb(value) * (1 + arb(step))  # exact either way
        return there if bounds.low <= there <= bounds.high else value

    return {name: move(value, inside.get(name)) for name, value in sample.items()}
