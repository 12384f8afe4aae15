"""Arguments whose domains name other arguments: in what order they are settled, and what holds between them.

Every bound by another argument says that one number is at most another, and by how many floats less at least. What
follows from all of them together is known beforehand, so that numbers that are settled one after the other, each
between those already settled, never leave the next without a legal value. Loads no torch.
"""

from __future__ import annotations

import difflib
import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stabkit.domain import Argument, Between, Choice, Integers, Interval, Point, Sorted, Tensors, flat, is_bool
from stabkit.errors import DomainError

Room = Callable[[str, float], tuple[bool, bool]]  # (may step down, may step up) from a value of the named argument
Relations = dict[tuple[str, str], int]  # (below, above) -> floats apart at least


def between(domain: Tensors) -> Between | None:
    """The bounds by other arguments that a domain has, inside a sorted one too."""
    inner = domain.of if isinstance(domain, Sorted) else domain
    return inner if isinstance(inner, Between) else None


def names_in(domain: Tensors) -> tuple[str, ...]:
    """The arguments that a domain depends on."""
    found = between(domain)
    return () if found is None else found.names


def is_discrete(domain: Tensors) -> bool:
    """Whether it holds whole numbers, or one of a few values."""
    return isinstance(domain, (Integers, Choice)) or (isinstance(domain, Between) and domain.whole)


def settled(arguments: Sequence[Argument]) -> tuple[Argument, ...]:
    """The arguments with every bound under its full name.

    Raises:
        DomainError: for a bound that names no argument, one that is no number to compare with, or itself by a detour;
            and for bounds that nothing can satisfy.
    """
    names = {a.name for a in arguments}
    full = tuple(replace(a, domain=_qualified(a.domain, a.name.rpartition(".")[0], names)) for a in arguments)
    by_name = {a.name: a for a in full}
    for a in full:
        for name in names_in(a.domain):
            _check(a, name, by_name)
    for a in full:
        _check_path(a, by_name, (a.name,))
    for (low, high), steps in relations(full).items():
        if low == high and steps:
            raise DomainError(f"bounds around {low!r}", "leave no number between them", "let them go one way")
    return full


def _qualified(domain: Tensors, owner: str, names: set[str]) -> Tensors:
    """A domain whose bounds name siblings inside the distribution object first."""
    bounds = between(domain)
    if bounds is None:
        return domain
    low, high = (f"{owner}.{b}" if owner and f"{owner}.{b}" in names else b for b in (bounds.low, bounds.high))
    full = replace(bounds, low=low, high=high)
    return Sorted(full) if isinstance(domain, Sorted) else full


def _check(argument: Argument, name: str, by_name: Mapping[str, Argument]) -> None:
    what = f"bound {name!r} of {argument.name}"
    bound = by_name.get(name)
    if bound is None:
        close = difflib.get_close_matches(name, by_name, 1)
        remedy = f"did you mean {close[0]!r}?" if close else "write decimals such as 1e-4, inf, or an argument's name"
        raise DomainError(what, "is neither a number nor an argument", remedy)
    comparable = isinstance(bound.domain, (Interval, Between, Integers, Choice, Point)) and not is_bool(bound.domain)
    if not comparable:
        raise DomainError(what, f"is {bound.domain}, which bounds nothing", "name an argument that is an interval")
    lone = math.prod(bound.shape) == 1
    if not lone and (bound.shape != argument.shape or isinstance(argument.domain, Sorted)):
        sizes = ["[" + ",".join(map(str, a.shape)) + "]" for a in (bound, argument)]
        rule = f"has {sizes[0]} numbers a sample, {argument.name} {sizes[1]}"
        ascending = isinstance(argument.domain, Sorted)
        raise DomainError(what, rule, "give the bound no shape" + ", or both the same" * (not ascending))
    whole = isinstance(argument.domain, Between) and argument.domain.whole
    if whole and not (isinstance(bound.domain, (Integers, Point)) or is_discrete(bound.domain)):
        raise DomainError(what, f"is {bound.domain}, not a whole number", f"declare it as {name}=int[1,10]")


def _check_path(argument: Argument, by_name: Mapping[str, Argument], path: tuple[str, ...]) -> None:
    for name in names_in(argument.domain):
        if name in path:
            circle = " → ".join((*path[path.index(name) :], name))
            raise DomainError(f"bounds {circle}", "go round in a circle", "let one of them be bounded by numbers")
        _check_path(by_name[name], by_name, (*path, name))


def relations(arguments: Sequence[Argument]) -> Relations:
    """Which arguments are at most which others, by all that follows, and how many floats lie between at least.

    Example:
        >>> from stabkit.notation import parse_parameter
        >>> relations([parse_parameter(a) for a in ("low=real", "high=real", "x=(low,high)")])
        {('low', 'x'): 1, ('x', 'high'): 1, ('low', 'high'): 2}
    """
    least: Relations = {}
    for a in arguments:
        domain = between(a.domain)
        if domain is not None and isinstance(domain.low, str):
            least[domain.low, a.name] = max(int(not domain.low_closed), least.get((domain.low, a.name), 0))
        if domain is not None and isinstance(domain.high, str):
            least[a.name, domain.high] = max(int(not domain.high_closed), least.get((a.name, domain.high), 0))
    names = list(dict.fromkeys(itertools.chain.from_iterable(least)))
    for via, low, high in itertools.product(names, names, names):
        if (low, via) in least and (via, high) in least:
            least[low, high] = max(least[low, via] + least[via, high], least.get((low, high), 0))
    return least


