"""How far a gradient is dead: the share of the domain's floats, and the nearest value that brings it back to life."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Generator, Tensor

from stabkit.domain import Argument, Interval
from stabkit.finding import Dead, number
from stabkit.floats import from_ordinals, ordinals, shortest
from stabkit.judge import Judgement
from stabkit.program import Points, Program, count_of, points_of, rows_at, sample_of
from stabkit.search.extents import edge
from stabkit.search.joint import Joint
from stabkit.search.lattice import Lattice
from stabkit.search.legal import are_legal, moved_inside
from stabkit.search.points import draw
from stabkit.verification import Examiner, Sample

DRAWN, DRAWN_ALONE = 512, 32  # points uniform in ordinals
LOOKED_AT, LOOKED_AT_THRIFTILY = 16, 4  # of those whose gradient is 0, which it may well be
MOST_AXES = 8

IsDead = Callable[[Sequence[Judgement], str], bool]


def numbness(examiner: Examiner, sample: Sample, argument: str, is_dead: IsDead) -> Dead:
    """Where else the gradient by an argument is dead.

    Args:
        sample: at which it is.
        is_dead: whether it is, by the judgements at a sample.
    """
    along, nearest = _nearest_alive(examiner.program, sample, argument)
    return Dead(argument, round(_share(examiner, argument, is_dead), 3), along, nearest)


def _share(examiner: Examiner, argument: str, is_dead: IsDead) -> float:
    """The share of points uniform in ordinals that have no gradient, less those that should have none."""
    program = examiner.program
    generator = Generator().manual_seed(0)
    points = _uniform(program, DRAWN if program.batched else DRAWN_ALONE, generator)
    zero = _is_zero(program, points, argument).nonzero().flatten()
    thrifty = examiner.oracle is not None and examiner.oracle.thrifty
    chosen = zero[torch.randperm(len(zero), generator=generator)[: LOOKED_AT_THRIFTILY if thrifty else LOOKED_AT]]
    looked = rows_at(points, chosen)
    dead = [is_dead(examiner.judge_all_alone(sample_of(looked, k))[1], argument) for k in range(len(chosen))]
    return len(zero) / count_of(points) * (sum(dead) / len(dead)) if dead else 0.0


def _uniform(program: Program, count: int, generator: Generator) -> Points:
    """Samples uniform in ordinals along every axis that is an interval."""
    arguments, form = program.target.arguments, program.form
    points = draw(arguments, form, count, generator)
    for a in arguments:
        if isinstance(a.domain, Interval):
            x = Lattice(a.domain, form, a.name).draw("ordinal", points[a.name].numel(), generator)
            points[a.name] = x.to(form.dtype).reshape(points[a.name].shape)
    return moved_inside(points, arguments, form)


def _is_zero(program: Program, points: Points, argument: str) -> Tensor:
    """Which samples [N] have no gradient by the argument, natively."""
    outcome = program.run(points)
    if argument not in outcome.gradients:
        return ~outcome.raised
    slopes = outcome.gradients[argument].reshape(count_of(points), -1)
    return ((slopes == 0) | ~slopes.isfinite()).all(1) & ~outcome.raised


def _nearest_alive(program: Program, sample: Sample, argument: str) -> tuple[str, float | None]:
    """The number and its value, fewest floats away from the sample's, that bring the gradient back to life."""
    (leaf,) = [a for a in program.target.arguments if a.name == argument]
    points = points_of(sample, program.target.arguments, program.form)
    found = [step for k in range(min(points[argument].numel(), MOST_AXES)) for step in _steps(program, points, leaf, k)]
    if not found:
        return "", None
    _, k, value = min(found)
    place = f"[{','.join(map(str, _place(k, leaf.shape)))}]" if leaf.shape else ""
    return argument + place, number(shortest(value, program.form))


def _place(flat: int, shape: tuple[int, ...]) -> list[int]:
    places: list[int] = []
    for size in reversed(shape):
        flat, place = divmod(flat, size)
        places.insert(0, place)
    return places


def _steps(program: Program, points: Points, leaf: Argument, element: int) -> Iterator[tuple[int, int, float]]:
    """(floats between, element, value) of the nearest live value below and above, where there is one."""
    lattice = Joint(program.target.arguments, program.form).lattice(leaf)
    if lattice is None:
        return
    ends = torch.tensor([lattice.low, lattice.high], dtype=program.form.dtype)
    start = int(ordinals(points[leaf.name].flatten())[element])
    for end in ordinals(ends).tolist():
        side = 1 if end > start else -1

        def dead(grid: list[int], side: int = side) -> list[bool]:
            return _zero_at(program, points, leaf.name, element, [start + side * d for d in grid])

        _, alive = edge(dead, abs(end - start))
        if alive is not None:
            rank = torch.tensor([start + side * alive])
            yield alive, element, from_ordinals(rank, program.form).double().item()


def _zero_at(program: Program, points: Points, name: str, element: int, ranks: Sequence[int]) -> list[bool]:
    many = {n: x.expand(len(ranks), *x.shape[1:]).clone() for n, x in points.items()}
    flat = many[name].reshape(len(ranks), -1)
    flat[:, element] = from_ordinals(torch.tensor(ranks), program.form)
    many[name] = flat.reshape(many[name].shape)
    legal = are_legal(many, program.target.arguments, program.form)
    found: list[bool] = (_is_zero(program, many, name) | ~legal).tolist()
    return found
