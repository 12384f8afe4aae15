"""Samples of all arguments at once: everyday ones, extreme ones, and ones whose arguments nearly agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from stabkit.dependence import hulls
from stabkit.domain import Argument, Between, Booleans, Choice, Integers, Interval, Point, Simplex, Sorted
from stabkit.floats import Format
from stabkit.program import Points, Program, dtype_of
from stabkit.search.joint import Joint
from stabkit.search.lattice import STRATA, Lattice
from stabkit.search.placing import placed

# How often each stratum is drawn from in a row of each profile: ordinal, linear, everyday, landmark, anchor, simple.
PROFILES = {
    "mixed": (3.0, 3.0, 3.0, 1.5, 2.0, 2.0),
    "everyday": (0.0, 2.0, 3.0, 0.0, 0.0, 1.0),
    "lattice": (1.0, 0.0, 0.0, 0.5, 0.0, 0.0),
    "lone": (0.0, 0.0, 0.0, 0.0, 0.0, 1.0),  # simple numbers; one element is then drawn from `mixed`
}
SHARES = {"mixed": 0.35, "everyday": 0.25, "lattice": 0.15, "lone": 0.25}
COUPLED_SHARE = 0.25
LEVEL_SHARE = 0.06  # of vectors with all elements alike, and of those with all nearly so
MOST_EVERYDAY = 20.0  # of a probe
FARTHEST = 2000.0  # binades, of an infinity
MOST_WHOLE = 4096  # different whole numbers that are drawn


def draw(arguments: Sequence[Argument], form: Format, count: int, generator: Generator) -> Points:
    """`count` samples inside the domains.

    Raises:
        DomainError: where a domain holds no number of the format.
    """
    profile = torch.multinomial(torch.tensor(list(SHARES.values())), count, replacement=True, generator=generator)
    joint, blocks = Joint(arguments, form), dict[str, Tensor]()
    lone = profile == list(PROFILES).index("lone")
    for a in joint.sequence:
        block = _block(a, joint, profile, generator)
        blocks[a.name] = placed(a, block, joint, blocks, lone, generator) if joint.is_dependent else block
    _vary_one(joint, blocks, lone, generator)
    _couple(joint, blocks, generator)
    if joint.is_dependent:
        blocks = joint.spread(blocks)
    return {a.name: blocks[a.name].reshape(count, *a.shape).to(dtype_of(a, form)) for a in arguments}


def _block(argument: Argument, joint: Joint, profile: Tensor, generator: Generator) -> Tensor:
    """Doubles [count, elements] of one argument, wherever the others are."""
    shape = (len(profile), math.prod(argument.shape))
    domain, lattice = argument.domain, joint.lattice(argument)
    if lattice is not None:
        return _by_profile(lattice, profile, shape[1], generator)
    if isinstance(domain, Point):
        return torch.tensor(domain.value, dtype=torch.float64).reshape(1, -1).expand(shape).clone()
    if isinstance(domain, Simplex):
        return _simplex(shape[0], argument.shape, generator)
    if isinstance(domain, Between):
        low, high = joint.ends[argument.name]
        domain = Integers(math.ceil(low), math.floor(high))
    values = _values(domain, joint.form)  # type: ignore[arg-type]
    return values[torch.randint(0, len(values), shape, generator=generator)]


def _values(domain: Integers | Booleans | Choice, form: Format) -> Tensor:
    if isinstance(domain, Choice):
        return torch.tensor(domain.values, dtype=torch.float64)
    if isinstance(domain, Booleans):
        return torch.tensor([0.0, 1.0], dtype=torch.float64)
    span = domain.high - domain.low
    steps = torch.arange(span + 1).double() if span < MOST_WHOLE else _steps_up_to(span)
    values = domain.low + steps
    return values if domain.index else values[values.to(form.dtype).double() == values]


def _steps_up_to(span: int) -> Tensor:
    """Whole numbers from 0 to the span: half of them evenly, a quarter the first ones, a quarter of every size."""
    quarter = MOST_WHOLE // 4
    evenly = torch.linspace(0, span, 2 * quarter, dtype=torch.float64)
    sizes = torch.logspace(0, math.log2(span), quarter, 2.0, dtype=torch.float64)
    steps = torch.cat([evenly, torch.arange(quarter).double(), sizes]).round().clamp(0, span)
    return torch.tensor(sorted(set(steps.tolist())), dtype=torch.float64)


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


def _vary_one(joint: Joint, blocks: dict[str, Tensor], lone: Tensor, generator: Generator) -> None:
    """In rows of simple numbers, one element is drawn from every stratum."""
    spots = [(n, lattice, j) for n, lattice in _lattices(joint).items() for j in range(blocks[n].shape[1])]
    if not spots:
        return
    chosen = torch.randint(0, len(spots), (len(lone),), generator=generator)
    mixed = torch.zeros(len(lone), dtype=torch.int64)
    for index, (name, lattice, j) in enumerate(spots):
        fresh = _by_profile(lattice, mixed, 1, generator)[:, 0]
        blocks[name][:, j] = torch.where(lone & (chosen == index), fresh, blocks[name][:, j])


def _couple(joint: Joint, blocks: dict[str, Tensor], generator: Generator) -> None:
    """In some rows pairs of arguments, all elements of one vector or two of them, are equal, opposite, or nearly so."""
    lattices, form = _lattices(joint), joint.form
    shapes = {a.name: a.shape for a in joint.arguments}
    pairs = [(a, b) for a, b in itertools.combinations(lattices, 2) if shapes[a] == shapes[b]]
    for a, b in pairs:
        rows = torch.rand(len(blocks[a]), generator=generator) < COUPLED_SHARE
        near = lattices[b].clamp(_near(blocks[a], form, generator))
        blocks[b] = torch.where(rows[:, None], near, blocks[b])
    for name, lattice in lattices.items():
        block = blocks[name]
        if block.shape[1] > 1:
            level = lattice.clamp(_near(block[:, :1].expand_as(block), form, generator))
            alike = torch.rand(len(block), generator=generator)[:, None]
            block = torch.where(alike < LEVEL_SHARE, block[:, :1], torch.where(alike < 2 * LEVEL_SHARE, level, block))
            rows = (torch.rand(block.shape, generator=generator) < COUPLED_SHARE / 2) & (alike >= 2 * LEVEL_SHARE)
            near = lattice.clamp(_near(block.roll(1, 1), form, generator))
            blocks[name] = torch.where(rows, near, block)


def _lattices(joint: Joint) -> dict[str, Lattice]:
    """The floats that each argument can be, of those that are not one of a few values."""
    found = ((a.name, joint.lattice(a)) for a in joint.arguments)
    return {name: lattice for name, lattice in found if lattice is not None}


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
    joint = Joint(arguments, form)
    blocks = {a.name: _probe_block(a, joint, count, generator) for a in arguments}
    blocks = joint.spread(blocks) if joint.is_dependent else blocks
    return {a.name: blocks[a.name].reshape(count, *a.shape).to(dtype_of(a, form)) for a in arguments}


def _probe_block(argument: Argument, joint: Joint, count: int, generator: Generator) -> Tensor:
    lattice = joint.lattice(argument)
    if lattice is None:
        return _block(argument, joint, torch.zeros(count, dtype=torch.int64), generator)
    if lattice.is_empty:
        lattice.draw("simple", 1, generator)  # says what is wrong with the domain
    small = lattice.simple[lattice.simple.abs() <= MOST_EVERYDAY]
    values = small if len(small) else lattice.simple
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
    inside = hulls(arguments)
    for a in arguments:
        if isinstance(a.domain, (Interval, Between, Sorted)):
            size = points[a.name].double().abs().reshape(len(worst), -1)
            most = 1e6 if inside[a.name].low >= 0 else 20.0
            binades = torch.log2(size)  # not of a quotient, which could overflow
            above = torch.where(size > most, binades - math.log2(most), 0.0)
            below = torch.where((size > 0) & (size < 1e-6), math.log2(1e-6) - binades, 0.0)
            worst = torch.maximum(worst, torch.maximum(above, below).amax(1))
    return worst.clamp(0, FARTHEST)
