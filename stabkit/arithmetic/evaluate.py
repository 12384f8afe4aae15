"""Certified truth of a definition: values and gradients at one sample, by a climb in precision."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import flint
from flint import arb

from stabkit.arithmetic import Number, NumberSystem, Undecided
from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.arithmetic.dual import Dual, DualSystem, watched_ties
from stabkit.arithmetic.enclosure import UNRESOLVED, Enclosure, State
from stabkit.arithmetic.limits import Room, anywhere, limit
from stabkit.errors import DefinitionError
from stabkit.floats import Format

FIRST_PRECISION = 128
LAST_PRECISION = 16_384

Definition = Callable[..., Number]
Sample = Any  # a float, or nested lists of floats for a vector


Way = Callable[[Mapping[str, Sample], Sequence[str]], "Truth"]


@dataclass(frozen=True)
class Truth:
    """What is true at one sample.

    Attributes:
        values: one enclosure for each component of the result.
        gradient: by input name, the derivative of the summed components by each element, flattened.
        precision: bits that settled it.
    """

    values: tuple[Enclosure, ...]
    gradient: Mapping[str, tuple[Enclosure, ...]]
    precision: int

    def is_decided(self, form: Format) -> bool:
        """Whether every number in it is."""
        return all(e.is_decided(form) for e in self.values) and all(
            e.is_decided(form) for row in self.gradient.values() for e in row
        )


def evaluate(
    definition: Definition,
    sample: Mapping[str, Sample],
    form: Format,
    gradient_of: Sequence[str] = (),
    seconds: float = 2.0,
    room: Room = anywhere,
) -> Truth:
    """The truth of `definition(ctx, **sample)` on balls of doubling precision, until a verdict in `form` is settled.

    Args:
        definition: takes a number system, then the sample by name.
        sample: exact input values; nested lists for vectors.
        form: the format whose spacing decides when an enclosure is narrow enough.
        gradient_of: names of the inputs to differentiate by.
        seconds: after this long no further precision is tried.
        room: which sides of a value lie inside the domain; limits are taken from there.

    Returns:
        Truth whose open components are UNRESOLVED, never dropped.

    Example:
        >>> from stabkit.floats import FORMATS
        >>> truth = evaluate(lambda ctx, x: ctx.log1p(ctx.exp(x)), {"x": 0.0}, FORMATS["float32"], ["x"])
        >>> truth.gradient["x"][0].as_double()
        0.5
    """
    return evaluate_any([definition], sample, form, gradient_of, seconds, room)


def evaluate_any(
    definitions: Sequence[Definition],
    sample: Mapping[str, Sample],
    form: Format,
    gradient_of: Sequence[str],
    seconds: float,
    room: Room = anywhere,
) -> Truth:
    """The same by several definitions of the quantity: what any of them settles, at the lowest precision that does."""
    return climb([partial(_at_current_precision, d) for d in definitions], sample, form, gradient_of, seconds, room)


def climb(
    ways: Sequence[Way],
    sample: Mapping[str, Sample],
    form: Format,
    gradient_of: Sequence[str],
    seconds: float,
    room: Room = anywhere,
) -> Truth:
    """The truth by whichever way to compute it on balls settles first, precision doubling after each has been tried.

    Args:
        ways: each takes a sample, whose numbers may be balls, and the names to differentiate by; it works at Arb's
            current precision and may raise Undecided.
    """
    deadline = time.monotonic() + seconds
    precision, best = FIRST_PRECISION, None  # type: int, Truth | None
    while precision <= LAST_PRECISION:
        for way in ways:
            with flint.ctx.workprec(precision), contextlib.suppress(Undecided):
                best = replace(way(sample, gradient_of), precision=precision)
                if best.is_decided(form):
                    return _with_limits(best, way, sample, form, room)
        if time.monotonic() > deadline:
            break
        precision *= 2
    return _with_open_ends(best, form, sample, gradient_of)


def _with_limits(truth: Truth, way: Way, sample: Mapping[str, Sample], form: Format, room: Room) -> Truth:
    """The truth with what is undefined or tied at the sample replaced by its limits."""
    axes = [(name, k) for name, value in sample.items() for k in range(len(flatten(value)))]

    def value(j: int) -> Enclosure:
        return limit(lambda s: way(s, ()).values[j], sample, axes, form, room)

    def slope(name: str, k: int) -> Enclosure:
        def pick(s: Mapping[str, Sample]) -> Enclosure:
            return replace(way(s, [name]).gradient[name][k], kink=False)

        return limit(pick, sample, [(name, k)], form, room)

    def at_a_pole(j: int, e: Enclosure) -> Enclosure:
        near = value(j)  # where a sum of infinite terms was cut off, the limit is finite
        return near if near.is_finite else e

    values = tuple(
        value(j) if e.state is State.UNDEFINED else at_a_pole(j, e) if e.is_infinite else e
        for j, e in enumerate(truth.values)
    )
    gradient = {
        name: tuple(slope(name, k) if e.kink or e.state is State.UNDEFINED else e for k, e in enumerate(row))
        for name, row in truth.gradient.items()
    }
    return Truth(values, gradient, truth.precision)


def _at_current_precision(definition: Definition, sample: Mapping[str, Sample], gradient_of: Sequence[str]) -> Truth:
    if not gradient_of:
        balls = BallSystem()
        result = definition(balls, **{name: lift(balls, value) for name, value in sample.items()})
        return Truth(tuple(Enclosure.of(_ball(v)) for v in _components(result)), {}, 0)
    duals = DualSystem(BallSystem())
    counter = _Counter()
    inputs = {name: _seeded(duals, v, counter if name in gradient_of else None) for name, v in sample.items()}
    with watched_ties() as ties:
        results = _components(definition(duals, **inputs))
    tied = duals.met_tie or any(ties)
    total = sum((r for r in results if isinstance(r, Dual)), start=duals.number(0))
    zero = Ball(arb(0))
    gradient, start = {}, 0
    for name in (n for n in sample if n in gradient_of):
        size = len(flatten(sample[name]))
        slopes = [total.tangents.get(i, zero) for i in range(start, start + size)]
        gradient[name] = tuple(Enclosure.of(t.x, kink=tied) for t in slopes)
        start += size
    return Truth(tuple(Enclosure.of(_ball(r)) for r in results), gradient, 0)


class _Counter:
    """Numbers the differentiated inputs."""

    def __init__(self) -> None:
        self.next = 0

    def take(self) -> int:
        self.next += 1
        return self.next - 1


def _seeded(duals: DualSystem, value: Sample, counter: _Counter | None) -> Any:
    if isinstance(value, (list, tuple)):
        return [_seeded(duals, v, counter) for v in value]
    if isinstance(value, int) and counter is None:
        return value
    return Dual(duals.base.number(value), {} if counter is None else {counter.take(): duals.base.number(1)})


def lift(ctx: NumberSystem, value: Sample) -> Any:
    """A sample as numbers of a system; nested lists are kept, and so are ints: labels and flags index lists."""
    if isinstance(value, (list, tuple)):
        return [lift(ctx, v) for v in value]
    return value if isinstance(value, int) else ctx.number(value)


def flatten(value: Any) -> list[Any]:
    """The leaves of nested lists and tuples, in order."""
    return [leaf for v in value for leaf in flatten(v)] if isinstance(value, (list, tuple)) else [value]


def _components(result: Any) -> list[Any]:
    found = flatten(result)
    if not found:
        raise DefinitionError("the reference's result", "holds no number", "return one, or one for each component")
    return found


def _ball(result: Number) -> arb:
    if isinstance(result, Dual):
        return _ball(result.value)
    if isinstance(result, Ball):
        return result.x
    if not isinstance(result, (int, float)):
        raise DefinitionError(
            f"the reference's result {result!r:.60}",
            "is not a number of its system",
            "return what ctx's functions give",
        )
    return arb(result)


def open_truth(sample: Mapping[str, Sample], gradient_of: Sequence[str]) -> Truth:
    """What stands for a truth of which nothing is known: one open value, whatever the number of components."""
    slopes = {name: (UNRESOLVED,) * len(flatten(sample[name])) for name in gradient_of}
    return Truth((UNRESOLVED,), slopes, LAST_PRECISION)


def _with_open_ends(
    best: Truth | None, form: Format, sample: Mapping[str, Sample], gradient_of: Sequence[str]
) -> Truth:
    """The best truth so far with what is still open marked as such."""
    if best is None:
        return open_truth(sample, gradient_of)

    def closed(row: Sequence[Enclosure]) -> tuple[Enclosure, ...]:
        return tuple(e if e.is_decided(form) else UNRESOLVED for e in row)

    return Truth(closed(best.values), {name: closed(row) for name, row in best.gradient.items()}, best.precision)
