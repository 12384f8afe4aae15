"""Single numbers inside nested lists: where they are, and lists with one of them replaced."""

from __future__ import annotations

from typing import Any


def places_in(value: Any) -> list[tuple[int, ...]]:
    """The indices of every number.

    Example:
        >>> places_in([[1.0, 2.0]]), places_in(3.0)
        ([(0, 0), (0, 1)], [()])
    """
    if not isinstance(value, list):
        return [()]
    return [(i, *rest) for i, v in enumerate(value) for rest in places_in(v)]


def at(value: Any, place: tuple[int, ...]) -> float:
    """The number at one place."""
    for i in place:
        value = value[i]
    return float(value)


def replaced(value: Any, place: tuple[int, ...], new: Any) -> Any:
    """The lists with another number at one place."""
    if not place:
        return new
    return [replaced(v, place[1:], new) if i == place[0] else v for i, v in enumerate(value)]


def filled(shape: Any, value: Any) -> Any:
    """Lists of that shape that hold one value everywhere."""
    return [filled(s, value) for s in shape] if isinstance(shape, list) else value
