"""Several arguments on one dtype's lattice: between which floats each may lie, given those settled before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from stabkit.dependence import Relations, hulls, is_discrete, names_in, relations, sequence
from stabkit.domain import Argument, Between, Choice, Interval, Point, Sorted, is_index
from stabkit.errors import DomainError
from stabkit.floats import Format, neighbours
from stabkit.search.lattice import Lattice

Blocks = Mapping[str, Tensor]  # doubles [N, elements] by argument name


@dataclass(frozen=True)
class Joint:
    """The arguments of a target, whose domains may name one another, in one format."""

    arguments: Sequence[Argument]
    form: Format

    @cached_property
    def is_dependent(self) -> bool:
        """Whether a number that is legal by itself may be illegal beside others."""
        return any(names_in(a.domain) or isinstance(a.domain, Sorted) for a in self.arguments)

    @cached_property
    def sequence(self) -> list[Argument]:
        """The order in which numbers are settled."""
        return sequence(self.arguments)

    @cached_property
    def _relations(self) -> Relations:
        return relations(self.arguments)

    @cached_property
    def _hulls(self) -> dict[str, Interval]:
        return hulls(self.arguments)

    @cached_property
    def ends(self) -> dict[str, tuple[float, float]]:
        """The least and the largest value that leaves the others a value, legal infinities included, by name.

        Raises:
            DomainError: where an argument that bounds others or is bounded by them has none.
        """
        plain = {}
        for name, hull in self._hulls.items():
            lattice = Lattice(hull, self.form, name)
            infinite = lattice.legal_infinities
            low = -math.inf if -math.inf in infinite else lattice.low
            plain[name] = low, math.inf if math.inf in infinite else lattice.high
        found = dict(plain)
        for (below, above), steps in self._relations.items():
            low = max(found[above][0], self._stepped(plain[below][0], steps))
            found[above] = low, found[above][1]
            found[below] = found[below][0], min(found[below][1], self._stepped(plain[above][1], -steps))
        for name in dict.fromkeys(itertools.chain.from_iterable(self._relations)):
            if found[name][0] > found[name][1]:
                domain = next(a.domain for a in self.arguments if a.name == name)
                rule = f"is left no {self.form.name} number by what it is bounded by or bounds"
                raise DomainError(f"domain {domain} of {name}", rule, "widen one of them")
        return found

    def _stepped(self, value: float, steps: int) -> float:
        return neighbours(torch.tensor(value, dtype=self.form.dtype), steps).item() if steps else value

    def lattice(self, argument: Argument) -> Lattice | None:
        """What floats an argument can be, whatever the others are; None where it is not one of a range of floats."""
        if not isinstance(argument.domain, (Interval, Between, Sorted)) or is_discrete(argument.domain):
            return None
        hull, name = self._hulls[argument.name], argument.name
        if not any(name in pair for pair in self._relations):
            return Lattice(hull, self.form, name)
        low, high = self.ends[name]
        # an end without a number stays one: strata differ there, and what lies a few floats too far is moved inside
        low, low_closed = (hull.low, hull.low_closed) if math.isinf(hull.low) else (low, True)
        high, high_closed = (hull.high, hull.high_closed) if math.isinf(hull.high) else (high, True)
        return Lattice(Interval(low, high, low_closed, high_closed), self.form, name)

    def is_bounded(self, argument: Argument, settled: Blocks) -> bool:
        """Whether what is settled bounds an argument, by its own domain or by those of others."""
        pairs = [pair for pair in self._relations if argument.name in pair]
        return any(low in settled or high in settled for low, high in pairs)

    def bounds(self, argument: Argument, settled: Blocks) -> tuple[Tensor, Tensor]:
        """The least and the largest legal value of each element [N or 1, elements or 1], given what is settled."""
        size = math.prod(argument.shape)
        low, high = (torch.tensor([[end]], dtype=torch.float64) for end in self.ends[argument.name])
        for (below, above), steps in self._relations.items():
            if above == argument.name and below in settled:
                low = torch.maximum(low, self._beyond(facing(settled[below], size, largest=True), steps, 1))
            if below == argument.name and above in settled:
                high = torch.minimum(high, self._beyond(facing(settled[above], size, largest=False), steps, -1))
        return low, high

    def _beyond(self, bound: Tensor, steps: int, direction: int) -> Tensor:
        """The float so many steps from a bound, itself rounded to that side."""
        rounded = bound.to(self.form.dtype)
        short = (rounded.double() - bound) * direction < 0
        rounded = torch.where(short, neighbours(rounded, direction), rounded)
        return (neighbours(rounded, direction * steps) if steps else rounded).double()

    def inside(self, argument: Argument, block: Tensor, settled: Blocks) -> Tensor:
        """Numbers [N, elements] of one argument moved to the nearest legal ones, given what is settled."""
        domain, name = argument.domain, argument.name
        related = any(name in pair for pair in self._relations)
        if is_discrete(domain) and related:
            return self._discrete(argument, block, *self.bounds(argument, settled))
        if not isinstance(domain, (Interval, Between, Sorted)):
            return block
        if not related:
            lattice = Lattice(self._hulls[name], self.form, name)
            legal = torch.isin(block, torch.tensor(lattice.legal_infinities, dtype=torch.float64))
            moved = torch.where(legal, block, lattice.clamp(block))
        else:
            low, high = self.bounds(argument, settled)
            finite = self.form.largest
            rounded = torch.where(block.isinf(), block, block.to(self.form.dtype).double().clamp(-finite, finite))
            moved = torch.minimum(torch.maximum(rounded.where(~block.isnan(), low.clamp(min=-finite)), low), high)
        if isinstance(domain, Sorted):
            moved = moved.reshape(len(moved), *argument.shape).sort(-1).values.reshape(moved.shape)
        return moved

    def _discrete(self, argument: Argument, block: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The nearest value inside: of a few, or a whole number that the format holds."""
        if isinstance(argument.domain, Choice):
            values = torch.tensor(argument.domain.values, dtype=torch.float64)
            distance = (values - block[..., None]).abs()
            outside = (values < low[..., None]) | (values > high[..., None])
            return values[distance.masked_fill(outside, math.inf).argmin(-1)]
        low, high, whole = low.ceil(), high.floor(), block.round()
        if not is_index(argument.domain):
            low, high = self._beyond(low, 0, 1), self._beyond(high, 0, -1)
            whole = whole.to(self.form.dtype).double()
        return torch.minimum(torch.maximum(whole.where(~whole.isnan(), low), low), high)

    def settled(self, blocks: Blocks) -> dict[str, Tensor]:
        """All numbers moved to the nearest legal ones, one argument after the other."""
        found: dict[str, Tensor] = {}
        for a in self.sequence:
            found[a.name] = self.inside(a, blocks[a.name], found)
        return found

    def spread(self, blocks: Blocks, first: str | None = None) -> dict[str, Tensor]:
        """All numbers moved inside, those that others have crossed well past them; `first` gives way to none."""
        found: dict[str, Tensor] = {}
        for a in sorted(self.sequence, key=lambda a: (not isinstance(a.domain, Point), a.name != first)):
            found[a.name] = self.inside(a, self.past(a, blocks[a.name], found), found)
        return found

    def past(self, argument: Argument, block: Tensor, settled: Blocks) -> Tensor:
        """Numbers that left the bounds by others, moved past them by as much as either is large, or halfway between."""
        if is_discrete(argument.domain) or not self.is_bounded(argument, settled):
            return block
        low, high = self.bounds(argument, settled)
        size = block.abs().clamp(min=0.5)
        above, below = low + torch.maximum(size, low.abs()), high - torch.maximum(size, high.abs())
        moved = torch.where(block < low, above, torch.where(block > high, below, block))
        return torch.where((moved < low) | (moved > high), low / 2 + high / 2, moved)


def facing(bound: Tensor, size: int, largest: bool) -> Tensor:
    """A bound [N, elements] beside an argument with `size` elements: its worst where one number faces many."""
    if bound.shape[1] in (1, size):
        return bound
    return bound.amax(1, keepdim=True) if largest else bound.amin(1, keepdim=True)
