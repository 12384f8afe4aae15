"""A search led by hazards: samples are moved, float by float where need be, to where operations go wrong.

Each line varies one number of one sample over a grid of its floats; the grid is laid again around the best of them,
ever finer, until its points are neighbours. All lines of all hazards share one run of the program.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Generator, Tensor

from stabkit.domain import Argument, Interval
from stabkit.exact.place import near
from stabkit.finding import Hazard, number
from stabkit.floats import Format, from_ordinals, neighbours, ordinals, shortest
from stabkit.program import Points, Program, count_of, rows_at, sample_of
from stabkit.search.hazards import Reading, Site, binades, size_from_zero, size_of, watched
from stabkit.search.joint import Joint
from stabkit.search.lattice import Lattice
from stabkit.search.legal import moved_inside
from stabkit.search.points import remoteness

GRID, LINES = 64, 64  # points of a line, and lines that share a run, with samples together
LONE_GRID, LONE_LINES = 12, 4  # one at a time
STARTS = 2  # samples from which a hazard is led: the nearest one, and a plain one
MOST_PHASES = 4  # lines of one hazard along other numbers
REACHED = 1.0  # binades
TOLD, GROWING_FAST = ("zero", "one", "equality", "a switch"), ("exp", "exp2", "expm1", "pow", "square", "sinh", "cosh")
CROWD, MIXED = 1024, 2048  # of all candidates that are kept, and mixtures of the nearest ones
LAID_AGAIN = 40  # times at most
MOST_LOOKS = 40  # runs of many samples


@dataclass(frozen=True)
class Led:
    """Where the search was led.

    Attributes:
        points: candidates, the nearest of each hazard first.
        first: how many of them are those.
        hazards: singular points, switches and overflows of the program, with the least distance seen.
        constants: of the program.
    """

    points: Points
    first: int
    hazards: Sequence[Hazard]
    constants: frozenset[float]


@dataclass(frozen=True)
class _Line:
    """One number of one sample between two ranks; `site` is what it is led towards."""

    site: Site
    base: Points
    argument: Argument
    element: int
    low: int
    high: int


@dataclass
class _Best:
    """The nearest sample of a hazard so far."""

    distance: float
    cost: float
    row: Points


@dataclass
class _Guide:
    program: Program
    deadline: float
    generator: Generator
    best: dict[Site, _Best] = field(default_factory=dict)
    constants: set[float] = field(default_factory=set)
    seen: list[Points] = field(default_factory=list)
    looks: int = 0

    @property
    def is_over(self) -> bool:
        """Whether time or runs are spent."""
        return time.monotonic() > self.deadline or (self.program.together and self.looks >= MOST_LOOKS)

    @property
    def arguments(self) -> tuple[Argument, ...]:
        return self.program.target.arguments

    @property
    def form(self) -> Format:
        return self.program.form

    @property
    def varied(self) -> list[tuple[Argument, int]]:
        """The numbers that lines may vary."""
        return [(a, k) for a in self.arguments if a.name in self.lattices for k in range(math.prod(a.shape))]

    @cached_property
    def lattices(self) -> dict[str, Lattice]:
        """The floats that arguments may be, of those that are floats."""
        joint = Joint(self.arguments, self.form)
        found = {a.name: joint.lattice(a) for a in self.arguments}
        return {name: lattice for name, lattice in found.items() if lattice is not None and not lattice.is_empty}

    def look(self, points: Points) -> Reading:
        """Distances at these samples, of which the nearest are remembered."""
        reading = watched(self.program, points)
        self.looks += 1
        self.constants |= reading.constants
        cost = remoteness(points, self.arguments) + _length(points, self.arguments)
        for site, distance in reading.distances.items():
            least = float(distance.min())
            if math.isinf(least):
                continue
            row = int(torch.where(distance <= max(least, 0.0), cost, math.inf).argmin())
            known = self.best.get(site)
            if known is None or (least, float(cost[row])) < (known.distance, known.cost):
                self.best[site] = _Best(least, float(cost[row]), rows_at(points, torch.tensor([row])))
        return reading


def lead(program: Program, points: Points, deadline: float, generator: Generator) -> Led:
    """Candidates led from some samples towards every hazard of the program.

    Args:
        points: where to start from.
        deadline: on the monotonic clock.
    """
    guide = _Guide(program, deadline, generator)
    reading = guide.look(points)
    moving = [s for s, d in reading.distances.items() if bool(d.isfinite().any()) and not bool((d == d[0]).all())]
    plain = _plainest(points, program.target.arguments)
    for phase in range(MOST_PHASES if guide.varied else 0):
        open_sites = [s for s in moving if phase == 0 or guide.best[s].distance > REACHED]
        for lines in _in_parts(_lines(guide, open_sites, plain, phase), LINES if program.together else LONE_LINES):
            if guide.is_over:
                break
            _follow(guide, lines)
    return _led(guide, moving)


def _plainest(points: Points, arguments: Sequence[Argument]) -> Points:
    cost = remoteness(points, arguments) + _length(points, arguments)
    return rows_at(points, cost.argmin().reshape(1))


def _length(points: Points, arguments: Sequence[Argument]) -> Tensor:
    """How far the numbers [N] of a sample are from 1 in size, as a tie-breaker."""
    cost = torch.zeros(count_of(points), dtype=torch.float64)
    for a in arguments:
        if isinstance(a.domain, Interval):
            size = points[a.name].double().abs().reshape(len(cost), -1)
            cost += binades(size).abs().mean(1) * 1e-4
    return cost


def _in_parts(lines: Sequence[_Line], most: int) -> Iterator[Sequence[_Line]]:
    for start in range(0, len(lines), most):
        yield lines[start : start + most]


def _lines(guide: _Guide, sites: Sequence[Site], plain: Points, phase: int) -> list[_Line]:
    """Along one number a hazard from where it is nearest, in the first phase from a plain sample too."""
    spots = guide.varied
    lines = []
    for index, site in enumerate(sites):
        starts = [guide.best[site].row, plain][: STARTS if phase < len(spots) else 1]
        for k, base in enumerate(starts):
            argument, element = spots[(phase + k * (index + 1)) % len(spots)]
            lattice = guide.lattices[argument.name]
            low, high = ordinals(torch.tensor([lattice.low, lattice.high], dtype=guide.form.dtype)).tolist()
            lines.append(_Line(site, base, argument, element, low, high))
    return lines


def _follow(guide: _Guide, lines: Sequence[_Line]) -> None:
    """Lays grids on lines, ever finer, until every one has come down to neighbouring floats."""
    size = GRID if guide.program.together else LONE_GRID
    left = list(lines)
    for _ in range(LAID_AGAIN):
        if not left or guide.is_over:
            return
        grids = [_grid(line, size) for line in left]
        points = moved_inside(_candidates(guide, left, grids), guide.arguments, guide.form)
        reading = guide.look(points)
        guide.seen.append(points)
        pairs = enumerate(zip(left, grids, strict=True))
        finer = [_narrowed(guide, line, grid, reading, size * k) for k, (line, grid) in pairs]
        left = [line for line in finer if line.high - line.low > 2]


def _grid(line: _Line, size: int) -> list[int]:
    """So many ranks from end to end; neighbouring ones repeat where there are fewer."""
    span = line.high - line.low
    return [line.low + span * k // (size - 1) for k in range(size)]


def _candidates(guide: _Guide, lines: Sequence[_Line], grids: Sequence[Sequence[int]]) -> Points:
    size = len(grids[0])
    points = {n: torch.cat([line.base[n] for line in lines]).repeat_interleave(size, 0) for n in lines[0].base}
    for k, (line, grid) in enumerate(zip(lines, grids, strict=True)):
        block = points[line.argument.name][size * k : size * (k + 1)].view(size, -1)
        block[:, line.element] = from_ordinals(torch.tensor(grid), guide.form)
    return points


def _narrowed(guide: _Guide, line: _Line, grid: Sequence[int], reading: Reading, start: int) -> _Line:
    """The line between the neighbours of its best point; of equally good ones the plainest counts."""
    stop = start + len(grid)
    distance = reading.distances.get(line.site)
    if distance is None or bool(distance[start:stop].isinf().all()):
        return replace(line, low=0, high=0)
    here = distance[start:stop]
    value = binades(from_ordinals(torch.tensor(grid), guide.form).double()).abs()
    k = int(torch.where(here <= here.min(), value, math.inf).argmin())
    return replace(line, low=grid[max(k - 1, 0)], high=grid[min(k + 1, len(grid) - 1)])


def _led(guide: _Guide, moving: Sequence[Site]) -> Led:
    """The nearest samples of all hazards with their neighbours, then some of all the others."""
    nearest = [guide.best[s].row for s in moving]
    around = [points for row in nearest for points in _around(row, guide)]
    parts = [*nearest, *around, *_mixed([*nearest, *around], guide), *_some(guide.seen, CROWD, guide.generator)]
    names = [a.name for a in guide.arguments]
    points = {n: torch.cat([p[n] for p in parts]) for n in names} if parts else {}
    hazards = [_hazard(s, guide.best[s], guide) for s in moving if _is_told(s)]
    return Led(points, len(nearest), hazards, frozenset(guide.constants))


def _around(row: Points, guide: _Guide) -> list[Points]:
    """A sample with every number moved by one float, up and down."""
    moved = [{n: neighbours(x, side) if n in guide.lattices else x for n, x in row.items()} for side in (-1, 1)]
    return [moved_inside(points, guide.arguments, guide.form) for points in moved]


def _mixed(rows: Sequence[Points], guide: _Guide) -> list[Points]:
    """Samples that take each argument from one of several: where two operations go wrong together."""
    if len(rows) < 2 or len(guide.arguments) < 2:
        return []
    mixed = {}
    for a in guide.arguments:
        chosen = torch.randint(0, len(rows), (MIXED,), generator=guide.generator)
        mixed[a.name] = torch.cat([row[a.name] for row in rows])[chosen]
    return [moved_inside(mixed, guide.arguments, guide.form)]


def _some(seen: Sequence[Points], most: int, generator: Generator) -> list[Points]:
    if not seen:
        return []
    every = {n: torch.cat([p[n] for p in seen]) for n in seen[0]}
    return [rows_at(every, torch.randperm(count_of(every), generator=generator)[:most])]


def _is_told(site: Site) -> bool:
    """Whether readers want to know that a hazard was not approached: a sum of like signs never cancels."""
    return site.towards in TOLD or (site.towards == "overflow" and site.name in GROWING_FAST)


def _in_plain_units(site: Site, distance: float, form: Format) -> float:
    """A distance as readers want it: the size of an operand, a gap, a number of floats, else binades."""
    if site.towards == "zero":
        return size_from_zero(distance, form)
    if site.towards == "one":
        return size_of(distance - form.precision)
    return size_of(distance) - 1 if site.towards == "equality" else distance


def _hazard(site: Site, best: _Best, guide: _Guide) -> Hazard:
    file, line = site.place or ("", 0)
    sample = {n: shortest(v, guide.form) if isinstance(v, float) else v for n, v in sample_of(best.row, 0).items()}
    return Hazard(
        dtype=guide.form.name,
        file=near(file) if file else "",
        line=line,
        operation=site.label,
        towards=site.towards,
        nearest=number(float(f"{_in_plain_units(site, best.distance, guide.form):.4g}")),
        approached=best.distance <= REACHED,
        at=sample,
    )
