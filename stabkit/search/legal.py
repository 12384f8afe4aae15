"""Keeping moved samples inside their domains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stabkit.dependence import is_discrete, relations, sequence
from stabkit.domain import Argument, Booleans, Point, Simplex, Sorted
from stabkit.floats import FORMATS, Format
from stabkit.program import Points, dtype_of
from stabkit.search.joint import Joint, facing


def moved_inside(points: Points, arguments: Sequence[Argument], form: Format) -> Points:
    """The samples with every number that left its domain moved to the nearest legal float; NaN to the smallest.

    Where domains name other arguments, these are settled before, so that it is the dependent number that moves.
    """
    joint = Joint(arguments, form)
    return _changed(points, joint, joint.settled(_blocks(points, arguments)))


def moved_past(points: Points, arguments: Sequence[Argument], form: Format, first: str) -> Points:
    """The samples with all numbers inside, those well past the argument `first` that it has crossed."""
    joint = Joint(arguments, form)
    return _changed(points, joint, joint.spread(_blocks(points, arguments), first))


def _blocks(points: Points, arguments: Sequence[Argument]) -> dict[str, Tensor]:
    return {a.name: points[a.name].double().reshape(-1, math.prod(a.shape)) for a in arguments}


def _changed(points: Points, joint: Joint, blocks: dict[str, Tensor]) -> Points:
    """The points with the numbers of the arguments that may move."""
    moving = [a for a in joint.arguments if not isinstance(a.domain, (Booleans, Point, Simplex))]
    found = {a.name: blocks[a.name].reshape(points[a.name].shape).to(dtype_of(a, joint.form)) for a in moving}
    return {**points, **found}


def are_legal(points: Points, arguments: Sequence[Argument], form: Format) -> Tensor:
    """Which samples [N] have all their numbers inside intervals, between their bounds and in order."""
    inside = moved_inside(points, arguments, form)
    same = [(inside[n] == x).reshape(len(x), -1).all(1) for n, x in points.items()]
    return torch.stack(same).all(0)


def put_in_order(moved: Points, start: Points, arguments: Sequence[Argument]) -> Points:
    """Many samples as `dependence.in_order` treats one, as doubles."""
    if not Joint(arguments, FORMATS["float64"]).is_dependent:
        return moved
    sizes = {a.name: math.prod(a.shape) for a in arguments}
    blocks = _blocks(moved, arguments)
    least, found = relations(arguments), dict(moved)
    done: set[str] = set()
    for a in sequence(arguments):
        x, origin = blocks[a.name], start[a.name].double().reshape(-1, sizes[a.name])
        for (low, high), steps in least.items() if not is_discrete(a.domain) else ():
            if high == a.name and low in done:
                bound = facing(blocks[low], sizes[a.name], largest=True)
                x = torch.maximum(torch.where(x <= bound, origin, x) if steps else x, bound)
            if low == a.name and high in done:
                bound = facing(blocks[high], sizes[a.name], largest=False)
                x = torch.minimum(torch.where(x >= bound, origin, x) if steps else x, bound)
        x = x.reshape(moved[a.name].shape)
        x = x.sort(-1).values if isinstance(a.domain, Sorted) else x
        blocks[a.name] = x.reshape(-1, sizes[a.name])
        found[a.name] = x if moved[a.name].is_floating_point() else moved[a.name]
        done.add(a.name)
    return found
