"""What a program decides at each sample: comparisons, clamps, roundings, and the conditions hidden in torch's kernels.

Each is recorded by the operation and the line it stands in, as one whole number a sample that changes where the
decision does. The same recorder watches native runs of many samples and replays of one on exact numbers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flint
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from stabkit.arithmetic import Undecided
from stabkit.exact.place import program_place
from stabkit.exact.playback import play
from stabkit.exact.tensor import ExactTensor, balls_of
from stabkit.program import Program

PRECISIONS = (256, 1024)
MOST_WATCHED = 4096  # elements of one sample
Condition = Callable[..., Tensor]


@dataclass(frozen=True)
class Switch:
    """One decision of a program.

    Attributes:
        operation: its name.
        place: file and line of the program; None where there is none.
        turn: counts the same operations of one line.
    """

    operation: str
    place: tuple[str, int] | None
    turn: int = 0

    @property
    def is_hidden(self) -> bool:
        """Whether it is taken inside a kernel, which the exact replay does not take."""
        return self.operation in HIDDEN

    @property
    def is_rounding(self) -> bool:
        """Whether whole steps are what the operation is for."""
        return self.operation in WHOLE or self.operation in MEANT

    @property
    def is_clamp(self) -> bool:
        """Whether it cuts off by a bound."""
        return self.operation in CLAMPS


def _between(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """-1 below, 0 between, 1 above."""
    found = torch.zeros(x.shape, dtype=torch.int64, device=x.device)
    if low is not None:
        found = found - (x < low).long()
    return found if high is None else found + (x > high).long()


def _sign(x: Any, *_: Any, **__: Any) -> Tensor:
    return _between(x, 0, 0)


def _softplus(x: Any, beta: float = 1, threshold: float = 20) -> Tensor:
    return _between(x * beta, None, threshold)


def _huber(x: Any, y: Any, reduction: int = 1, delta: float = 1.0) -> Tensor:
    return _between((x - y).abs(), None, delta)


def _smooth_l1(x: Any, y: Any, reduction: int = 1, beta: float = 1.0) -> Tensor:
    return _between((x - y).abs(), beta)


def _bce(p: Any, y: Any, *_: Any) -> Tensor:
    least = math.exp(-100.0)  # the kernel cuts logarithms off at -100
    return _between(p, least) + 2 * _between(1 - p, least)


def _threshold(x: Any, threshold: float, value: float) -> Tensor:
    return _between(x, None, threshold)


def _shrink(x: Any, lambd: float = 0.5) -> Tensor:
    return _between(x, -lambd, lambd)


def _around_three(x: Any) -> Tensor:
    return _between(x, -3.0, 3.0)


def _hardtanh(x: Any, low: float = -1.0, high: float = 1.0) -> Tensor:
    return _between(x, low, high)


def _larger(x: Any, y: Any) -> Tensor:
    return _between(x - y, None, 0)


def _logit(x: Any, eps: float | None = None) -> Tensor:
    return _between(x) if eps is None else _between(x, eps, 1 - eps)


def _above(x: Any, bound: Any) -> Tensor:
    return _between(x, None, bound)


HIDDEN: Mapping[str, Condition] = {
    "softplus": _softplus,
    "huber_loss": _huber,
    "smooth_l1_loss": _smooth_l1,
    "binary_cross_entropy": _bce,
    "elu": _sign,
    "leaky_relu": _sign,
    "rrelu_with_noise": _sign,
    "hardswish": _around_three,
    "hardsigmoid": _around_three,
    "softshrink": _shrink,
}
MEANT: Mapping[str, Condition] = {"hardshrink": _shrink, "threshold": _threshold, "sign": _sign, "sgn": _sign}
CLAMPS: Mapping[str, Condition] = {
    "clamp": _between,
    "clamp_min": _between,
    "clamp_max": _above,
    "hardtanh": _hardtanh,
    "logit": _logit,
}
OPEN: Mapping[str, Condition] = {"relu": _sign, "abs": _sign, "maximum": _larger, "minimum": _larger}
CONDITIONS: Mapping[str, Condition] = {**HIDDEN, **MEANT, **CLAMPS, **OPEN}  # of the operands
COMPARISONS = frozenset(("lt", "gt", "le", "ge", "eq", "ne"))
WHOLE = frozenset(("floor", "ceil", "round", "trunc", "floor_divide", "argmax", "argmin"))  # of the result


class Switches(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the decisions of the program that runs under it.

    Args:
        rows: how many samples run together; None for one by itself.

    Attributes:
        states: of each decision an int64 a sample, [rows] or [1].
    """

    def __init__(self, rows: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows = rows
        self.states: dict[Switch, Tensor] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__.removesuffix("_")
        condition = CONDITIONS.get(name)
        state = None
        if condition is not None:
            with contextlib.suppress(TypeError, RuntimeError):  # other operands than the table's
                state = condition(*args, **kwargs)
        result = func(*args, **kwargs)
        if state is not None or name in COMPARISONS or name in WHOLE:
            self._note(name, result if state is None else state)
        return result

    def _note(self, name: str, state: Any) -> None:
        numbers = _whole_numbers(state)
        rows = self.rows or 1
        if self.rows is not None and (not numbers.dim() or len(numbers) != rows):
            return
        table = numbers.reshape(rows, -1)
        if 0 < table.shape[1] <= MOST_WATCHED:
            switch = Switch(name, program_place())
            while switch in self.states:
                switch = Switch(name, switch.place, switch.turn + 1)
            self.states[switch] = (table * _weights(table.shape[1])).sum(1)


def decided(program: Program, sample: Mapping[str, Any], switch: Switch) -> int | None:
    """What a program decides at one sample in real arithmetic; None where that cannot be told."""
    for precision in PRECISIONS:
        switches = Switches()
        try:
            with flint.ctx.workprec(precision):
                play(program, sample, (), switches)
        except Undecided:
            continue
        except Exception:  # no exact replay, or a program that notices
            return None
        state = switches.states.get(switch)
        return None if state is None else int(state[0])
    return None


def _whole_numbers(state: Any) -> Tensor:
    """Decisions as int64; results of roundings by their doubles."""
    if isinstance(state, ExactTensor):
        doubles = [float(b.x.mid()) for b in balls_of(state).reshape(-1)]
        with _disable_current_modes():  # they would make it exact again
            return torch.tensor(doubles, dtype=torch.float64).reshape(state.shape).add(0.0).view(torch.int64)
    plain: Tensor = state.detach().cpu()
    return plain.double().add(0.0).view(torch.int64) if plain.is_floating_point() else plain.long()


def _weights(count: int) -> Tensor:
    """Odd numbers that tell the elements of a sample apart; sums wrap around."""
    return 1 + 2 * ((torch.arange(count) * 0x9E3779B97F4A7C1) & 0x3FFFFFFFFFFFFF)
