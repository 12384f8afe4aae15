"""Strategies for tensors, and for everything that a loss takes at one sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from hypothesis import strategies as st
from torch import Tensor

from stabkit.dependence import hulls, is_discrete
from stabkit.domain import (
    MOST_INTEGER,
    Argument,
    Between,
    Booleans,
    Choice,
    Integers,
    Interval,
    Parameter,
    Point,
    Simplex,
    Sorted,
    Tensors,
)
from stabkit.errors import DomainError
from stabkit.floats import Format
from stabkit.notation import parse_domain, parse_parameter
from stabkit.program import Points, built, points_of, points_of_many, sample_of
from stabkit.search.joint import Joint
from stabkit.search.lattice import Lattice
from stabkit.search.legal import moved_inside
from stabkit.spec import Spec
from stabkit.strategies.ranks import rounded
from stabkit.strategies.scalars import drawn_from, format_named, legal, marks_of
from stabkit.target import arguments_of, target_for

FEW = 16  # elements that are drawn one by one; of larger tensors as many differ from the others
WEIGHTS = (1.0, 0.0, 2.0, 10.0, 100.0, 1e4, 1e-2, 1e-4, 1e-8, 3.0)  # of a probability vector
RELATIONS = ("none",) * 5 + ("equal", "close", "close", "opposite")  # of an argument to one before it

Sampled: TypeAlias = Spec | str | Callable[..., Any] | Mapping[str, str]
Elements: TypeAlias = Callable[[Lattice], st.SearchStrategy[float]]
Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]


def tensors(
    dtype: str | torch.dtype, shape: int | Sequence[int] = (), domain: str | Tensors = "real"
) -> st.SearchStrategy[Tensor]:
    """Tensors of one dtype and shape whose elements lie in a domain; int64 for `index`, bool for `bool`.

    Up to 16 elements are drawn one by one; in larger tensors 16 at most differ from the others.

    Args:
        shape: a vector's length, or all sizes.
        domain: as after `--arg NAME=`; `simplex` gives probability vectors along the last axis.

    Raises:
        DomainError: for a domain that cannot be read, or holds no number of the dtype.

    Example:
        >>> from hypothesis import find
        >>> find(tensors("float32", 3, "[0,100]"), lambda x: x.sum() > 20)  # doctest: +ELLIPSIS
        tensor([...])
    """
    parsed = parse_domain(domain) if isinstance(domain, str) else domain
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if isinstance(parsed, Simplex) and not sizes:
        raise DomainError("domain 'simplex'", "needs a vector", "give its length: tensors(dtype, 3, 'simplex')")
    argument = Argument("tensor", parsed, shape=sizes)
    return inputs_of({"tensor": str(argument).partition("=")[2]}, dtype=dtype).map(lambda inputs: inputs["tensor"])


def inputs_of(
    target: Sampled,
    arguments: Mapping[str, str] | None = None,
    *,
    dtype: str | torch.dtype = "float32",
    batch: int | None = None,
) -> st.SearchStrategy[dict[str, Any]]:
    """What a loss is called with, as keyword arguments, every number inside its domain.

    Args:
        target: a spec of the zoo, a function, its name as on the command line, or domains by argument name.
        arguments: domains by argument name, as after `--arg NAME=`; others are the spec's, or guessed from the names.
        dtype: of the floats.
        batch: how many samples stand along a leading dimension; without it tensors have the shape of one sample.

    Raises:
        StabkitError: for a domain that cannot be read or holds no number of the dtype, or an unknown argument.

    Example:
        >>> from hypothesis import find
        >>> from stabkit.losses.gaussian import kl
        >>> find(inputs_of(kl, dtype="float16"), lambda inputs: kl(**inputs) > 5)["mean1"]
        tensor(0., dtype=torch.float16)
        >>> find(inputs_of({"label": "index[0,10)", "weight": "simplex@[*,2]"}), lambda inputs: inputs["label"] > 3)
        {'label': tensor(4), 'weight': tensor([0.5000, 0.5000])}
    """
    return _called_with(target, arguments, dtype, batch, drawn_from)


def edge_cases(
    target: Sampled,
    arguments: Mapping[str, str] | None = None,
    *,
    dtype: str | torch.dtype = "float32",
    batch: int | None = None,
) -> st.SearchStrategy[dict[str, Any]]:
    """As `inputs_of`, but every float is an extreme one of its domain, as `extreme_floats` draws them.

    Raises:
        StabkitError: as `inputs_of` does.

    Example:
        >>> from hypothesis import find
        >>> find(edge_cases({"x": "[1,2]"}), lambda inputs: inputs["x"] > 1.5)
        {'x': tensor(2.)}
    """
    return _called_with(target, arguments, dtype, batch, marks_of)


def samples_of(
    target: Sampled, arguments: Mapping[str, str] | None = None, *, dtype: str | torch.dtype = "float32"
) -> st.SearchStrategy[dict[str, Any]]:
    """As `inputs_of`, but one sample as numbers and nested lists, as findings state witnesses.

    The parameters of a distribution object are numbers of their own: `p.loc`, `p.scale`.

    Raises:
        StabkitError: as `inputs_of` does.

    Example:
        >>> from hypothesis import find
        >>> find(samples_of({"x": "real", "n": "int[0,9]"}), lambda sample: sample["x"] * sample["n"] > 100)
        {'x': 100.0, 'n': 2.0}
    """
    return _samples(arguments_of(_parameters(target, arguments)), format_named(dtype), drawn_from)


def _called_with(
    target: Sampled,
    arguments: Mapping[str, str] | None,
    dtype: str | torch.dtype,
    batch: int | None,
    elements: Elements,
) -> st.SearchStrategy[dict[str, Any]]:
    """Keyword arguments whose floats come from `elements`."""
    parameters, form = _parameters(target, arguments), format_named(dtype)
    leaves = arguments_of(parameters)
    samples = _samples(leaves, form, elements)
    many = st.lists(samples, min_size=batch or 1, max_size=batch or 1)

    def called_with(rows: list[dict[str, Any]]) -> dict[str, Any]:
        points = _tensors_of(rows, leaves, form, batch is None)
        return {p.name: built(p, points) for p in parameters}

    return many.map(called_with)


def _tensors_of(rows: Sequence[Mapping[str, Any]], leaves: tuple[Argument, ...], form: Format, single: bool) -> Points:
    points = points_of_many(rows, leaves, form)
    return {a.name: points[a.name][0] if single or not a.batch else points[a.name] for a in leaves}


def _parameters(target: Sampled, arguments: Mapping[str, str] | None) -> tuple[Parameter, ...]:
    """The declared parameters of whatever is to be called."""
    declared = [parse_parameter(f"{name}={domain}") for name, domain in (arguments or {}).items()]
    if isinstance(target, Mapping):
        return (*(parse_parameter(f"{name}={domain}") for name, domain in target.items()), *declared)
    return target_for(target, declared).parameters


def _samples(leaves: tuple[Argument, ...], form: Format, elements: Elements) -> st.SearchStrategy[dict[str, Any]]:
    joint = Joint(leaves, form)
    hull = hulls(leaves)
    leaves = tuple(_by_itself(a, hull) for a in leaves)
    alone = {a.name: _argument(a, form, elements) for a in leaves}
    pairs = {b.name: _comparable(b, leaves[:k]) for k, b in enumerate(leaves)}
    lattices = {a.name: Lattice(a.domain, form, a.name) for a in leaves if isinstance(a.domain, Interval)}

    @st.composite
    def sample(draw: Draw) -> dict[str, Any]:
        found = {name: draw(strategy) for name, strategy in alone.items()}
        for name, before in pairs.items():
            relation = RELATIONS[draw(st.integers(0, len(RELATIONS) - 1))] if before else "none"
            if relation != "none":
                other = found[before[draw(st.integers(0, len(before) - 1))].name]
                found[name] = _related(draw, found[name], other, relation, lattices[name])
        if not joint.is_dependent:
            return found
        return sample_of(moved_inside(points_of(found, leaves, form), joint.arguments, form), 0)

    return sample()


def _by_itself(argument: Argument, hull: Mapping[str, Interval]) -> Argument:
    """The argument with the widest domain that it can have, whatever the others are."""
    if not isinstance(argument.domain, (Between, Sorted)):
        return argument
    widest = hull[argument.name]
    if is_discrete(argument.domain):
        low, high = (int(min(max(b, -MOST_INTEGER), MOST_INTEGER)) for b in (widest.low, widest.high))
        return replace(argument, domain=Integers(low, high))
    return replace(argument, domain=widest)


def _comparable(argument: Argument, before: Sequence[Argument]) -> list[Argument]:
    """The arguments whose numbers it may take on: those of its domain, or those of any interval where it has none."""
    alike = [a for a in before if isinstance(a.domain, Interval) and a.shape == argument.shape]
    same = [a for a in alike if a.domain == argument.domain]
    return (same or alike) if isinstance(argument.domain, Interval) else []


def _related(draw: Draw, own: Any, other: Any, relation: str, lattice: Lattice) -> Any:
    """The other argument's numbers, the same, opposite or moved by a relative distance of any size, where legal."""
    sign = -1.0 if relation == "opposite" else 1.0
    bits = draw(st.integers(1, lattice.form.precision)) if relation == "close" else 0
    moved = sign * (1 + math.ldexp(1.0, -bits)) if bits else sign

    def one(mine: Any, its: Any) -> Any:
        if isinstance(mine, list):
            return [one(m, i) for m, i in zip(mine, its, strict=True)]
        value = rounded(its * moved, lattice.form)
        return value if lattice.contains(value) else mine

    return one(own, other)


