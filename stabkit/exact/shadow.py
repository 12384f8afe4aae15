"""Every operation of one run, forward and backward, in the audited dtype and in a wider world side by side.

Float64 is wide enough for the narrower dtypes where a reference judges; else the run on exact numbers stands beside.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flint
import torch
from flint import arb
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stabkit.exact.place import program_place
from stabkit.exact.playback import play
from stabkit.exact.tensor import ExactTensor, balls_of
from stabkit.program import Caller, Program, points_of

EXACT_BITS = 256
LARGEST_RECORDED = 256  # elements; a witness is one sample


@dataclass(frozen=True)
class Step:
    """One operation: its name and its tensors' elements as doubles.

    Attributes:
        tails: what share of exact numbers the doubles of inputs and output leave out; empty for floats.
        place: file and line of the program that it stands for, of a backward operation those of its forward one.
    """

    name: str
    inputs: tuple[tuple[float, ...], ...]
    output: tuple[float, ...]
    backward: bool
    tails: tuple[tuple[float, ...], ...] = ()
    place: tuple[str, int] | None = None


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the floating-point operations that run under it; views and copies are left out."""

    def __init__(self, exact: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.exact = exact
        self.steps: list[Step] = []
        self._places: dict[int, tuple[str, int] | None] = {}  # by the number of the autograd node

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        numbers = [x for x in _leaves((*args, *(kwargs or {}).values())) if _is_number(x)]
        before = [_elements(x) for x in numbers]
        tails = [_tails(x) for x in numbers] if self.exact else []
        result = func(*args, **(kwargs or {}))
        out = next((x for x in _leaves((result,)) if isinstance(x, Tensor)), None)
        place = self._place()
        if out is not None and out.is_floating_point() and not func.is_view and before:
            self.steps.append(
                Step(
                    func.overloadpacket.__name__.strip("_"),
                    tuple(before),
                    _elements(out),
                    torch._C._current_graph_task_id() != -1,
                    (*tails, _tails(out)) if self.exact else (),
                    place,
                )
            )
        return result

    def _place(self) -> tuple[str, int] | None:
        """Where the operation that is running stands in the program."""
        node: Any = torch._C._current_autograd_node()
        if node is not None:
            return self._places.get(node._sequence_nr())
        place = program_place()
        self._places.setdefault(torch._C._autograd._get_sequence_nr() - 1, place)
        return place


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    """What an operation takes or returns, lists of tensors opened."""
    for v in values:
        if isinstance(v, (list, tuple)):
            yield from _leaves(v)
        else:
            yield v


def _is_number(x: Any) -> bool:
    return (isinstance(x, Tensor) and x.is_floating_point() and x.numel() <= LARGEST_RECORDED) or (isinstance(x, float))


def _elements(x: Any) -> tuple[float, ...]:
    if isinstance(x, ExactTensor):
        return tuple(float(b.x.mid()) for b in balls_of(x).reshape(-1))
    return tuple(x.detach().double().flatten().tolist()) if isinstance(x, Tensor) else (float(x),)


def _tails(x: Any) -> tuple[float, ...]:
    """Exact numbers less their doubles, over the numbers."""
    if not isinstance(x, ExactTensor):
        return ()
    middles = [b.x.mid() for b in balls_of(x).reshape(-1)]
    return tuple(float((m - arb(float(m))) / m) if m.is_finite() and not m.is_zero() else 0.0 for m in middles)


def trace(program: Program, sample: Mapping[str, Any]) -> list[Step]:
    """The steps of one run at one sample."""
    caller, recorder = Caller(program), Recorder()
    points = points_of(sample, program.target.arguments, program.form)
    leaves = caller.leaves(points, single=not program.batched, gradients=True)
    with recorder, contextlib.suppress(Exception):  # what it did before it raised tells enough
        caller.differentiated(leaves)
    return recorder.steps


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


def side_by_side(program: Program, sample: Mapping[str, Any], exactly: bool) -> list[Pair]:
    """The steps of both runs, as far as they are the same operations in the same order.

    Args:
        exactly: whether the wider run is the one on exact numbers, if there is one.
    """
    native = trace(program, sample)
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
