"""Every operation of one run, forward and backward, in the audited dtype and in a wider world side by side.

Float64 is wide enough for the narrower dtypes where a reference judges; else the run on exact numbers stands beside.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flint
from flint import arb

from stabkit.exact.playback import play
from stabkit.exact.single import single
from stabkit.exact.steps import Alone, Recorder, Step
from stabkit.program import Caller, Points, Program, points_of

EXACT_BITS = 256


def trace(program: Program, sample: Mapping[str, Any], by_itself: bool = False) -> list[Step]:
    """The steps of one run at one sample.

    Args:
        by_itself: whether each operation is also run by itself on exact numbers.
    """
    recorder = Recorder(by_itself=_single if by_itself else None)
    trace_points(program, points_of(sample, program.target.arguments, program.form), recorder)
    return recorder.steps


def trace_points(program: Program, points: Points, recorder: Recorder) -> None:
    """Records one run at one sample, or at many where the program takes them together."""
    caller = Caller(program)
    leaves = caller.leaves(points, single=not program.batched, gradients=True)
    with recorder, contextlib.suppress(Exception):  # what it did before it raised tells enough
        caller.differentiated(leaves)


def _single(func: Any, args: Any, kwargs: Any) -> Alone | None:
    with flint.ctx.workprec(EXACT_BITS):
        return single(func, args, kwargs)


def exact_trace(program: Program, sample: Mapping[str, Any]) -> list[Step] | None:
    """The steps of one exact run; None where there is none."""
    names = [a.name for a in program.target.arguments if a.is_differentiable]
    recorder = Recorder(exact=True)
    try:
        with flint.ctx.workprec(EXACT_BITS):
            play(program, sample, names, recorder)
    except Exception:  # an operation without counterpart, a comparison undecided, a program that notices
        return None
    return recorder.steps


@dataclass(frozen=True)
class Pair:
    """One operation natively and exactly (or in float64), with the roundoffs lost before and after it."""

    native: Step
    wide: Step
    loss_in: float
    loss_out: float

    @property
    def amplification(self) -> float:
        """Bits lost by this operation beyond what its inputs had lost already."""
        return math.log2(max(self.loss_out, 1.0)) - math.log2(max(self.loss_in, 1.0))

    def true_output(self, element: int) -> arb | None:
        """What the wider run has in the place of an element of the result."""
        row = self.wide.reals[-1] if self.wide.reals and self.wide.reals[-1] else self.wide.output
        return arb(row[element]) if element < len(row) else None


def side_by_side(
    program: Program, sample: Mapping[str, Any], exactly: bool, native: list[Step] | None = None
) -> list[Pair]:
    """The steps of both runs, as far as they are the same operations in the same order.

    Args:
        exactly: whether the wider run is the one on exact numbers, if there is one.
        native: the steps of the native run, where they are known.
    """
    native = trace(program, sample) if native is None else native
    wide = (exact_trace(program, sample) if exactly else None) or trace(program.in_dtype("float64"), sample)
    u = program.form.unit_roundoff
    pairs = []
    for a, b in zip(native, wide, strict=False):
        if a.name != b.name or len(a.inputs) != len(b.inputs):
            break
        tails = b.tails or ((),) * (len(b.inputs) + 1)
        lost = [_relative(x, y, t, u) for x, y, t in zip(a.inputs, b.inputs, tails, strict=False)]
        pairs.append(Pair(a, b, max(lost, default=0.0), _relative(a.output, b.output, tails[-1], u)))
    return pairs


def _relative(native: Sequence[float], wide: Sequence[float], tails: Sequence[float], u: float) -> float:
    """The largest relative difference of finite elements, in unit roundoffs."""
    worst = 0.0
    for a, b, tail in itertools.zip_longest(native, wide, tails, fillvalue=0.0):
        if math.isfinite(a) and math.isfinite(b) and (a != b or tail):
            distance = abs((a - b) / b - tail) if b else abs(tail) if not a and tail else 1e30
            worst = max(worst, min(distance, 1e30) / u)
    return worst
