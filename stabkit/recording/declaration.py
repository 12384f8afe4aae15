"""From what calls held to the declarations of `--arg`: domains, shapes, and notes on what they cannot tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

import torch

from stabkit.domain import (
    MOST_ELEMENTS,
    MOST_INTEGER,
    Argument,
    Booleans,
    Built,
    Choice,
    Fixed,
    Integers,
    Interval,
    Literal,
    Parameter,
    Simplex,
    Tensors,
)
from stabkit.errors import DomainError
from stabkit.notation import parse_parameter
from stabkit.recording.observed import Observed, Seen, Shape, read

WIDEST_WHOLE = 255  # that whole floats may span to be declared as whole numbers


@dataclass(frozen=True)
class Summary:
    """The arguments as declarations, and what they do not tell."""

    arguments: tuple[Parameter, ...]
    notes: tuple[str, ...]


def domain_of(observed: Observed, differentiable: bool = True, row: int = 1) -> Tensors:
    """The domain that an argument's numbers suggest, never smaller than they are.

    Args:
        differentiable: a gradient is asked for, so that whole numbers are only where it happened to be.
        row: how many numbers stand along the last axis of one sample.

    Example:
        >>> print(domain_of(Observed("float", low=2.14e-7, high=3.31, whole=False)))
        [2.1e-07,3.4]
    """
    o = observed
    if o.kind == "bool":
        return Booleans()
    if o.kind == "integer":
        return Integers(min(0, int(o.low)), int(o.high), index=True)
    if o.low > o.high:
        return Interval(-math.inf, math.inf, o.below > 0, o.above > 0)
    usual = not (o.nans or o.above or o.below)
    if usual and o.simplex and row > 1:
        return Simplex()
    if usual and o.whole and not differentiable and o.high - o.low <= WIDEST_WHOLE and abs(o.high) < MOST_INTEGER:
        return (
            Choice((o.low, o.high)) if o.low < 0 and -o.low == o.high == o.least else Integers(int(o.low), int(o.high))
        )
    low = -math.inf if o.below else _two_digits(o.low, ROUND_FLOOR)
    return Interval(low, math.inf if o.above else _two_digits(o.high, ROUND_CEILING), True, True)


def _two_digits(x: float, rounding: str) -> float:
    rounded = float(Context(prec=2, rounding=rounding).create_decimal(Decimal(x)))
    return rounded + 0.0 if math.isfinite(rounded) else x


def shapes_of(layouts: Sequence[Mapping[str, Shape]]) -> tuple[dict[str, tuple[bool, Shape]], list[str]]:
    """Of each argument, whether it has a batch dimension and the shape of one sample; and notes.

    The batch is the first size of the argument with most dimensions and of all that share it in every call, if the
    others broadcast against that argument. A tensor without dimensions becomes a number for each sample.

    Example:
        >>> shapes_of([{"logits": (32, 10), "label": (32,), "weight": (10,), "temperature": ()}])[0]
        {'logits': (True, (10,)), 'label': (True, ()), 'weight': (False, (10,)), 'temperature': (True, (1,))}
    """
    found: dict[str, list[Shape]] = {}
    for name, shape in (pair for layout in layouts for pair in layout.items()):
        found.setdefault(name, []).append(shape)
    unbatched = {n for layout in layouts for n in set(layout) - _batched(layout) if layout[n]}
    shapes, notes = {}, []
    for name, seen in found.items():
        rank = min(map(len, seen))
        sizes = [set(column) for column in zip(*(s for s in seen if len(s) == rank), strict=True)]
        batch = name not in unbatched and rank > 0
        if any(len(s) != rank for s in seen) or any(len(column) > 1 for column in sizes[batch:]):
            notes.append(f"{name}: its shape varies from call to call; the smallest sizes are declared")
        shapes[name] = batch, tuple(min(column) for column in sizes[batch:])
    depth = max((len(shape) for batch, shape in shapes.values() if batch), default=0)
    alone = any(not batch and shape for batch, shape in shapes.values()) and not any(b for b, _ in shapes.values())
    lone = (False, (1,)) if alone else (True, (1,) * depth)
    shapes = {n: pair if pair != (False, ()) else lone for n, pair in shapes.items()}
    return _of_auditable_size(shapes, notes), notes


def _batched(layout: Mapping[str, Shape]) -> set[str]:
    """The arguments of one call that start with the batch; none where the others do not broadcast against it."""
    sized = {n: s for n, s in layout.items() if s}
    widest = max(sized.values(), key=lambda s: (len(s), s[0]), default=())
    rest = {n: s for n, s in sized.items() if s[0] != widest[0]}
    fits = all(a in (1, b) for s in rest.values() for a, b in zip(reversed(s), reversed(widest), strict=False))
    return set(sized) - set(rest) if fits else set()


def _of_auditable_size(shapes: dict[str, tuple[bool, Shape]], notes: list[str]) -> dict[str, tuple[bool, Shape]]:
    """Shapes with their largest size halved, the same for all arguments, until one sample can be audited."""
    small = shapes
    while any(math.prod(shape) > MOST_ELEMENTS for _, shape in small.values()):
        largest = max(n for _, shape in small.values() for n in shape)
        halved = {largest: largest // 2}
        small = {name: (batch, tuple(halved.get(n, n) for n in shape)) for name, (batch, shape) in small.items()}
    if small is not shapes:
        notes.append(f"shapes: halved until a sample has {MOST_ELEMENTS} numbers; make indices into them smaller too")
    return small


def summarize(seen: Seen) -> Summary:
    """What was seen as declarations that read back as themselves; this waits for the devices."""
    shapes, notes = shapes_of([dict(layout) for layout in seen.layouts])
    leaves: dict[str, Argument] = {}
    for name, extremes in seen.extremes.items():
        observed, (batch, shape) = read(extremes), shapes[name]
        data = bool(seen.with_gradient) and name not in seen.with_gradient
        domain = domain_of(observed, name in seen.with_gradient, shape[-1] if shape else 1)
        leaves[name] = Argument(name, domain, data, shape, batch)
        notes += _oddities(name, observed)
    arguments: list[Parameter] = []
    for name, forms in seen.forms.items():
        parameter, words = _declaration(seen, name, forms, leaves)
        arguments += [parameter] if parameter else []
        notes += words
    return Summary(tuple(arguments), tuple(notes))


def _oddities(name: str, observed: Observed) -> Iterator[str]:
    for count, what in ((observed.nans, "NaN"), (observed.above, "inf"), (observed.below, "-inf")):
        if count:
            yield f"{name}: {what} {count} {'time' if count == 1 else 'times'}" + ", not declared" * (what == "NaN")
    if observed.low > observed.high:
        yield f"{name}: none of its numbers was finite"
    if observed.kind == "integer" and observed.low < 0:
        yield f"{name}: whole numbers down to {int(observed.low)}; if negative ones mark what is ignored, start at 0"


def _declaration(
    seen: Seen, name: str, forms: Counter[str], leaves: Mapping[str, Argument]
) -> tuple[Parameter | None, list[str]]:
    """One argument as it is declared, if it can be, and what is left unsaid."""
    inner = tuple(leaf for n, leaf in leaves.items() if n.startswith(f"{name}."))
    family = next((f for f in forms if inner and hasattr(torch.distributions, f)), "")
    parameter: Parameter | None = leaves.get(name) or (Built(name, family, inner) if family else None)
    if parameter is None and "literal" in forms:
        parameter = Fixed(name, Literal(seen.firsts[name]))
    if parameter is None or not _reads_back(parameter):
        return None, [f"{name}: cannot be declared ({', '.join(forms)}); audit a function that builds it from tensors"]
    used = "tensor" if name in leaves else family or "literal"
    notes = [f"{name}: {form} in {n} of {seen.calls} calls" for form, n in forms.items() if form != used]
    left_out = seen.calls - sum(forms.values())
    notes += [f"{name}: left out in {left_out} of {seen.calls} calls"] if left_out else []
    if used == "literal" and name in seen.varying:
        notes.append(f"{name}: its value varies from call to call; the first is declared")
    return parameter, notes


def _reads_back(parameter: Parameter) -> bool:
    try:
        return parse_parameter(str(parameter)) == parameter
    except DomainError:
        return False
