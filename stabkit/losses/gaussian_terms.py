"""The differentiable pieces of Normal losses, each with a closed backward where autograd of the forward fails.

Every backward is written in torch operations on the saved inputs, so it can itself be differentiated. Inputs
of one piece have one shape and one dtype, float32 or float64.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from stabkit.floats import format_of

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
SERIES_TERMS = {torch.float32: 11, torch.float64: 19}  # the first term left out is below half an ulp at |2d| = 1
FAR = 40.0  # beyond d = 40 the 1 in exp(2d) - 1 is below half an ulp of float64


class ScaleTerm(Function):
    """expm1(2d)/2 - d, the part of KL that depends on d = log(scale1/scale2) alone; its slope is expm1(2d)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(d: Tensor) -> Tensor:
        t = 2 * d
        terms = SERIES_TERMS[d.dtype]
        near = t.clamp(-1, 1)
        series = torch.full_like(d, 1 / math.factorial(terms + 1))
        for k in range(terms, 1, -1):
            series = series * near + 1 / math.factorial(k)
        middle = torch.expm1(t) / 2 - d
        root = torch.exp(d.clamp(min=0))
        far = root * 0.5 * root - d.masked_fill(d.isposinf(), 0)  # exp(2d) overflows before half of it does
        return torch.where(t.abs() <= 1, series * near * near / 2, torch.where(d > FAR, far, middle))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (d,) = ctx.saved_tensors
        return grads[0] * torch.expm1(2 * d)


class HalfSquaredDistance(Function):
    """((a - b) exp(-log_scale))**2 / 2; the exponential is applied in two halves, before and after."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor, log_scale: Tensor) -> Tensor:
        z = _times_inverse_scale(*_difference(a, b), log_scale)
        return z / 2 * z

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b, log_scale = ctx.saved_tensors
        difference, factor = _difference(a, b)
        z = _times_inverse_scale(difference, factor, log_scale)
        lift = _lift(z, difference)
        slope = _times_inverse_scale(_times_inverse_scale(difference * lift, factor, log_scale), 1.0, log_scale) / lift
        return grads[0] * slope, -grads[0] * slope, -grads[0] * z * z


class NllOfScale(Function):
    """log(2 pi)/2 + log scale + ((x - mean)/scale)**2 / 2."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        difference, factor = _difference(x, mean)
        z = difference / scale * factor
        return (torch.log(scale) + HALF_LOG_2PI) + z / 2 * z

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, mean, scale = ctx.saved_tensors
        difference, factor = _difference(x, mean)
        z = difference / scale * factor
        lift = _lift(z, difference)
        slope = difference * lift / scale / scale * factor / lift
        by_scale = (1 - z.abs()) / scale * (1 + z.abs())
        return grads[0] * slope, -grads[0] * slope, grads[0] * by_scale


def _difference(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(d, f) with a - b = d * f: halves and 2 where the difference itself would overflow, else a - b and 1."""
    plain = a - b
    overflows = plain.isinf()
    return torch.where(overflows, a / 2 - b / 2, plain), torch.ones_like(plain).masked_fill(overflows, 2.0)


def _times_inverse_scale(difference: Tensor, factor: Tensor | float, log_scale: Tensor) -> Tensor:
    """difference * factor * exp(-log_scale), 0 for a zero difference even where the exponential overflows.

    There the exponent is bounded instead of the product replaced, so that the second derivative survives.
    """
    exponent = -log_scale / 2
    largest = 0.49 * math.log(torch.finfo(difference.dtype).max)
    root = torch.exp(torch.where(difference == 0, exponent.clamp(max=largest), exponent))
    return difference * root * root * factor


def _lift(z: Tensor, difference: Tensor) -> Tensor:
    """A power of two that keeps a tiny standardized distance normal until the last factor is applied."""
    form = format_of(z.dtype)
    tiny = (z.abs() < math.ldexp(form.smallest_normal, form.precision)) & (difference.abs() < 1)
    return torch.ones_like(z).masked_fill(tiny, math.ldexp(1.0, -form.emin // 2))
