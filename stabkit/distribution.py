"""Distribution objects built from their parameters, and what values their support leaves an argument."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from stabkit.domain import (
    MOST_INTEGER,
    Argument,
    Between,
    Built,
    Choice,
    Integers,
    Interval,
    Simplex,
    Support,
    Tensors,
    real,
)
from stabkit.errors import DomainError, TargetError

TRIALS = (0.25, 0.5)  # parameters of two objects: a bound that is a parameter itself changes with it, others do not


def distribution_of(parameter: Built, leaves: Mapping[str, Tensor], **settings: Any) -> Any:
    """The object that a parameter declares, built from the tensors of its arguments.

    Raises:
        TargetError: where torch has no such distribution, or it no such parameter.
    """
    family = _family(parameter.distribution)
    given: dict[str, Any] = {a.name.rpartition(".")[2]: leaves[a.name] for a in parameter.arguments}
    given |= {p.name: p.domain.value for p in parameter.literals}
    unknown = [n for n in given if n not in _parameters_of(family)]
    if unknown:
        takes = ", ".join(n for n in _parameters_of(family) if n != "validate_args")
        raise TargetError(
            f"distribution {parameter.distribution!r}", f"has no parameter {unknown[0]!r}", f"it takes {takes}"
        )
    return family(**given | settings)


def _family(name: str) -> Any:
    family = getattr(torch.distributions, name, None)
    if family is None:
        raise TargetError(f"distribution {name!r}", "is not in torch.distributions", "check its name")
    return family


@cache
def _parameters_of(family: type) -> tuple[str, ...]:
    return tuple(inspect.signature(family).parameters)


def within_support(argument: Argument, objects: Mapping[str, Built]) -> Argument:
    """The argument with the domain that `support(p)` stands for: what torch says of the object of that name.

    Raises:
        DomainError: where no object has that name.
        TargetError: where its support is none that can be drawn from.

    Example:
        >>> from stabkit.notation import parse_parameter
        >>> p = parse_parameter("p=Uniform(low:real,high:(low,inf))")
        >>> print(within_support(parse_parameter("x=data:support(p)"), {"p": p}))
        x=data:[p.low,p.high]
    """
    if not isinstance(argument.domain, Support):
        return argument
    name = argument.domain.of
    if name not in objects:
        remedy = f"declare --arg '{name}=Normal(loc:real,scale:positive)'"
        raise DomainError(f"support({name}) of {argument.name}", f"needs a distribution named {name!r}", remedy)
    domain = _domain(argument, objects[name])
    if isinstance(domain, Simplex) and not argument.shape:
        raise DomainError(f"{argument.name}=support({name})", "needs a vector", f"write support({name})@[*,3]")
    return replace(argument, domain=domain)


def _domain(argument: Argument, built: Built) -> Tensors:
    """The domain of the same numbers as the support, whatever the parameters are."""
    support = getattr(_family(built.distribution), "support", None)
    if isinstance(support, constraints.Constraint) and not isinstance(support, constraints.dependent_property):
        return _translated(support, None, {}, built)
    first, second = (_trial(built, start) for start in TRIALS)
    return _translated(first[0], second[0], {n: (x, second[1][n]) for n, x in first[1].items()}, built)


def _trial(built: Built, start: float) -> tuple[Any, dict[str, Tensor]]:
    """The support of an object of some parameters, all of them different, and those parameters."""
    leaves = {
        a.name: start + (torch.arange(math.prod(a.shape)).reshape(1, *a.shape).double() + 1 + k * 1000) * 2.0**-20
        for k, a in enumerate(built.arguments)
    }
    try:
        return distribution_of(built, leaves, validate_args=False).support, leaves
    except (ValueError, RuntimeError, NotImplementedError, TypeError) as error:
        raise TargetError(
            f"support({built.name})", f"cannot be told: {str(error).splitlines()[0]}", "write its domain out"
        ) from error


Leaves = Mapping[str, tuple[Tensor, Tensor]]


def _translated(one: Any, two: Any, leaves: Leaves, built: Built) -> Tensors:
    """A constraint of torch as a domain; `two` is the same constraint of other parameters."""
    if isinstance(one, type(constraints.real_vector)):
        return _translated(one.base_constraint, getattr(two, "base_constraint", None), leaves, built)
    known: dict[type, Tensors] = {type(constraints.boolean): Choice((0.0, 1.0)), type(constraints.simplex): Simplex()}
    for kind, domain in known.items():
        if isinstance(one, kind):
            return domain
    if isinstance(one, type(constraints.real)):
        return real

    def bound(side: str, default: float) -> float | str:
        return _bound(getattr(one, side, default), getattr(two, side, None), leaves, built)

    low, high = bound("lower_bound", -math.inf), bound("upper_bound", math.inf)
    if isinstance(one, (constraints.integer_interval, type(constraints.nonnegative_integer))):
        return _whole(low, high)
    closed = {  # at the lower bound, at the upper
        constraints.interval: (True, True),
        constraints.half_open_interval: (True, False),
        constraints.greater_than: (False, False),
        constraints.greater_than_eq: (True, False),
        constraints.less_than: (False, False),
    }
    if type(one) not in closed:
        raise TargetError(f"support({built.name})", f"is {one}, which cannot be drawn from", "write its domain out")
    low_closed, high_closed = closed[type(one)]
    if isinstance(low, str) or isinstance(high, str):
        return Between(low, high, low_closed, high_closed)
    return Interval(low, high, low_closed, high_closed)


def _whole(low: float | str, high: float | str) -> Tensors:
    if isinstance(low, str) or isinstance(high, str):
        return Between(low, high, True, True, whole=True)
    return Integers(int(low), int(min(high, MOST_INTEGER)))


def _bound(one: Any, two: Any, leaves: Leaves, built: Built) -> float | str:
    """A bound of the support: the name of the parameter that it is, or a number where no parameter changes it."""
    if two is None or not isinstance(one, Tensor):
        changes = two is not None and one != two
        if not changes:
            return float(one)
    else:
        for name, (x, y) in leaves.items():
            if _equals(one, x) and _equals(two, y):
                return name
        if torch.equal(one, two) and bool((one == one.flatten()[0]).all()):
            return float(one.flatten()[0])
    raise TargetError(
        f"support({built.name})", "has a bound that is computed from its parameters", "write its domain out"
    )


def _equals(bound: Tensor, leaf: Tensor) -> bool:
    try:
        return torch.equal(bound, leaf.expand(bound.shape))
    except RuntimeError:
        return False
