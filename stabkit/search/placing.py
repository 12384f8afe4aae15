"""Numbers between bounds that differ from sample to sample, as other arguments bound them."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from stabkit.dependence import is_discrete
from stabkit.domain import Argument, Choice, Point
from stabkit.floats import Format, from_ordinals, ordinals
from stabkit.search.joint import Blocks, Joint

LINEAR_SHARE, EDGE_SHARE = 0.08, 0.2


def placed(
    argument: Argument, free: Tensor, joint: Joint, settled: Blocks, lone: Tensor, generator: Generator
) -> Tensor:
    """Numbers [N, elements] between the bounds of their rows: those drawn freely where they lie there, else others.

    Some lie at a bound or next to it, so that bounds are nearly equal where one bounds the other; the others anywhere
    between, or past the bound by their own size. In `lone` rows they stay as plain as they can.
    """
    if isinstance(argument.domain, (Choice, Point)) or not joint.is_bounded(argument, settled):
        return joint.inside(argument, free, settled)
    low, high = (b.expand(free.shape) for b in joint.bounds(argument, settled))
    if is_discrete(argument.domain):
        outside = (free < low) | (free > high)
        found = torch.where(outside, _whole(low, high, generator), free)
        return joint.inside(argument, found, settled)
    plain, way = joint.past(argument, free, settled), torch.rand(free.shape, generator=generator)
    spread = torch.where(way < 0.5, plain, _by_ordinals(low, high, joint.form, generator))
    found = torch.where(plain == free, free, spread)
    found = torch.where(way < LINEAR_SHARE, _linearly(low, high, generator), found)
    found = torch.where(way > 1 - EDGE_SHARE, _at_edges(low, high, joint.form, generator), found)
    return joint.inside(argument, torch.where(lone[:, None], plain, found), settled)


def _by_ordinals(low: Tensor, high: Tensor, form: Format, generator: Generator) -> Tensor:
    """Uniformly many floats above `low`, below `high`."""
    first, span = _ranks(low, high, form)
    return stepped(first, _random(low, generator) * span, form)


def _at_edges(low: Tensor, high: Tensor, form: Format, generator: Generator) -> Tensor:
    """A bound, its neighbours, and floats away from it by any order of magnitude of steps."""
    (first, span), (last, _) = _ranks(low, high, form), _ranks(high, low, form)
    steps = (span + 1) ** _random(low, generator).square() - 1
    upwards = torch.rand(low.shape, generator=generator) < 0.5
    return torch.where(upwards, stepped(first, steps, form), stepped(last, -steps, form))


def _ranks(start: Tensor, end: Tensor, form: Format) -> tuple[Tensor, Tensor]:
    """The ranks to start from, and how many floats away the end is."""
    first, last = (ordinals(b.to(form.dtype)) for b in (start, end))
    return first, (last.double() - first.double()).clamp(min=0)


def stepped(ranks: Tensor, steps: Tensor, form: Format) -> Tensor:
    """The floats, as doubles, that many steps (doubles [...]) from others at int64 ranks [...], infinities at most."""
    top = float(ordinals(torch.tensor([torch.inf], dtype=form.dtype)))
    steps = torch.minimum(torch.maximum(steps, -top - 1 - ranks.double()), top - ranks.double())
    half = (steps / 2).trunc().to(torch.int64)  # the steps themselves may exceed an int64
    rest = (steps - 2 * half.double()).round().to(torch.int64)
    moved = 2 * (ranks // 2 + half) + ranks % 2 + rest
    return from_ordinals(moved.clamp(-int(top) - 1, int(top)), form).double()


def _linearly(low: Tensor, high: Tensor, generator: Generator) -> Tensor:
    u = _random(low, generator)
    return low * (1 - u) + high * u


def _whole(low: Tensor, high: Tensor, generator: Generator) -> Tensor:
    return low + (_random(low, generator) * (high - low + 1)).floor()


def _random(like: Tensor, generator: Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, dtype=torch.float64)