def _argument(argument: Argument, form: Format, elements: Elements) -> st.SearchStrategy[Any]:
    """One argument's numbers as nested lists of its shape."""
    domain, shape = argument.domain, argument.shape
    if isinstance(domain, Point):
        return st.just(domain.value)
    if isinstance(domain, Simplex):
        vector = _vector(st.sampled_from(WEIGHTS), shape[-1]).map(lambda weights: _normalized(weights, form))
        return _vector(vector, math.prod(shape[:-1])).map(lambda rows: _nested(iter(rows), shape[:-1]))
    element = _element(argument, domain, form, elements)
    if not shape:
        return element
    return _vector(element, math.prod(shape)).map(lambda flat: _nested(iter(flat), shape))


def _element(argument: Argument, domain: Tensors, form: Format, elements: Elements) -> st.SearchStrategy[Any]:
    if isinstance(domain, Interval):
        return elements(legal(Lattice(domain, form, argument.name)))
    if isinstance(domain, Booleans):
        return st.booleans()
    if isinstance(domain, Choice):
        return st.sampled_from([rounded(v, form) for v in domain.values])
    if not isinstance(domain, Integers):
        raise DomainError(f"domain {domain} of {argument.name}", "is not settled", "declare what it names too")
    whole = st.integers(domain.low, domain.high)
    return whole if domain.index else _representable(argument, domain, form, whole)


