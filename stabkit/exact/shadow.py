"""Every operation of one run, forward and backward, in the audited dtype and in float64 side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stabkit.program import Program, points_of

LARGEST_RECORDED = 256  # elements; a witness is one sample


@dataclass(frozen=True)
class Step:
    """One operation: its name and its tensors' elements as doubles."""

    name: str
    inputs: tuple[tuple[float, ...], ...]
    output: tuple[float, ...]
    backward: bool


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the floating-point operations that run under it; views and copies are left out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = [_elements(x) for x in _leaves((*args, *(kwargs or {}).values())) if _is_number(x)]
        result = func(*args, **(kwargs or {}))
        out = next((x for x in _leaves((result,)) if isinstance(x, Tensor)), None)
        if out is not None and out.is_floating_point() and not func.is_view and before:
            self.steps.append(
                Step(
                    func.overloadpacket.__name__.strip("_"),
                    tuple(before),
                    _elements(out),
                    torch._C._current_graph_task_id() != -1,
                )
            )
        return result


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
    return tuple(x.detach().double().flatten().tolist()) if isinstance(x, Tensor) else (float(x),)


def trace(program: Program, sample: Mapping[str, Any]) -> list[Step]:
    """The steps of one run at one sample."""
    points = points_of(sample, program.target.arguments, program.form)
    recorder = Recorder()
    with recorder:
        program.run(points)
    return recorder.steps


@dataclass(frozen=True)
class Pair:
    """One operation natively and in float64, with the roundoffs lost before and after it."""

    native: Step
    wide: Step
    loss_in: float
    loss_out: float

    @property
    def amplification(self) -> float:
        """Bits lost by this operation beyond what its inputs had lost already."""
        return math.log2(max(self.loss_out, 1.0)) - math.log2(max(self.loss_in, 1.0))


def side_by_side(program: Program, sample: Mapping[str, Any]) -> list[Pair]:
    """The steps of both runs, as far as they are the same operations in the same order."""
    native, wide = trace(program, sample), trace(program.in_dtype("float64"), sample)
    u = program.form.unit_roundoff
    pairs = []
    for a, b in zip(native, wide, strict=False):
        if a.name != b.name or len(a.inputs) != len(b.inputs):
            break
        loss_in = max((_relative(x, y, u) for x, y in zip(a.inputs, b.inputs, strict=True)), default=0.0)
        pairs.append(Pair(a, b, loss_in, _relative(a.output, b.output, u)))
    return pairs


def _relative(native: Sequence[float], wide: Sequence[float], u: float) -> float:
    """The largest relative difference of finite elements, in unit roundoffs."""
    pairs = [(a, b) for a, b in zip(native, wide, strict=False) if math.isfinite(a) and math.isfinite(b) and a != b]
    return max((min(abs(a - b) / abs(b), 1e30) / u if b else 1e30 / u for a, b in pairs), default=0.0)
