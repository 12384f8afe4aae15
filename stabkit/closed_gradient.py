"""Elementwise functions whose derivative is given in closed form, where autograd of the forward would fail.

Autograd differentiates the operations of the forward one by one, so it repeats every cancellation and leaves the
range wherever one factor does, also in the branch of a `torch.where` that is not taken.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def with_slopes(value: Callable[..., Tensor], slopes: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
    """value(*inputs) on broadcast inputs [...], differentiated by `slopes(*inputs)`, one partial derivative an input.

    `slopes` is written in torch operations, so it can itself be differentiated; it runs in the backward pass alone.

    Example:
        >>> x = torch.tensor(-100.0, requires_grad=True)
        >>> with_slopes(torch.tanh, lambda x: (torch.cosh(x) ** -2,), x)
        tensor(-1., grad_fn=<_ClosedGradientBackward>)
    """
    return _ClosedGradient.apply(value, slopes, *torch.broadcast_tensors(*inputs))  # type: ignore[no-any-return, no-untyped-call]


class _ClosedGradient(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Callable[..., Tensor], slopes: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
        return value(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.slopes = inputs[1]
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(grads[0] * slope for slope in ctx.slopes(*ctx.saved_tensors))
