"""Samples of all arguments at once: everyday ones, extreme ones, and ones whose arguments nearly agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from stabkit.domain import Argument, Booleans, Choice, Integers, Interval, Point, Simplex
from stabkit.floats import Format
from stabkit.program import Points, Program, dtype_of
from stabkit.search.lattice import STRATA, Lattice

# How often each stratum is drawn from in a row of each profile: ordinal, linear, everyday, landmark, anchor, simple.
PROFILES = {
    "mixed": (3.0, 3.0, 3.0, 1.5, 2.0, 2.0),
    "everyday": (0.0, 2.0, 3.0, 0.0, 0.0, 1.0),
    "lattice": (1.0, 0.0, 0.0, 0.5, 0.0, 0.0),
    "lone": (0.0, 0.0, 0.0, 0.0, 0.0, 1.0),  # simple numbers; one element is then drawn from `mixed`
}
SHARES = {"mixed": 0.35, "everyday": 0.25, "lattice": 0.15, "lone": 0.25}
COUPLED_SHARE = 0.25
MOST_EVERYDAY = 20.0  # of a probe
FARTHEST = 2000.0  # binades, of an infinity


def draw(arguments: Sequence[Argument], form: Format, count: int, generator: Generator) -> Points:
    """`count` samples inside the domains.

    Raises:
        DomainError: where a domain holds no number of the format.
    """
    profile = torch.multinomial(torch.tensor(list(SHARES.values())), count, replacement=True, generator=generator)
    blocks = {a.name: _block(a, form, profile, generator) for a in arguments}
    _vary_one(arguments, blocks, form, profile == list(PROFILES).index("lone"), generator)
    _couple(arguments, blocks, form, generator)
    return {a.name: blocks[a.name].reshape(count, *a.shape).to(dtype_of(a, form)) for a in arguments}


def _block(argument: Argument, form: Format, profile: Tensor, generator: Generator) -> Tensor:
    """Doubles [count, elements] of one argument."""
    shape = (len(profile), math.prod(argument.shape))
    domain = argument.domain
    if isinstance(domain, Interval):
        return _by_profile(Lattice(domain, form, argument.name), profile, shape[1], generator)
    if isinstance(domain, Point):
        return torch.tensor(domain.value, dtype=torch.float64).reshape(1, -1).expand(shape).clone()
    if isinstance(domain, Simplex):
        return _simplex(shape[0], argument.shape, generator)
    values = _values(domain, form)
    return values[torch.randint(0, len(values), shape, generator=generator)]


def _values(domain: Integers | Booleans | Choice, form: Format) -> Tensor:
    if isinstance(domain, Choice):
        return torch.tensor(domain.values, dtype=torch.float64)
    if isinstance(domain, Booleans):
        return torch.tensor([0.0, 1.0], dtype=torch.float64)
    span = domain.high - domain.low
    steps = torch.arange(span + 1) if span < 4096 else torch.linspace(0, span, 4096).round()
    values = domain.low + steps.double()
    return values if domain.index else values[values.to(form.dtype).double() == values]


def _by_profile(lattice: Lattice, profile: Tensor, elements: int, generator: Generator) -> Tensor:
    weights = torch.tensor(list(PROFILES.values()))[profile]
    stratum = torch.multinomial(weights, elements, replacement=True, generator=generator).flatten()
    columns = torch.stack([lattice.draw(s, len(stratum), generator) for s in STRATA])
    return columns[stratum, torch.arange(len(stratum))].reshape(len(profile), elements)


def _simplex(count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Probability vectors from flat to nearly one-hot, the vertices included."""
    sharpness = 10 ** (torch.rand((count, *(1 for _ in shape)), generator=generator, dtype=torch.float64) * 3 - 1)
    logits = torch.randn((count, *shape), generator=generator, dtype=torch.float64) * sharpness
    flat = torch.softmax(logits, -1)
    vertex = torch.nn.functional.one_hot(logits.argmax(-1), shape[-1]).double()
    choose = torch.rand((count, *(1 for _ in shape)), generator=generator) < 0.05
    return torch.where(choose, vertex, flat).reshape(count, -1)


def _vary_one(
    arguments: Sequence[Argument], blocks: dict[str, Tensor], form: Format, lone: Tensor, generator: Generator
) -> None:
    """In rows of simple numbers, one element is drawn from every stratum."""
    spots = [(a, j) for a in arguments if isinstance(a.domain, Interval) for j in range(blocks[a.name].shape[1])]
    if not spots:
        return
    chosen = torch.randint(0, len(spots), (len(lone),), generator=generator)
    mixed = torch.zeros(len(lone), dtype=torch.int64)
    for index, (a, j) in enumerate(spots):
        fresh = _by_profile(Lattice(a.domain, form, a.name), mixed, 1, generator)[:, 0]  # type: ignore[arg-type]
        blocks[a.name][:, j] = torch.where(lone & (chosen == index), fresh, blocks[a.name][:, j])