def sequence(arguments: Sequence[Argument]) -> list[Argument]:
    """The arguments in the order to settle them: after what they name, fixed ones and lone numbers before vectors.

    Lone numbers come first because each of them may stand beside every element of several vectors.
    """
    if not any(names_in(a.domain) for a in arguments):
        return list(arguments)
    by_name, found = {a.name: a for a in arguments}, dict[str, Argument]()

    def visit(a: Argument) -> None:
        for name in names_in(a.domain):
            visit(by_name[name])
        found.setdefault(a.name, a)

    for a in sorted(arguments, key=_turn):
        visit(a)
    return list(found.values())


def _turn(argument: Argument) -> int:
    if isinstance(argument.domain, Point):
        return 0
    return 1 if is_discrete(argument.domain) else 2 if math.prod(argument.shape) == 1 else 3


def hulls(arguments: Sequence[Argument]) -> dict[str, Interval]:
    """The interval that every argument of comparable numbers stays in, whatever the others are."""
    by_name, found = {a.name: a for a in arguments}, dict[str, Interval]()
    for a in arguments:
        hull = _hull(a.domain, by_name)
        if hull is not None:
            found[a.name] = hull
    return found


def _hull(domain: Tensors, by_name: Mapping[str, Argument]) -> Interval | None:
    if isinstance(domain, Sorted):
        return _hull(domain.of, by_name)
    if isinstance(domain, Interval):
        return domain
    if isinstance(domain, Integers):
        return Interval(domain.low, domain.high, True, True)
    if isinstance(domain, (Choice, Point)):
        values = domain.values if isinstance(domain, Choice) else flat(domain.value)
        return Interval(min(values), max(values), True, True)
    if not isinstance(domain, Between):
        return None
    low, low_closed = domain.low, domain.low_closed
    high, high_closed = domain.high, domain.high_closed
    if isinstance(low, str):
        bound = _hull(by_name[low].domain, by_name) or Interval(-math.inf, math.inf, False, False)
        low, low_closed = bound.low, low_closed and bound.low_closed
    if isinstance(high, str):
        bound = _hull(by_name[high].domain, by_name) or Interval(-math.inf, math.inf, False, False)
        high, high_closed = bound.high, high_closed and bound.high_closed
    return Interval(low, high, low_closed, high_closed)


def facing(bound: Sequence[Any], size: int, place: int) -> Sequence[Any]:
    """The numbers of a bounding argument that stand beside one element of an argument with `size` of them."""
    return [bound[place]] if len(bound) == size else bound


def room_around(arguments: Sequence[Argument], sample: Mapping[str, Any]) -> Room:
    """Which sides of the values of one sample lie inside the domains; limits are taken from there.

    What is neither an interval nor between bounds has no neighbours to take a limit from. Nor has a number that
    stands twice in a sorted vector, or one on the side where another argument bounds it.
    """
    domains, inside, least = {a.name: a.domain for a in arguments}, hulls(arguments), relations(arguments)

    def room(name: str, x: float) -> tuple[bool, bool]:
        domain, values = domains[name], flat(sample[name])
        if not isinstance(domain, (Interval, Between, Sorted)) or is_discrete(domain):
            return False, False
        if isinstance(domain, Sorted) and values.count(x) > 1:
            return False, False
        places = [k for k, value in enumerate(values) if value == x]

        def beside(other: str) -> list[float]:
            return [v for k in places for v in facing(flat(sample[other]), len(values), k)]

        below = all(v < x for low, high in least if high == name != low for v in beside(low))
        above = all(v > x for low, high in least if low == name != high for v in beside(high))
        return below and x > inside[name].low, above and x < inside[name].high

    return room


def in_order(moved: Mapping[str, Any], start: Mapping[str, Any], arguments: Sequence[Argument]) -> dict[str, Any]:
    """A sample whose real numbers were moved a little from `start`, each moved on with the bound that it crossed.

    A number that must not meet its bound stays where it started instead.
    """
    least, found = relations(arguments), dict(moved)
    if not any(between(a.domain) or isinstance(a.domain, Sorted) for a in arguments):
        return found
    done: set[str] = set()
    for a in sequence(arguments):
        values, origins = flat(found[a.name]), flat(start[a.name])
        for low, high in least if not is_discrete(a.domain) else ():
            for k, x in enumerate(values):
                if high == a.name and low in done:
                    beside = facing(flat(found[low]), len(values), k)
                    values[k] = _kept(x, origins[k], max(beside), least[low, high], operator.lt)
                if low == a.name and high in done:
                    beside = facing(flat(found[high]), len(values), k)
                    values[k] = _kept(x, origins[k], min(beside), least[low, high], operator.gt)
        found[a.name] = _shaped(found[a.name], iter(values))
        if isinstance(a.domain, Sorted):
            found[a.name] = _ascending(found[a.name])
        done.add(a.name)
    return found


def _kept(x: Any, start: Any, bound: Any, steps: int, beyond: Callable[[Any, Any], bool]) -> Any:
    if steps and (beyond(x, bound) or x == bound):
        x = start
    return bound if beyond(x, bound) else x


def _shaped(like: Any, values: Any) -> Any:
    return [_shaped(v, values) for v in like] if isinstance(like, list) else next(values)


def _ascending(value: list[Any]) -> list[Any]:
    return [_ascending(v) for v in value] if isinstance(value[0], list) else sorted(value)
