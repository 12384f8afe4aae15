"""Comparisons of numbers that are equal in exact arithmetic, although no precision shows it: both sides are taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flint

from stabkit.arithmetic import Undecided
from stabkit.arithmetic.ball import ties_decided
from stabkit.arithmetic.evaluate import Truth, Way
from stabkit.arithmetic.limits import hull_of
from stabkit.floats import FORMATS

TIE_BITS = 4096  # what still overlaps is taken for equal: products of two doubles reach down to 2**-2148
NARROW = FORMATS["float64"]


def on_both_sides(way: Way) -> Way:
    """A way to the truth that goes on where a tie would stop it.

    The three answers to a comparison are tried, less, equal and greater. Where they lead to the same number it is the
    truth; where they differ it is a kink, whose hull holds all three.
    """

    def tried(sample: Mapping[str, Any], gradient_of: Sequence[str]) -> Truth:
        try:
            return way(sample, gradient_of)
        except Undecided:
            if flint.ctx.prec < TIE_BITS:
                raise
        truths = []
        for side in (-1, 0, 1):
            with ties_decided(side):
                truths.append(way(sample, gradient_of))
        return _merged(truths)

    return tried


def _merged(truths: Sequence[Truth]) -> Truth:
    first = truths[0]
    values = tuple(hull_of([t.values[k] for t in truths], NARROW) for k in range(len(first.values)))
    gradient = {
        n: tuple(hull_of([t.gradient[n][k] for t in truths], NARROW) for k in range(len(g)))
        for n, g in first.gradient.items()
    }
    return Truth(values, gradient, first.precision)
