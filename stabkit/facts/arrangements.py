"""By how much a program breaks a property at many samples: two native runs beside each other, no truth needed.

What two runs may differ by is what the error rule lets pass: 2**tolerance u (|f| + C). C comes from slopes in float64,
at the sample and at inputs moved by a roundoff, so that a jump of the program explains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stabkit.conditioning import moved_points
from stabkit.domain import Argument, Built, Interval, Parameter, Point
from stabkit.facts.properties import MONOTONE, Property, meant_by
from stabkit.floats import FORMATS, Format, nearest, neighbours
from stabkit.program import Points, Program, count_of, rows_at
from stabkit.search.joint import Joint
from stabkit.search.lattice import Lattice
from stabkit.search.legal import are_legal
from stabkit.search.points import remoteness
from stabkit.target import Target

MOST_SUSPECTS = 128  # whose conditioning is looked at, of each arrangement
MOST_ELEMENTS = 8  # of one argument that are moved
SHIFTS = tuple(sign * 2.0**k for k in range(0, 13, 2) for sign in (1, -1))


@dataclass(frozen=True)
class Arrangement:
    """Samples [N] and those that a property compares them with.

    Attributes:
        here: the samples, moved to where the property speaks of them.
        there: the others; None where a bound stands in their place.
        legal: [N], where both lie in the domain.
        sign: what the other's value is multiplied by.
        steps: floats between the two along one axis, of monotonicity; 0 for others.
        moved: (argument, element) of that axis.
    """

    here: Points
    there: Points | None
    legal: Tensor
    sign: int = 1
    steps: int = 0
    moved: tuple[str, int] = ("", 0)


@dataclass(frozen=True)
class Breach:
    """What became of an arrangement.

    Attributes:
        got, other: [N, M], the values that are compared.
        bits: [N, M], by how much they differ against what rounding explains; -inf where they do not.
    """

    got: Tensor
    other: Tensor
    bits: Tensor


def arrangements(
    fact: Property, points: Points, arguments: Sequence[Argument], form: Format, steps: Sequence[int]
) -> Iterator[Arrangement]:
    """All that a property says of some samples.

    Args:
        steps: how many floats to go along an axis, of monotonicity.
    """
    leaves = [meant_by(name, arguments) for name in fact.names]
    whole = torch.ones(count_of(points), dtype=torch.bool)
    if fact.is_bound:
        yield Arrangement(points, None, whole)
    elif fact.kind == "zero_when":
        equal = {q.name: points[p.name].to(points[q.name].dtype) for p, q in zip(*leaves, strict=True)}
        yield Arrangement({**points, **equal}, None, _legal(equal, leaves[1], form))
    elif fact.kind == "symmetric":
        pairs = [pair for p, q in zip(*leaves, strict=True) for pair in ((p, q), (q, p))]
        swapped = {a.name: points[b.name].to(points[a.name].dtype) for a, b in pairs}
        yield Arrangement(points, {**points, **swapped}, _legal(swapped, [*leaves[0], *leaves[1]], form))
    elif fact.kind in ("even", "odd"):
        mirrored = {a.name: -points[a.name] for a in leaves[0]}
        sign = 1 if fact.kind == "even" else -1
        yield Arrangement(points, {**points, **mirrored}, _legal(mirrored, leaves[0], form), sign)
    elif fact.kind == "shift_invariant":
        yield from (_shifted(points, leaves[0], form, by) for by in SHIFTS)
    else:
        for a in leaves[0]:
            for k in range(min(points[a.name][0].numel(), MOST_ELEMENTS)):
                yield from (moved_by(points, a, k, step, form) for step in steps)


def _legal(changed: Mapping[str, Tensor], leaves: Sequence[Argument], form: Format) -> Tensor:
    """Which samples [N] stay in the domains of what was changed; a pinned argument may go anywhere."""
    inside = []
    for a in leaves:
        x = changed[a.name].double().reshape(len(changed[a.name]), -1)
        ok = x.isfinite()
        if isinstance(a.domain, Interval):
            lattice = Lattice(a.domain, form, a.name)
            ok = (x >= lattice.low) & (x <= lattice.high)
        inside.append(ok.all(1))
    return torch.stack(inside).all(0)


def _shifted(points: Points, leaves: Sequence[Argument], form: Format, by: float) -> Arrangement:
    """Vectors on a grid so coarse that adding the shift rounds nothing."""
    here, there = dict(points), dict(points)
    exact = torch.ones(count_of(points), dtype=torch.bool)
    for a in leaves:
        x = points[a.name].double()
        flat = x.reshape(len(x), -1)
        largest = flat.abs().amax(1).clamp(min=abs(by))
        grid = torch.exp2(largest.log2().floor() + 2 - form.precision).reshape(-1, *(1 for _ in x.shape[1:]))
        coarse = x if isinstance(a.domain, Point) else (x / grid).round() * grid
        here[a.name], there[a.name] = coarse.to(form.dtype), (coarse + by).to(form.dtype)
        sums = (there[a.name].double() - here[a.name].double() == by).reshape(len(x), -1)
        exact &= sums.all(1)
    legal = _legal({a.name: there[a.name] for a in leaves}, leaves, form)
    return Arrangement(here, there, legal & _legal({a.name: here[a.name] for a in leaves}, leaves, form) & exact)


def moved_by(points: Points, argument: Argument, element: int, steps: int, form: Format) -> Arrangement:
    """Samples beside those with one number moved by so many floats."""
    x = points[argument.name]
    flat = x.reshape(len(x), -1).clone()
    flat[:, element] = neighbours(flat[:, element].contiguous(), steps)
    moved = flat.reshape(x.shape)
    legal = _legal({argument.name: moved}, [argument], form) & (moved != x).reshape(len(x), -1).any(1)
    legal &= x.isfinite().reshape(len(x), -1).all(1)
    return Arrangement(points, {**points, argument.name: moved}, legal, steps=steps, moved=(argument.name, element))


def breach(program: Program, fact: Property, arrangement: Arrangement) -> Breach:
    """By how much the program breaks a property at each sample."""
    got = _values(program, arrangement.here)
    if arrangement.there is not None:
        other = arrangement.sign * _values(program, arrangement.there)
    else:
        other = torch.full_like(got, _bound(fact, program.form))
    if got.shape != other.shape:
        return Breach(got, got, torch.full_like(got, -math.inf))
    excess = _violation(fact, arrangement, got, other, program.form)
    legal = arrangement.legal & _jointly_legal(program, arrangement)
    excess = torch.where(legal[:, None], excess, -math.inf)
    if fact.is_bound:
        return Breach(got, other, torch.where(excess > 0, math.inf, -math.inf))
    u, least = program.form.unit_roundoff, program.form.smallest_subnormal
    size = _clipped(torch.maximum(got.abs(), other.abs()), program.form).nan_to_num(0.0)
    bits = torch.log2(excess.clamp(min=0) / (u * size).clamp(min=least))
    suspects = _nearest_and_gravest(arrangement, bits, program)
    chosen = torch.full_like(bits, -math.inf)
    if len(suspects):
        wobble = _conditioning(program, rows_at(arrangement.here, suspects))
        if arrangement.there is not None:
            wobble = torch.maximum(wobble, _conditioning(program, rows_at(arrangement.there, suspects)))
        explained = (u * (size[suspects] + wobble)).clamp(min=least)
        lost = torch.log2(excess[suspects].clamp(min=0) / explained).nan_to_num(-math.inf, math.inf)
        finite = (got.isfinite() & other.isfinite())[suspects]  # where one is not, nothing explains it
        chosen[suspects] = torch.where(finite, lost, bits[suspects])
    return Breach(got, other, chosen)


def _jointly_legal(program: Program, arrangement: Arrangement) -> Tensor:
    """Which samples [N] are legal on both sides where domains name other arguments."""
    arguments, form = program.target.arguments, program.form
    legal = torch.ones_like(arrangement.legal)
    if Joint(arguments, form).is_dependent:
        for side in (arrangement.here, arrangement.there):
            legal &= torch.ones_like(legal) if side is None else are_legal(side, arguments, form)
    return legal


def _violation(fact: Property, arrangement: Arrangement, got: Tensor, other: Tensor, form: Format) -> Tensor:
    """How far [N, M] values lie beyond what the property allows; NaN beside a number breaks an equality alone."""
    a, b = _clipped(got, form), _clipped(other, form)
    if fact.is_bound:
        return ((b - a) if fact.kind == "at_least" else (a - b)).nan_to_num(-math.inf)
    if fact.kind in MONOTONE:
        rising = MONOTONE[fact.kind] * (1 if arrangement.steps > 0 else -1)
        return (rising * (a - b)).nan_to_num(-math.inf)
    return torch.where(got.isnan() != other.isnan(), math.inf, (a - b).abs().nan_to_num(0.0))


def _clipped(x: Tensor, form: Format) -> Tensor:
    """Infinities as numbers one ulp beyond the largest float."""
    beyond = math.ldexp(1.0, form.emax + 1) if form.emax < 1023 else form.largest
    return x.clamp(-beyond, beyond)


def _bound(fact: Property, form: Format) -> float:
    """The bound, or its rounding where that lies further out."""
    if not fact.is_bound:
        return 0.0
    rounded = nearest(fact.bound, form)
    return min(fact.bound, rounded) if fact.kind == "at_least" else max(fact.bound, rounded)


def _values(program: Program, points: Points) -> Tensor:
    """Doubles [N, M]; NaN where the program raises."""
    return program.run(points, gradients=False).values.double()


def _nearest_and_gravest(arrangement: Arrangement, bits: Tensor, program: Program) -> Tensor:
    """The rows that differ by more than their size explains, everyday and worst ones first of too many."""
    rows = (bits > program.target.tolerance.bits).any(1).nonzero().flatten()
    if len(rows) <= MOST_SUSPECTS:
        return rows
    far = remoteness(rows_at(arrangement.here, rows), program.target.arguments)
    half, worst = MOST_SUSPECTS // 2, bits[rows].amax(1).argsort(descending=True, stable=True)
    return rows[sorted({*far.argsort(stable=True)[:half].tolist(), *worst[:half].tolist()})]


def _conditioning(program: Program, points: Points) -> Tensor:
    """C of every value [N, 1]: the sum of |x| |slope| over all inputs, the largest of moved ones; inf where unknown."""
    wide = replace(program, target=_all_differentiable(program), form=FORMATS["float64"])
    lifted = {n: x.double() if x.is_floating_point() else x for n, x in points.items()}
    largest = torch.zeros(count_of(points), 1, dtype=torch.float64)
    for there in (lifted, *moved_points(lifted, program.form, program.target.arguments)):
        outcome = wide.run(there)
        terms = [
            (there[n].double() * g.double()).abs().reshape(len(largest), -1).sum(1)
            for n, g in outcome.gradients.items()
        ]
        total = torch.stack(terms).sum(0) if terms else torch.zeros(len(largest), dtype=torch.float64)
        largest = torch.maximum(largest, total.nan_to_num(math.inf)[:, None])
    return largest


def _all_differentiable(program: Program) -> Target:
    """The target with every float argument differentiated, data too."""

    def opened(parameter: Parameter) -> Parameter:
        if isinstance(parameter, Built):
            return replace(parameter, arguments=tuple(replace(a, data=False) for a in parameter.arguments))
        return replace(parameter, data=False) if isinstance(parameter, Argument) else parameter

    return replace(program.target, parameters=tuple(map(opened, program.target.parameters)))