def _couple(arguments: Sequence[Argument], blocks: dict[str, Tensor], form: Format, generator: Generator) -> None:
    """In some rows pairs of arguments, or elements of one vector, are equal, opposite, or nearly so."""
    intervals = [a for a in arguments if isinstance(a.domain, Interval)]
    lattices = {a.name: Lattice(a.domain, form, a.name) for a in intervals}  # type: ignore[arg-type]
    pairs = [(a, b) for i, a in enumerate(intervals) for b in intervals[i + 1 :] if a.shape == b.shape]
    for a, b in pairs:
        rows = torch.rand(len(blocks[a.name]), generator=generator) < COUPLED_SHARE
        near = lattices[b.name].clamp(_near(blocks[a.name], form, generator))
        blocks[b.name] = torch.where(rows[:, None], near, blocks[b.name])
    for a in intervals:
        block = blocks[a.name]
        if block.shape[1] > 1:
            rows = torch.rand(block.shape, generator=generator) < COUPLED_SHARE / 2
            near = lattices[a.name].clamp(_near(block.roll(1, 1), form, generator))
            blocks[a.name] = torch.where(rows, near, block)


def _near(x: Tensor, form: Format, generator: Generator) -> Tensor:
    """x itself, x moved by a relative distance of any magnitude down to an ulp, or its negative."""
    digits = form.precision * 0.302
    distance = 10 ** -(torch.rand(x.shape, generator=generator, dtype=torch.float64) * digits)
    signed = distance * (torch.randint(0, 2, x.shape, generator=generator) * 2 - 1)
    choice = torch.rand(x.shape, generator=generator)
    moved = torch.where(choice < 0.6, x * (1 + signed), x + signed)
    return torch.where(choice < 0.25, x, torch.where(choice < 0.32, -x, moved))


def probe_points(program: Program, count: int) -> Points:
    """`count` samples of simple everyday numbers, both signs and small ones among them; the same ones every time."""
    generator = Generator().manual_seed(0)
    arguments, form = program.target.arguments, program.form
    blocks = {a.name: _probe_block(a, form, count, generator) for a in arguments}
    return {a.name: blocks[a.name].reshape(count, *a.shape).to(dtype_of(a, form)) for a in arguments}


def _probe_block(argument: Argument, form: Format, count: int, generator: Generator) -> Tensor:
    if not isinstance(argument.domain, Interval):
        return _block(argument, form, torch.zeros(count, dtype=torch.int64), generator)
    lattice = Lattice(argument.domain, form, argument.name)
    if lattice.is_empty:
        lattice.draw("simple", 1, generator)  # says what is wrong with the domain
    values = (
        lattice.simple[lattice.simple.abs() <= MOST_EVERYDAY]
        if bool((lattice.simple.abs() <= MOST_EVERYDAY).any())
        else lattice.simple
    )
    size = count * math.prod(argument.shape)
    rounds = [values[torch.randperm(len(values), generator=generator)] for _ in range(size // len(values) + 1)]
    return torch.cat(rounds)[:size].reshape(count, -1)


def extremeness(sample: dict[str, object], arguments: Sequence[Argument]) -> float:
    """The `remoteness` of one sample."""
    points = {a.name: torch.tensor([sample[a.name]], dtype=torch.float64) for a in arguments}
    return float(remoteness(points, arguments)[0])


def remoteness(points: Points, arguments: Sequence[Argument]) -> Tensor:
    """Binades by which samples [N] lie outside the everyday range: |x| <= 20, or 1e-6 to 1e6 for positive domains."""
    worst = torch.zeros(len(next(iter(points.values()))), dtype=torch.float64)
    for a in arguments:
        if isinstance(a.domain, Interval):
            size = points[a.name].double().abs().reshape(len(worst), -1)
            most = 1e6 if a.domain.low >= 0 else 20.0
            binades = torch.log2(size)  # not of a quotient, which could overflow
            above = torch.where(size > most, binades - math.log2(most), 0.0)
            below = torch.where((size > 0) & (size < 1e-6), math.log2(1e-6) - binades, 0.0)
            worst = torch.maximum(worst, torch.maximum(above, below).amax(1))
    return worst.clamp(0, FARTHEST)
