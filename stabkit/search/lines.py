"""Samples that are alike but for one number each, and what a program gives and decides along them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from stabkit.domain import Argument, Interval
from stabkit.floats import Format, from_ordinals, ordinals
from stabkit.program import Outcome, Points, Program, count_of, rows_at, rows_of
from stabkit.search.lattice import Lattice
from stabkit.search.switches import Switch, Switches

ABSENT = -(2**62) + 1  # state of a decision that a run did not come to
FINE, COARSE = (65, 97, 8), (9, 17, 1)  # ordinals, linear steps, values a decade
DECADES = range(-6, 7)
EVERYDAY = 20.0


def value_ranks(x: Tensor) -> Tensor:
    """The int64 places [...] of numbers in order, both zeros being one number."""
    ranks = ordinals(x)
    return torch.where(ranks < 0, ranks + 1, ranks)


def at_value_ranks(ranks: Tensor, form: Format) -> Tensor:
    """The floats [...] at those places; zero is +0."""
    return from_ordinals(torch.where(ranks < 0, ranks - 1, ranks), form)


@dataclass(frozen=True)
class Spot:
    """One number of a sample."""

    argument: Argument
    element: int = 0

    @property
    def label(self) -> str:
        """`x`, or `x[1]`."""
        places, flat = [], self.element
        for size in reversed(self.argument.shape):
            flat, place = divmod(flat, size)
            places.append(str(place))
        return self.argument.name + (f"[{','.join(reversed(places))}]" if places else "")


@dataclass(frozen=True)
class Reading:
    """What a program gave for R samples.

    Attributes:
        values: [R, M] doubles.
        gradients: by argument, [R, elements] doubles.
        states: what it decided, [R] each.
    """

    values: Tensor
    gradients: Points
    states: Mapping[Switch, Tensor]

    @cached_property
    def numbers(self) -> Tensor:
        """Values and then slopes, in the order of the arguments, [R, N]."""
        return torch.cat([self.values, *self.gradients.values()], 1)


def read(program: Program, points: Points, gradients: bool = True, decisions: bool = True) -> Reading:
    """Runs samples and records what is asked for; the decisions of programs that take samples together or alone."""
    outcome = program.run(points, gradients) if gradients or not decisions else None
    states: Mapping[Switch, Tensor] = {}
    if decisions:
        watched, states = _watched(program, points)
        outcome = outcome or watched
    assert outcome is not None  # one of both was asked for
    count = len(outcome.values)
    slopes = {n: g.double().reshape(count, -1) for n, g in outcome.gradients.items()}
    return Reading(outcome.values.double(), slopes, states)


def _watched(program: Program, points: Points) -> tuple[Outcome, Mapping[Switch, Tensor]]:
    """A run without gradients, and its decisions."""
    count = count_of(points)
    if program.together:
        with Switches(count) as switches:
            outcome = program.run(points, gradients=False)
        return outcome, switches.states
    states: dict[Switch, Tensor] = {}
    rows = []
    for row in range(count):
        with Switches() as switches:
            rows.append(program.run(rows_of(points, row, row + 1), gradients=False))
        for switch, state in switches.states.items():
            states.setdefault(switch, torch.full((count,), ABSENT))[row] = state[0]
    width = max(r.values.shape[1] for r in rows)
    values = torch.cat([r.values if r.values.shape[1] == width else r.values.expand(1, width) for r in rows])
    return Outcome(values, {}, torch.cat([r.raised for r in rows]), None), states


@dataclass(frozen=True)
class Lines:
    """Samples, and which number of each moves.

    Attributes:
        points: one sample a line.
        spots: the number that moves along each.
    """

    program: Program
    points: Points
    spots: Sequence[Spot]

    @property
    def form(self) -> Format:
        """The audited format."""
        return self.program.form

    def __len__(self) -> int:
        return len(self.spots)

    def lattice(self, line: int) -> Lattice:
        """The floats that the number of a line may be."""
        argument = self.spots[line].argument
        assert isinstance(argument.domain, Interval)  # others have no neighbours
        return Lattice(argument.domain, self.form, argument.name)

    @cached_property
    def ends(self) -> Tensor:
        """The first and last places of each line, [L, 2]."""
        bounds = [(lattice.low, lattice.high) for lattice in map(self.lattice, range(len(self)))]
        return value_ranks(torch.tensor(bounds, dtype=torch.float64).to(self.form.dtype))

    @cached_property
    def at_home(self) -> Tensor:
        """Where the samples themselves lie on their lines, [L]."""
        own = [self.points[s.argument.name][k].reshape(-1)[s.element] for k, s in enumerate(self.spots)]
        return value_ranks(torch.stack(own))

    def samples(self, lines: Tensor, ranks: Tensor) -> Points:
        """The samples [R] of these lines with their numbers moved to those places."""
        points = {n: x.clone() for n, x in rows_at(self.points, lines).items()}
        moved = at_value_ranks(ranks, self.form)
        owners = torch.tensor([[list(points).index(s.argument.name), s.element] for s in self.spots])[lines]
        for index, name in enumerate(points):
            rows = (owners[:, 0] == index).nonzero().flatten()
            if len(rows):
                points[name].reshape(len(ranks), -1)[rows, owners[rows, 1]] = moved[rows]
        return points

    def read(self, lines: Tensor, ranks: Tensor, gradients: bool = True, decisions: bool = True) -> Reading:
        """What the program gives and decides there."""
        return read(self.program, self.samples(lines, ranks), gradients, decisions)

    def grid(self, line: int, effort: tuple[int, int, int]) -> Tensor:
        """Places all along one line, ascending: even in ordinals, even in value, everyday sizes, and its own."""
        lattice, (by_rank, linear, decade) = self.lattice(line), effort
        low, high = (int(r) for r in self.ends[line])
        span = torch.linspace(0, 1, by_rank, dtype=torch.float64)
        spread = (low + span * float(high - low)).round().to(torch.int64).clamp(low, high)
        first, last = max(lattice.low, -EVERYDAY), min(lattice.high, EVERYDAY)
        sizes = 10.0 ** torch.linspace(DECADES[0], DECADES[-1], decade * (len(DECADES) - 1) + 1, dtype=torch.float64)
        numbers = [sizes, -sizes, lattice.simple]
        numbers += [torch.linspace(first, last, linear, dtype=torch.float64)] if first < last else []
        if abs(lattice.low) < lattice.form.largest and abs(lattice.high) < lattice.form.largest:
            numbers.append(torch.linspace(lattice.low, lattice.high, linear, dtype=torch.float64))
        inside = lattice.clamp(torch.cat(numbers)).to(self.form.dtype)
        own = self.at_home[line].clamp(low, high).reshape(1)
        places: Tensor = torch.unique(torch.cat([spread, value_ranks(inside), own]))
        return places
