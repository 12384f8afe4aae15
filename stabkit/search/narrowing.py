"""New samples near those that turned out valid, where arguments are bound by a rule that nobody declared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from stabkit.domain import Argument
from stabkit.floats import Format, ordinals
from stabkit.program import Points, rows_at
from stabkit.search.joint import Joint
from stabkit.search.legal import moved_inside
from stabkit.search.placing import stepped
from stabkit.search.points import draw

MIXED_SHARE, SPREAD_SHARE = 0.1, 0.45  # that take arguments from another; that move along the difference of two
STEEPNESS = 4.0  # how rare large shares of a difference are, and steps of large orders of magnitude


def draw_near(
    points: Points, valid: Tensor, arguments: Sequence[Argument], form: Format, count: int, generator: Generator
) -> Points:
    """`count` legal samples near the valid ones among N; where none is valid, samples of the whole domain.

    Some take arguments from another valid sample; some move by a part of the difference of two others, so that they
    stay where numbers depend on each other; and the rest have one number moved by steps of any order of magnitude up to
    the spread of the valid ones, or up to its own size.

    Args:
        valid: [N], where the program has a value.
    """
    rows = valid.nonzero().flatten()
    if not len(rows):
        return draw(arguments, form, count, generator)
    parent, other, one, two = (rows[torch.randint(0, len(rows), (count,), generator=generator)] for _ in range(4))
    way = torch.rand(count, generator=generator)
    found, joint = rows_at(points, parent), Joint(arguments, form)
    found = _mixed(found, rows_at(points, other), way < MIXED_SHARE, generator)
    spread = (way >= MIXED_SHARE) & (way < MIXED_SHARE + SPREAD_SHARE)
    lone = way >= MIXED_SHARE + SPREAD_SHARE
    share = torch.rand(count, generator=generator, dtype=torch.float64) ** STEEPNESS
    movers = [a.name for a in arguments if joint.lattice(a) is not None]
    if movers:
        cloud = _Cloud({n: points[n] for n in movers}, rows, form)
        moved = cloud.along(found, one, two, torch.where(spread, share, 0.0))
        found = {**found, **cloud.alone({**found, **moved}, lone, generator)}
    return moved_inside(found, arguments, form)


def _mixed(points: Points, others: Points, chosen: Tensor, generator: Generator) -> Points:
    """The samples with about half of the arguments from others in the chosen rows."""
    found = {}
    for name, x in points.items():
        taken = chosen & (torch.rand(len(x), generator=generator) < 0.5)
        found[name] = torch.where(taken.reshape(-1, *(1 for _ in x.shape[1:])), others[name], x)
    return found


@dataclass(frozen=True)
class _Cloud:
    """The valid rows among many samples of the arguments that vary over floats."""

    points: Points
    rows: Tensor
    form: Format

    def along(self, start: Points, one: Tensor, two: Tensor, share: Tensor) -> Points:
        """All numbers moved by a share [count] of the way from row `one` to row `two`, counted in floats."""
        found = {}
        for name, x in self.points.items():
            ranks = ordinals(x)
            way = ranks[two].double() - ranks[one].double()
            steps = way * share.reshape(-1, *(1 for _ in x.shape[1:]))
            found[name] = self._stepped(start[name], steps)
        return found

    def alone(self, start: Points, chosen: Tensor, generator: Generator) -> Points:
        """One number of each chosen sample moved by an order of magnitude of steps that the cloud spans."""
        names = list(self.points)
        sizes = [math.prod(start[n].shape[1:]) for n in names]
        spot = torch.randint(0, sum(sizes), (len(chosen),), generator=generator)
        found, offset = {}, 0
        for name, size in zip(names, sizes, strict=True):
            ranks = ordinals(self.points[name])[self.rows].reshape(-1, size).double()
            span = (ranks.amax(0) - ranks.amin(0)).clamp(min=2.0**self.form.precision).reshape(1, size)
            u = torch.rand((len(chosen), size), generator=generator, dtype=torch.float64)
            sign = torch.randint(0, 2, u.shape, generator=generator) * 2 - 1
            steps = sign * ((span + 1) ** (u**2)).round()
            here = chosen[:, None] & (spot[:, None] == offset + torch.arange(size))
            moved = torch.where(here, steps, 0.0).reshape(start[name].shape)
            found[name] = self._stepped(start[name], moved)
            offset += size
        return found

    def _stepped(self, x: Tensor, steps: Tensor) -> Tensor:
        moved = stepped(ordinals(x), steps, self.form).to(x.dtype)
        return torch.where(steps == 0, x, moved)
