"""Where a program switches from one formula to another, located to two neighbouring floats by bisection.

Along lines through everyday samples a grid of places is run at once. Where a decision of the program differs between
neighbours of the grid, both are drawn together until no float is left between them. What no decision shows, a switch
inside a kernel or in Python, is followed by the half in which more of the step is left unexplained by the slopes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stabkit.dependence import names_in
from stabkit.domain import Interval
from stabkit.program import Points, Program, count_of, rows_at
from stabkit.search.lines import COARSE, FINE, Lines, Reading, Spot, at_value_ranks
from stabkit.search.screen import in_turns
from stabkit.search.switches import Switch

MOST_LINES, LONE_LINES = 36, 6
MOST_SPOTS = 12
MOST_NUMBERS = 400_000  # of all samples of one run
MOST_BOUNDARIES, LONE_BOUNDARIES = 96, 6
MOST_STEPS = 70  # halvings of a line
PRUNED_FROM, MOST_FOLLOWED = 8, 512  # halvings after which cells without a step are dropped; cells kept
USUAL = (1e-6, 1e6)  # sizes of the number that moves, where steps are followed
SUSPICIOUS = 2.0**3  # unit roundoffs of the value that a step must leave unexplained


@dataclass(frozen=True)
class Boundary:
    """Two neighbouring floats on a line between which a program switches.

    Attributes:
        line: number of the line.
        below: place of the lower float; the other one is the next.
        switch: what it decides differently; None where nothing shows it.
    """

    line: int
    below: int
    switch: Switch | None


def lines_through(program: Program, points: Points) -> Lines:
    """Lines through samples, the first ones first, along every number that has neighbours."""
    spots = _spots(program)
    if not spots:
        return Lines(program, points, ())
    numbers = sum(x[0].numel() for x in points.values())
    most = min(MOST_LINES, max(MOST_NUMBERS // (256 * numbers), 2)) if program.together else LONE_LINES
    pairs = {_rest(points, row, spot): (row, spot) for row in reversed(range(count_of(points))) for spot in spots}
    chosen = list(reversed(pairs.values()))[: max(most, len(spots))]
    return Lines(program, rows_at(points, torch.tensor([row for row, _ in chosen])), [spot for _, spot in chosen])


def _rest(points: Points, row: int, spot: Spot) -> tuple[object, ...]:
    """A sample without the number that moves: what makes a line of its own."""
    numbers = {n: x[row].flatten().tolist() for n, x in points.items()}
    numbers[spot.argument.name][spot.element] = None
    return (spot.label, *(tuple(v) for v in numbers.values()))


def _spots(program: Program) -> list[Spot]:
    """The numbers that may move, the first of every argument first."""
    arguments = program.target.arguments
    bounds = {name for a in arguments for name in names_in(a.domain)}  # they may not pass what they bound
    moving = [a for a in arguments if isinstance(a.domain, Interval) and a.name not in bounds]
    each = [[Spot(a, k) for k in range(min(_size(a.shape), MOST_SPOTS))] for a in moving]
    turns = in_turns([[i * MOST_SPOTS + k for k in range(len(row))] for i, row in enumerate(each)])
    return [each[n // MOST_SPOTS][n % MOST_SPOTS] for n in turns][:MOST_SPOTS]


def _size(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())


@dataclass(frozen=True)
class Grid:
    """Places along lines in order, and what the program gives there; line [R], ranks [R]."""

    line: Tensor
    ranks: Tensor
    reading: Reading

    @property
    def cells(self) -> Tensor:
        """The rows [C] whose next row belongs to the same line."""
        return (self.line[1:] == self.line[:-1]).nonzero().flatten()


def grid_of(lines: Lines, gradients: bool) -> Grid:
    """All lines gone along at once."""
    effort = FINE if lines.program.together else COARSE
    ranks = [lines.grid(k, effort) for k in range(len(lines))]
    owners = torch.cat([torch.full_like(r, k) for k, r in enumerate(ranks)])
    every = torch.cat(ranks)
    return Grid(owners, every, lines.read(owners, every, gradients))


def boundaries(lines: Lines, grid: Grid, of: Switch | None = None) -> list[Boundary]:
    """Where decisions flip: of every decision a few, nearest to the samples' own places first.

    Args:
        of: the only decision that is looked at.
    """
    most = MOST_BOUNDARIES if lines.program.together else LONE_BOUNDARIES
    cells = [(s, row) for s, row in _flipping(lines, grid) if of in (None, s)][:most]
    if not cells:
        return []
    rows = torch.tensor([row for _, row in cells])
    switches = [s for s, _ in cells]
    lower = _narrowed(lines, grid, rows, switches)
    found = zip(grid.line[rows].tolist(), lower.tolist(), switches, strict=True)
    return list({(line, below): Boundary(line, below, s) for line, below, s in reversed(list(found))}.values())


def _flipping(lines: Lines, grid: Grid) -> Iterator[tuple[Switch, int]]:
    """Decisions, and rows of the grid from which to the next they flip, all decisions in turn."""
    cells = grid.cells
    far = (grid.ranks[cells] - lines.at_home[grid.line[cells]]).abs()
    kinds: dict[tuple[Switch, str, int], list[int]] = {}
    for switch, state in grid.reading.states.items():
        flips = state[cells] != state[cells + 1]
        chosen = cells[flips][far[flips].argsort(stable=True)].tolist()
        for row in chosen:
            side = hash((int(state[row]), int(state[row + 1])))
            kinds.setdefault((switch, lines.spots[int(grid.line[row])].label, side), []).append(row)
    turns = in_turns([[i * len(grid.ranks) + r for r in rows] for i, rows in enumerate(kinds.values())])
    owners = [switch for switch, _, _ in kinds]
    yield from ((owners[n // len(grid.ranks)], n % len(grid.ranks)) for n in turns)


def _narrowed(lines: Lines, grid: Grid, rows: Tensor, switches: Sequence[Switch]) -> Tensor:
    """The place below each flip, its cell halved until two floats are left."""
    line, low, high = grid.line[rows], grid.ranks[rows].clone(), grid.ranks[rows + 1].clone()
    start = torch.stack([grid.reading.states[s][r] for s, r in zip(switches, rows.tolist(), strict=True)])
    for _ in range(MOST_STEPS):
        left = (high - low > 1).nonzero().flatten()
        if not len(left):
            break
        middle = _between(low[left], high[left])
        states = lines.read(line[left], middle, gradients=False).states
        now = torch.stack([_state(states, switches[k], n) for n, k in enumerate(left.tolist())])
        same = now == start[left]
        low[left] = torch.where(same, middle, low[left])
        high[left] = torch.where(same, high[left], middle)
    return low


def _between(low: Tensor, high: Tensor) -> Tensor:
    return low + (high // 2 - low // 2).clamp(min=1)  # the sum of both may be beyond int64


def _state(states: object, switch: Switch, row: int) -> Tensor:
    found = states.get(switch)  # type: ignore[attr-defined]
    return torch.tensor(0) if found is None else found[row]


def steps(lines: Lines, grid: Grid) -> list[Boundary]:
    """Where the value makes a step at everyday numbers, shown by a decision or not: all cells are halved."""
    rows, values = grid.cells, grid.reading.values
    rows = rows[(values[rows].isfinite() & values[rows + 1].isfinite()).all(1)]
    rows = rows[_is_everyday(lines, grid.ranks[rows]) & _is_everyday(lines, grid.ranks[rows + 1])]
    line, low, high = grid.line[rows], grid.ranks[rows].clone(), grid.ranks[rows + 1].clone()
    at_low, at_high = _state_of(lines, line, grid.reading, rows), _state_of(lines, line, grid.reading, rows + 1)
    for halving in range(MOST_STEPS):
        if not bool((high - low > 1).any()):
            break
        middle = torch.where(high - low > 1, _between(low, high), low)
        found = lines.read(line, middle, decisions=False)
        at_middle = _state_of(lines, line, found, torch.arange(len(line)))
        places = [_as_number(lines, r) for r in (low, middle, high)]
        below = _unexplained(at_low, at_middle, places[1] - places[0])
        above = _unexplained(at_middle, at_high, places[2] - places[1])
        upper = (above > below) | (middle == low)
        low, high = torch.where(upper, middle, low), torch.where(upper, high, middle)
        at_low, at_high = _chosen(upper, at_middle, at_low), _chosen(upper, at_high, at_middle)
        if halving >= PRUNED_FROM:
            kept = _suspicious(lines, torch.maximum(above, below), at_low)
            line, low, high = line[kept], low[kept], high[kept]
            at_low, at_high = at_low[kept], at_high[kept]
    left = _unexplained(at_low, at_high, _as_number(lines, high) - _as_number(lines, low))
    kept = _suspicious(lines, left, at_low)
    return [Boundary(int(k), int(r), None) for k, r in zip(line[kept], low[kept], strict=True)]


def _is_everyday(lines: Lines, ranks: Tensor) -> Tensor:
    """Whether numbers are of usual size; beyond, underflow and overflow make steps of their own."""
    size = _as_number(lines, ranks).abs()
    return (size >= USUAL[0]) & (size <= USUAL[1])


def _as_number(lines: Lines, ranks: Tensor) -> Tensor:
    return at_value_ranks(ranks, lines.form).double()


def _state_of(lines: Lines, line: Tensor, reading: Reading, rows: Tensor) -> Tensor:
    """The sum of the value's components and its slope along the line, [R, 2]; no slope counts as 0."""
    value = reading.values[rows].sum(1)
    slope = torch.zeros_like(value)
    for name, g in reading.gradients.items():
        for element in range(g.shape[1]):
            own = [s.argument.name == name and s.element == element for s in lines.spots]
            mine = torch.tensor(own)[line]
            slope = torch.where(mine, g[rows, element], slope)
    return torch.stack([value, slope], 1)


def _chosen(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(mask[:, None], a, b)


def _unexplained(a: Tensor, b: Tensor, distance: Tensor) -> Tensor:
    """What of a step the mean of both slopes does not explain; 0 where nothing can be said."""
    step = b[:, 0] - a[:, 0] - (a[:, 1] + b[:, 1]) / 2 * distance
    return step.abs().nan_to_num(0.0, 0.0, 0.0)


def _suspicious(lines: Lines, left: Tensor, at: Tensor) -> Tensor:
    """The cells [K] whose unexplained step is many roundoffs of the value, the largest if there are many."""
    relative = left / (lines.form.unit_roundoff * at[:, 0].abs()).clamp(min=lines.form.smallest_subnormal)
    kept = (relative > SUSPICIOUS).nonzero().flatten()
    return kept if len(kept) <= MOST_FOLLOWED else kept[relative[kept].argsort(descending=True)[:MOST_FOLLOWED]]
