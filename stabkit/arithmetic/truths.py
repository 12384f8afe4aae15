"""Certified truth of a definition at many samples: by intervals where they decide, by balls for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stabkit.arithmetic.batch import Definition, Points, enclose
from stabkit.arithmetic.bounds import Enclosures
from stabkit.arithmetic.evaluate import Truth, evaluate_any
from stabkit.arithmetic.limits import Room, anywhere
from stabkit.floats import Format


@dataclass(frozen=True)
class Truths:
    """The truths at N samples.

    Attributes:
        by_interval: [N], the samples that intervals decide.
        by_ball: the truths at the others, by row.
    """

    enclosures: Enclosures | None
    by_interval: Tensor
    by_ball: Mapping[int, Truth]
    _ready: Tensor
    _climb: Callable[[int], Truth]

    def at(self, row: int) -> Truth:
        """The truth at one sample; where intervals say no more than that it overflows, a ball is asked for."""
        if row in self.by_ball:
            return self.by_ball[row]
        if self.enclosures is None or not bool(self._ready[row]):
            return self._climb(row)
        return self.enclosures.at(row)

    def unresolved(self, form: Format) -> int:
        """How many samples hold a number that nothing decided."""
        return sum(not t.is_decided(form) for t in self.by_ball.values())


def evaluate_many(
    definitions: Sequence[Definition],
    points: Points,
    form: Format,
    gradient_of: Sequence[str] = (),
    seconds: float = 2.0,
    room: Room = anywhere,
) -> Truths:
    """The truths of a quantity at N samples.

    Args:
        definitions: of the one quantity; intervals are intersected, and on balls the first that settles it counts.
        points: exact inputs [N, *shape] by name.
        form: the format whose spacing decides; in float64 every sample goes to balls.
        gradient_of, seconds, room: as `evaluate` takes them.

    Example:
        >>> from stabkit.floats import FORMATS
        >>> x = torch.tensor([0.0, 1.0, 1e4])
        >>> truths = evaluate_many([lambda ctx, x: ctx.log1p(ctx.exp(x))], {"x": x}, FORMATS["float32"], ["x"])
        >>> truths.at(0).gradient["x"][0].as_double(), truths.unresolved(FORMATS["float32"])
        (0.5, 0)
    """
    count = len(next(iter(points.values())))
    found = None if form.name == "float64" else enclose(definitions, points, gradient_of, form)
    nowhere = torch.zeros(count, dtype=torch.bool)
    by_interval, ready = (nowhere, nowhere) if found is None else (found.decided(form), found.ready(form))
    exact = {n: x.double() if x.is_floating_point() else x for n, x in points.items()}

    known: dict[str, Truth] = {}  # plain numbers, where branches begin, are drawn again and again

    def climb(row: int) -> Truth:
        sample = {n: x[row].tolist() for n, x in exact.items()}
        key = repr(sample)
        if key not in known:
            known[key] = evaluate_any(definitions, sample, form, gradient_of, seconds, room)
        return known[key]

    by_ball = {row: climb(row) for row in (~by_interval).nonzero().flatten().tolist()}
    return Truths(found, by_interval, by_ball, ready, climb)
