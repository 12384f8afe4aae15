"""Any torch function on exact real numbers, from Python: its values, gradients and every operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flint
import torch
from numpy.typing import NDArray
from torch import Tensor

from stabkit.errors import TargetError
from stabkit.exact.elementwise import each
from stabkit.exact.playback import exactly
from stabkit.exact.steps import Recorder, Step
from stabkit.exact.tensor import ExactTensor, balls_of, lifted, noted_departures
from stabkit.program import loss_of

Reals = NDArray[Any]  # of flint.arb


@dataclass(frozen=True)
class Replay:
    """What a function computes in real arithmetic.

    Attributes:
        value: `flint.arb` balls in the shape of the first floating tensor it returns.
        gradients: for each input, of the summed value; None for what is not a floating tensor.
        steps: the operations that ran, backward ones after forward ones, with the lines that they stand for.
        departures: how and where numbers left the exact world, to come back rounded; nothing is certain then.
    """

    value: Reals
    gradients: tuple[Reals | None, ...]
    steps: tuple[Step, ...]
    departures: tuple[str, ...]


def replay(function: Callable[..., Any], *inputs: Any, precision: int = 256, **constants: Any) -> Replay:
    """Runs a function, forward and backward, on the exact numbers that its inputs are.

    Tensors keep reporting their dtype, casts between floating dtypes change nothing, and every other operation is real
    arithmetic: `softplus` has no threshold, an overflow does not happen, a clamp clamps.

    Args:
        inputs: floating tensors are lifted and differentiated by; everything else is passed as it is.
        precision: bits of the working precision; the balls tell what is left of it.
        constants: keyword arguments, passed as they are.

    Raises:
        UnsupportedOperationError: for an operation that has no exact counterpart.
        Undecided: where this precision does not settle a comparison.
        TargetError: where the function takes or returns no floating tensor.

    Example:
        >>> import torch
        >>> from stabkit.exact import replay
        >>> x = torch.tensor(-50.0)
        >>> torch.log(1 + torch.exp(x)).item()
        0.0
        >>> found = replay(lambda x: torch.log(1 + torch.exp(x)), x)
        >>> print(found.value.item().str(12, radius=False), found.gradients[0].item().str(12, radius=False))
        1.92874984796e-22 1.92874984796e-22
        >>> [step.name for step in found.steps if not step.backward][:3]
        ['exp', 'add', 'log']
    """
    if not any(isinstance(x, Tensor) and x.is_floating_point() for x in inputs):
        raise TargetError(f"inputs {inputs!r:.60}", "hold no floating tensor", "pass torch.tensor(3.0) for 3.0")
    if precision < 2:
        raise TargetError(f"precision {precision}", "is no number of bits", "write for instance precision=256")
    recorder = Recorder(exact=True)
    with flint.ctx.workprec(precision), noted_departures() as left:
        leaves = [_leaf(x) for x in inputs]
        with exactly(recorder):
            result = loss_of(function(*leaves, **constants), getattr(function, "__name__", "function"))
        slopes = iter(_slopes(result, [x for x in leaves if _is_leaf(x)], recorder))
        gradients = tuple(_reals(next(slopes)) if _is_leaf(x) else None for x in leaves)
        return Replay(_reals(result), gradients, tuple(recorder.steps), tuple(left))


def _leaf(value: Any) -> Any:
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return lifted(value.detach()).requires_grad_() if is_float else value


def _is_leaf(value: Any) -> bool:
    return isinstance(value, ExactTensor)


def _slopes(result: Tensor, leaves: list[Tensor], recorder: Recorder) -> list[Tensor]:
    zeros = [torch.zeros(x.shape, dtype=x.dtype) for x in leaves]
    if not result.requires_grad or not leaves:
        return zeros
    ones = torch.ones_like(result)
    with exactly(recorder):
        found = torch.autograd.grad(result, leaves, ones, allow_unused=True)
    return [z if g is None else g for g, z in zip(found, zeros, strict=True)]


def _reals(tensor: Tensor) -> Reals:
    return each(lambda ball: ball.x, balls_of(tensor))  # type: ignore[no-any-return]