def _representable(
    argument: Argument, domain: Integers, form: Format, whole: st.SearchStrategy[int]
) -> st.SearchStrategy[float]:
    """Whole numbers as floats of the format that holds them."""
    inside = legal(Lattice(Interval(domain.low, domain.high, True, True), form, argument.name))
    return whole.map(lambda n: min(max(rounded(float(n), form), inside.low), inside.high))


def _vector(element: st.SearchStrategy[Any], count: int) -> st.SearchStrategy[list[Any]]:
    """So many elements: drawn one by one if they are few, else all alike but for some."""
    if count <= FEW:
        return st.lists(element, min_size=count, max_size=count)
    others = st.lists(st.tuples(st.integers(0, count - 1), element), max_size=FEW)
    return st.tuples(element, others).map(lambda drawn: _spread(drawn[0], drawn[1], count))


def _spread(usual: Any, others: Sequence[tuple[int, Any]], count: int) -> list[Any]:
    given = dict(others)
    return [given.get(place, usual) for place in range(count)]


def _normalized(weights: Sequence[float], form: Format) -> list[float]:
    """Weights divided by their sum; all of it on the first element where they are all 0."""
    total = math.fsum(weights)
    shares = [w / total for w in weights] if total else [1.0, *(0.0 for _ in weights[1:])]
    return [rounded(share, form) for share in shares]


def _nested(flat: Iterator[Any], shape: Sequence[int]) -> Any:
    """The next numbers as nested lists of that shape; one number for no shape."""
    return [_nested(flat, shape[1:]) for _ in range(shape[0])] if shape else next(flat)
