"""One operation on exact numbers by itself: what it should give for the inputs it got, and how it amplifies errors."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from flint import arb
from torch import Tensor

from stabkit.arithmetic.ball import Ball
from stabkit.exact.operations import dispatch
from stabkit.exact.random_draws import DRAWS
from stabkit.exact.steps import Alone, Reals, leaves_in
from stabkit.exact.tensor import balls_of, exact, lifted

STEP = 2.0**-60  # by which inputs are moved, relatively
MOST_ALONE = 16  # elements of an operand that are moved one by one


def single(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Alone | None:
    """The operation on the given floats, in real arithmetic at Arb's current precision.

    The condition is the sum, over the operands' elements, of the relative change of a result over the relative change
    of that element, at its largest; of operands with more elements than `MOST_ALONE` these move all alike or
    neighbours apart.

    Returns:
        None where the operation has no exact counterpart.

    Example:
        >>> import torch
        >>> from flint import ctx
        >>> with ctx.workprec(256):
        ...     alone = single(torch.ops.aten.sub.Tensor, (torch.tensor(1.0), torch.tensor(0.75)), {})
        >>> float(alone.result[0]), alone.condition
        (0.25, 7.0)
    """
    if func.overloadpacket.__name__ in DRAWS:  # another draw would move the generator
        return None
    try:
        truth = _run(func, args, kwargs)
    except Exception:  # no counterpart, undecided, or draws of its own
        return None
    amplified = 0.0
    for index, value in enumerate(args):
        if any(_is_float(x) for x in leaves_in((value,))):
            amplified += _amplification(func, args, kwargs, index, truth)
    return Alone(truth, amplified)


def _run(func: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Reals:
    with torch.no_grad():
        result = dispatch(func, [_lifted(a) for a in args], {k: _lifted(v) for k, v in kwargs.items()})
    out = next(x for x in leaves_in((result,)) if isinstance(x, Tensor))
    return tuple(b.x for b in balls_of(out).reshape(-1))


def _is_float(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _lifted(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_lifted, value))
    return lifted(value.detach()) if _is_float(value) else value


def _amplification(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], index: int, truth: Reals) -> float:
    """The largest relative change of a result when one operand is moved, over that move."""
    count = sum(x.numel() for x in leaves_in((args[index],)) if _is_float(x))
    if count > MOST_ALONE:
        ways = [[1.0] * count, [(-1.0) ** k for k in range(count)]]
        return max(max(_changes(func, args, kwargs, index, truth, steps), default=0.0) for steps in ways)
    alone = [[float(k == moved) for k in range(count)] for moved in range(count)]
    changes = [_changes(func, args, kwargs, index, truth, steps) for steps in alone]
    return max(map(sum, zip(*changes, strict=True)), default=0.0)


def _changes(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], index: int, truth: Reals, steps: Sequence[float]
) -> list[float]:
    """The relative change of each element of a result when elements of one operand are moved, over that move."""
    waiting = iter(steps)
    moved = [_moved(a, waiting) if k == index else a for k, a in enumerate(args)]
    with contextlib.suppress(Exception):  # a comparison that the move leaves undecided
        return list(map(_relative_change, _run(func, moved, kwargs), truth))
    return [0.0] * len(truth)


def _moved(value: Any, steps: Iterator[float]) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_moved(v, steps) for v in value)
    if not _is_float(value):
        return value
    balls = balls_of(value)
    flat = balls.reshape(-1)
    for k in range(flat.size):
        flat[k] = flat[k] * Ball(1 + arb(STEP * next(steps)))
    return exact(balls, value.dtype)


def _relative_change(there: arb, here: arb) -> float:
    if not (there.is_finite() and here.is_finite()):
        return 0.0
    difference = abs(there.mid() - here.mid())
    if difference.is_zero():
        return 0.0
    return math.inf if here.mid().is_zero() else float(f"{float(difference / abs(here.mid()) / STEP):.6g}")
