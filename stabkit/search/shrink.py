"""From a failing sample to the simplest numbers that still fail in the same way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stabkit.domain import Argument, Booleans, Choice, Integers
from stabkit.floats import Format, nearest, shortest
from stabkit.program import points_of_many
from stabkit.search.joint import Joint
from stabkit.search.lattice import Lattice
from stabkit.search.legal import are_legal
from stabkit.search.places import at, filled, places_in, replaced

PLAIN = (0.0, 1.0, -1.0, 2.0, 0.5, 10.0, -2.0, 3.0, -0.5, -10.0, 0.1, 100.0, 1000.0)
PLAIN_VECTORS = (0.0, 1.0, -1.0)

Sample = dict[str, Any]


def shrink(
    sample: Sample,
    arguments: Sequence[Argument],
    form: Format,
    fails: Callable[[Sample], bool],
    tries: int,
    doubtful: Callable[[list[Sample]], list[bool]] = lambda candidates: [True] * len(candidates),
) -> Sample:
    """The sample with arguments and elements replaced by simpler ones for as long as `fails` holds.

    Args:
        sample: numbers or nested lists by argument name; it fails.
        fails: whether a sample, rounded to the dtype, still fails alike.
        tries: how many samples may be tried.
        doubtful: which of several candidates are worth a try.
    """
    best, left, progress, joint = sample, tries, True, Joint(tuple(arguments), form)
    failed: set[str] = set()  # candidates that are known not to fail alike
    while progress and left > 0:
        progress = False
        for steps in _steps(best, joint):
            candidates = [c for c in _legal(steps(best), joint) if repr(c) not in failed]
            worth = doubtful(candidates) if candidates else []
            failed.update(repr(c) for c, ok in zip(candidates, worth, strict=True) if not ok)
            for candidate in itertools.compress(candidates, worth):
                if left <= 0:
                    break
                left -= 1
                if fails(candidate):
                    best, progress = candidate, True
                    break
                failed.add(repr(candidate))
    return best


def complexity(value: float) -> float:
    """How long a number is to write: significant digits and size of its decimal exponent, or a power of two."""
    if value == 0:
        return 0.0
    if not math.isfinite(value):
        return 3.0
    mantissa, _, exponent = f"{abs(value):.16e}".partition("e")
    sign = (value < 0) * 0.5
    decimal = len(mantissa.replace(".", "").rstrip("0")) * 2 + abs(int(exponent)) * 0.5
    fraction, power = math.frexp(abs(value))
    return sign + (min(decimal, 6 + abs(power - 1) * 0.15) if fraction == 0.5 else decimal)


def _legal(samples: list[Sample], joint: Joint) -> list[Sample]:
    """The samples that are legal beside other arguments, too."""
    if not samples or not joint.is_dependent:
        return samples
    points = points_of_many(samples, tuple(joint.arguments), joint.form)
    return list(itertools.compress(samples, are_legal(points, joint.arguments, joint.form).tolist()))


def _steps(sample: Sample, joint: Joint) -> Iterator[Callable[[Sample], list[Sample]]]:
    """What to try in turn, each from the best sample so far: arguments as a whole, then the longest numbers first."""
    form, arguments = joint.form, joint.arguments
    lattices = {a.name: lattice for a in arguments if (lattice := joint.lattice(a)) is not None}
    for a in arguments:
        if a.name in lattices and a.shape:
            yield lambda best, a=a: _plain_vectors(best, a.name, lattices[a.name])  # type: ignore[misc]
    spots = [(a, place) for a in arguments for place in places_in(sample[a.name])]
    for a, place in sorted(spots, key=lambda spot: -complexity(shortest(at(sample[spot[0].name], spot[1]), form))):
        yield lambda best, a=a, place=place: [  # type: ignore[misc]
            {**best, a.name: replaced(best[a.name], place, x)}
            for x in _simpler(at(best[a.name], place), a, form, lattices.get(a.name))
        ]
    for a, b in itertools.permutations(arguments, 2):
        if a.name in lattices and b.name in lattices and a.shape == b.shape:
            yield lambda best, a=a, b=b: _equated(best, a.name, b.name, lattices[b.name])  # type: ignore[misc]


def _plain_vectors(sample: Sample, name: str, lattice: Lattice) -> list[Sample]:
    """All elements of an argument zero, one, or like one of them."""
    value, form = sample[name], lattice.form
    elements = [at(value, place) for place in places_in(value)]
    simplest = min(elements, key=lambda x: complexity(shortest(x, form)))
    numbers = dict.fromkeys(x for x in (*PLAIN_VECTORS, simplest) if lattice.contains(x))
    length = _length(elements, form)
    candidates = [filled(value, x) for x in numbers if complexity(shortest(x, form)) * len(elements) <= length]
    return [{**sample, name: v} for v in candidates if v != value]


def _equated(sample: Sample, name: str, other: str, lattice: Lattice) -> list[Sample]:
    """The other argument made equal to the first, if that is no longer to write and legal."""
    here, there, form = sample[name], sample[other], lattice.form
    elements = [at(here, place) for place in places_in(here)]
    shorter = _length(elements, form) <= _length([at(there, p) for p in places_in(there)], form)
    return [{**sample, other: here}] if here != there and shorter and all(map(lattice.contains, elements)) else []


def _length(numbers: Sequence[float], form: Format) -> float:
    return sum(complexity(shortest(x, form)) for x in numbers)


def _simpler(value: float, argument: Argument, form: Format, lattice: Lattice | None) -> Iterator[Any]:
    """Legal values of an argument simpler than `value`, the simplest first."""
    domain = argument.domain
    if lattice is not None:
        yield from _simpler_floats(value, lattice)
    elif isinstance(domain, Integers):
        wholes = dict.fromkeys([domain.low, max(domain.low, 0), (domain.low + int(value)) // 2, int(value) - 1])
        yield from ((k if domain.index else float(k)) for k in wholes if domain.low <= k < value)
    elif isinstance(domain, Booleans) and value:
        yield False
    elif isinstance(domain, Choice):
        yield from itertools.takewhile(lambda choice: nearest(choice, form) != value, domain.values)


def _simpler_floats(value: float, lattice: Lattice) -> Iterator[float]:
    """Legal numbers simpler than `value`, the simplest first: plain ones, fewer digits, powers of ten and of two."""
    candidates = {*PLAIN}
    if math.isfinite(value) and value != 0:
        candidates |= {float(f"{value:.{digits}e}") for digits in range(4)}
    if math.isfinite(value) and abs(value) > 1e-300:
        tens, twos = round(math.log10(abs(value))), round(math.log2(abs(value)))
        powers = (10.0**tens if tens < 308 else math.inf, 2.0**twos if twos < 1024 else math.inf)
        candidates |= {math.copysign(p, value) for p in powers if math.isfinite(p)}
    current = complexity(shortest(value, lattice.form))
    for c in sorted(candidates, key=complexity):
        if complexity(c) < current and lattice.contains(nearest(c, lattice.form)) and nearest(c, lattice.form) != value:
            yield c
