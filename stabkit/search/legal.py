"""Keeping moved samples inside their domains."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from stabkit.domain import Argument, Interval
from stabkit.floats import Format
from stabkit.program import Points, dtype_of
from stabkit.search.lattice import Lattice


def moved_inside(points: Points, arguments: Sequence[Argument], form: Format) -> Points:
    """The samples with every number that left its domain moved to the nearest legal float; NaN to the smallest."""
    inside = dict(points)
    for a in arguments:
        if isinstance(a.domain, Interval):
            lattice, x = Lattice(a.domain, form, a.name), points[a.name].double()
            legal = torch.isin(x, torch.tensor(lattice.legal_infinities, dtype=torch.float64))
            inside[a.name] = torch.where(legal, x, lattice.clamp(x)).to(dtype_of(a, form))
    return inside
