"""How far a failure extends around its witness: along each axis, and over each argument that may not matter to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from stabkit.domain import Argument, Booleans, Choice, Integers
from stabkit.finding import Extent, number
from stabkit.floats import Format, from_ordinals, nearest, ordinals, shortest
from stabkit.program import points_of
from stabkit.search.joint import Joint
from stabkit.search.lattice import Lattice
from stabkit.search.legal import are_legal
from stabkit.search.places import at, filled, places_in, replaced

Sample = dict[str, Any]

BETWEEN = 15  # points of a finer grid
ROUNDS = 3  # of grids: after powers of four two finer ones tell about three digits
FINEST = 8  # bits of the significand that an end is told to
MOST_AXES = 6
VARIED = (0.0, 1.0, -1.0, 0.3, -50.0, 10.0, 1e4)  # of which the legal ones, and the ends of the domain, must all fail
FEWEST_VARIED = 3
MOST_DISCRETE = 4


class _SpentError(Exception):
    """No more samples may be tried."""


@dataclass
class Probe:
    """What fails alike, looked up within a budget.

    Attributes:
        fails: whether a sample fails as the witness does.
        left: samples that may still be tried.
        late: whether the time is over.
    """

    fails: Callable[[Sample], bool]
    left: int
    late: Callable[[], bool] = lambda: False

    def tried(self, sample: Sample) -> bool:
        """Whether it fails.

        Raises:
            _SpentError: where nothing more may be tried.
        """
        if self.left <= 0 or self.late():
            raise _SpentError
        self.left -= 1
        return self.fails(sample)

    def until(self, samples: list[Sample]) -> list[bool]:
        """Which fail, from the first on, when all do up to some sample and none beyond: found by bisection."""
        low, high = 0, len(samples)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.tried(samples[middle]) else (low, middle)
        return [k < low for k in range(len(samples))]

    def everywhere(self, samples: list[Sample]) -> bool:
        """Whether all fail."""
        return all(self.tried(s) for s in samples)


def extents(
    sample: Sample, arguments: Sequence[Argument], form: Format, probe: Probe, rounds: int = ROUNDS
) -> tuple[list[Extent], list[str]]:
    """How far each number of a failing sample may be moved, and the arguments that do not matter at all.

    What the budget does not reach is left out.
    """
    found: list[Extent] = []
    immaterial: list[str] = []
    joint = Joint(tuple(arguments), form)
    if joint.is_dependent:
        fails = probe.fails
        probe = replace(probe, fails=lambda s: _is_legal(s, joint) and fails(s))
    try:
        for a in arguments:
            others = _varied(a, sample[a.name], form, joint.lattice(a))
            if len(others) >= FEWEST_VARIED and probe.everywhere([{**sample, a.name: v} for v in others]):
                immaterial.append(a.name)
        for a in arguments:
            lattice = joint.lattice(a)
            if a.name not in immaterial and lattice is not None:
                for place in places_in(sample[a.name])[: MOST_AXES - len(found)]:
                    found.append(_extent(sample, a.name, place, lattice, probe, rounds))
    except _SpentError:
        pass
    return found, immaterial


def _is_legal(sample: Sample, joint: Joint) -> bool:
    points = points_of(sample, tuple(joint.arguments), joint.form)
    return bool(are_legal(points, joint.arguments, joint.form).all())


def _varied(argument: Argument, value: Any, form: Format, lattice: Lattice | None) -> list[Any]:
    """Very different values of an argument, all elements of a vector alike, then different ones."""
    domain = argument.domain
    if isinstance(domain, Booleans | Choice | Integers):
        few = _discrete(domain)
        return [filled(value, v) for v in few if filled(value, v) != value]
    if lattice is None:
        return []
    numbers = [nearest(v, form) for v in VARIED if lattice.contains(nearest(v, form))]
    numbers = list(dict.fromkeys([*numbers, lattice.low, lattice.high]))
    whole = [filled(value, v) for v in numbers]
    if isinstance(value, list):
        places = places_in(value)
        mixed = value
        for k, place in enumerate(places):
            mixed = replaced(mixed, place, numbers[k % len(numbers)])
        whole.append(mixed)
    return [v for v in whole if v != value]


def _discrete(domain: Booleans | Choice | Integers) -> list[Any]:
    if isinstance(domain, Booleans):
        return [False, True]
    if isinstance(domain, Choice):
        return list(domain.values[:MOST_DISCRETE])
    steps = sorted({domain.low, domain.low + 1, (domain.low + domain.high) // 2, domain.high})
    return [k if domain.index else float(k) for k in steps if k <= domain.high]


def _extent(sample: Sample, name: str, place: tuple[int, ...], lattice: Lattice, probe: Probe, rounds: int) -> Extent:
    start = _rank(at(sample[name], place), lattice.form)
    ends = [_rank(x, lattice.form) for x in (lattice.low, lattice.high)]

    def moved(rank: int) -> Sample:
        x = from_ordinals(torch.tensor([rank]), lattice.form).double().item()
        return {**sample, name: replaced(sample[name], place, x)}

    ranks = []
    for end in ends:
        side = 1 if end > start else -1

        def holds(grid: list[int], side: int = side) -> list[bool]:
            return probe.until([moved(start + side * d) for d in grid])

        inside, _ = edge(holds, abs(end - start), rounds, 2 ** max(lattice.form.precision - FINEST, 0))
        ranks.append(start + side * inside)
    low, high = (at(moved(rank)[name], place) for rank in ranks)
    label = name + (f"[{','.join(map(str, place))}]" if place else "")
    first, last = (number(shortest(x, lattice.form)) for x in (low, high))
    return Extent(label, first, last, (low, high) == (lattice.low, lattice.high))


def _rank(x: float, form: Format) -> int:
    return int(ordinals(torch.tensor([x + 0.0], dtype=torch.float64).to(form.dtype)))


def edge(
    holds: Callable[[list[int]], list[bool]], reach: int, rounds: int = 64, finest: int = 1
) -> tuple[int, int | None]:
    """The last distance at which something goes on holding, and the next at which it is known not to.

    Args:
        holds: at which of several distances, ascending, it does; it does at 0.
        reach: the largest distance.
        rounds: of grids, each finer than the one before.
        finest: gap between the two at which to stop.

    Example:
        >>> edge(lambda grid: [d <= 1000 for d in grid], 10**6)
        (1000, 1001)
        >>> edge(lambda grid: [True for _ in grid], 50)
        (50, None)
    """
    inside, outside = 0, None
    grid = [*_powers(reach), reach] if reach > 0 else []
    while grid and rounds > 0:
        rounds -= 1
        flags = holds(grid)
        beyond = flags.index(False) if False in flags else len(grid)
        inside = grid[beyond - 1] if beyond else inside
        outside = grid[beyond] if beyond < len(grid) else outside
        gap = 0 if outside is None else outside - inside
        grid = sorted({inside + gap * k // (BETWEEN + 1) for k in range(1, BETWEEN + 1)} - {inside})
        grid = grid if gap > finest else []
    return inside, outside


def _powers(reach: int) -> Iterator[int]:
    step = 1
    while step < reach:
        yield step
        step *= 4
