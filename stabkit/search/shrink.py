"""From a failing sample to the simplest numbers that still fail in the same way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stabkit.domain import Argument
from stabkit.floats import Format, nearest, shortest
from stabkit.program import points_of_many
from stabkit.search.joint import Joint
from stabkit.search.lattice import Lattice
from stabkit.search.legal import are_legal

PLAIN = (0.0, 1.0, -1.0, 2.0, 0.5, 10.0, -2.0, 3.0, -0.5, -10.0, 0.1, 100.0, 1000.0)


def shrink(
    sample: dict[str, Any],
    arguments: Sequence[Argument],
    form: Format,
    fails: Callable[[dict[str, Any]], bool],
    tries: int,
    doubtful: Callable[[list[dict[str, Any]]], list[bool]] = lambda candidates: [True] * len(candidates),
) -> dict[str, Any]:
    """The sample with each element replaced by simpler numbers for as long as `fails` holds.

    Args:
        sample: numbers or nested lists by argument name; it fails.
        fails: whether a sample, rounded to the dtype, still fails alike.
        tries: how many samples may be tried.
        doubtful: which of several candidates are worth a try.
    """
    best, left, progress, joint = sample, tries, True, Joint(tuple(arguments), form)
    while progress and left > 0:
        progress = False
        for name, place, lattice in _elements(best, joint):
            simpler = _simpler(_at(best[name], place), lattice)
            candidates = _legal([{**best, name: _replaced(best[name], place, x)} for x in simpler], joint)
            for candidate in itertools.compress(candidates, doubtful(candidates) if candidates else ()):
                if left <= 0:
                    break
                left -= 1
                if fails(candidate):
                    best, progress = candidate, True
                    break
    return best


def complexity(value: float) -> float:
    """How long a number is to write: significant digits and size of its decimal exponent."""
    if value == 0:
        return 0.0
    if not math.isfinite(value):
        return 3.0
    mantissa, _, exponent = f"{abs(value):.16e}".partition("e")
    return len(mantissa.replace(".", "").rstrip("0")) * 2 + abs(int(exponent)) * 0.5 + (value < 0) * 0.5


def _elements(sample: dict[str, Any], joint: Joint) -> Iterator[tuple[str, tuple[int, ...], Lattice]]:
    for a in joint.arguments:
        lattice = joint.lattice(a)
        if lattice is not None:
            for place in _places(sample[a.name]):
                yield a.name, place, lattice


def _legal(samples: list[dict[str, Any]], joint: Joint) -> list[dict[str, Any]]:
    """The samples that are legal beside other arguments, too."""
    if not samples or not joint.is_dependent:
        return samples
    points = points_of_many(samples, tuple(joint.arguments), joint.form)
    return list(itertools.compress(samples, are_legal(points, joint.arguments, joint.form).tolist()))


def _places(value: Any) -> list[tuple[int, ...]]:
    if not isinstance(value, list):
        return [()]
    return [(i, *rest) for i, v in enumerate(value) for rest in _places(v)]


def _at(value: Any, place: tuple[int, ...]) -> float:
    for i in place:
        value = value[i]
    return float(value)


def _replaced(value: Any, place: tuple[int, ...], new: float) -> Any:
    if not place:
        return new
    return [_replaced(v, place[1:], new) if i == place[0] else v for i, v in enumerate(value)]


def _simpler(value: float, lattice: Lattice) -> Iterator[float]:
    """Legal numbers simpler than `value`, the simplest first."""
    rounded = [float(f"{value:.{digits}e}") for digits in range(4)] if math.isfinite(value) else []
    powers = (
        [math.copysign(10.0 ** round(math.log10(abs(value))), value)]
        if math.isfinite(value) and abs(value) > 1e-300
        else []
    )
    candidates = sorted({*PLAIN, *rounded, *powers}, key=complexity)
    current = complexity(shortest(value, lattice.form))
    for c in candidates:
        if complexity(c) < current and lattice.contains(nearest(c, lattice.form)) and nearest(c, lattice.form) != value:
            yield c
