"""Jumps of value and slope, each beside a stable twin."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from planting import Planted
from torch import Tensor

from stabkit.arithmetic import Number, NumberSystem


def softplus(ctx: NumberSystem, x: Number) -> Number:
    """log(1 + exp x)."""
    return ctx.log(1 + ctx.exp(x))


def stable_softplus(x: Tensor) -> Tensor:
    """The same without overflow or absorption."""
    return torch.logaddexp(x, torch.zeros_like(x))


def switched_softplus(x: Tensor) -> Tensor:
    """Gives x itself far too early."""
    return torch.where(x > 1, x, torch.log1p(torch.exp(x.clamp(max=1))))


def hidden_softplus(x: Tensor) -> Tensor:
    """The same inside torch's kernel."""
    return F.softplus(x, threshold=1)


def four_case_logistic(c: Tensor, s: Tensor) -> Tensor:
    """-log of a bin's mass, by the density at its centre where the mass is small."""
    low, middle = (c - 1) / s, c / s
    mass = torch.sigmoid((c + 1) / s) - torch.sigmoid(low)
    density = middle - torch.log(s) - 2 * F.softplus(middle, threshold=1e3) + math.log(2)
    return -torch.where(mass > 0.05, torch.log(mass.clamp(min=1e-6)), density)


def closed_logistic(c: Tensor, s: Tensor) -> Tensor:
    """The same without cases."""
    edges = F.logsigmoid((c + 1) / s) + F.logsigmoid((1 - c) / s)
    return -(edges + torch.log(-torch.expm1(-2 / s)))


def logistic_bin(ctx: NumberSystem, c: Number, s: Number) -> Number:
    """-log(sigmoid((c + 1)/s) - sigmoid((c - 1)/s))."""
    return -ctx.log(1 / (1 + ctx.exp(-(c + 1) / s)) - 1 / (1 + ctx.exp(-(c - 1) / s)))


def series_too_far(x: Tensor) -> Tensor:
    """expm1(x)/x by its first two terms up to 1."""
    return torch.where(x < 1, 1 + x / 2, torch.expm1(x) / x)


def without_series(x: Tensor) -> Tensor:
    return torch.expm1(x) / x


def growth(ctx: NumberSystem, x: Number) -> Number:
    """expm1(x)/x."""
    return ctx.expm1(x) / x


def huber_with_a_wrong_constant(x: Tensor) -> Tensor:
    return torch.where(x.abs() <= 1, x * x / 2, x.abs() - 0.25)


def right_huber(x: Tensor) -> Tensor:
    return F.huber_loss(x, torch.zeros_like(x), reduction="none")


def huber(ctx: NumberSystem, x: Number) -> Number:
    """x**2/2 up to 1, then |x| - 1/2."""
    inner = ctx.minimum(ctx.absolute(x), 1)
    return inner**2 / 2 + ctx.absolute(x) - inner


def huber_with_a_wrong_inner_slope(x: Tensor) -> Tensor:
    """Meets the outer part, half as steep."""
    return torch.where(x.abs() <= 1, x * x / 4 + 0.25, x.abs() - 0.5)


def hard_clip(x: Tensor) -> Tensor:
    return x.clamp(max=1)


def soft_clip(x: Tensor) -> Tensor:
    return 1 - torch.logaddexp(1 - x, torch.zeros_like(x))


def softly_clipped(ctx: NumberSystem, x: Number) -> Number:
    """1 - log(1 + exp(1 - x))."""
    return 1 - ctx.log(1 + ctx.exp(1 - x))


def hard_sigmoid(x: Tensor) -> Tensor:
    """Its corners are inside torch's kernel."""
    return F.hardsigmoid(x)


def right_sigmoid(x: Tensor) -> Tensor:
    return torch.sigmoid(x)


def logistic_function(ctx: NumberSystem, x: Number) -> Number:
    """1/(1 + exp(-x))."""
    return 1 / (1 + ctx.exp(-x))


JUMPS = (
    Planted("is_continuous", switched_softplus, stable_softplus, ("x=[-9,9]",), softplus),
    Planted("is_continuous", hidden_softplus, stable_softplus, ("x=[-9,9]",)),
    Planted("is_continuous", switched_softplus, stable_softplus, ("x=[-9,9]",)),
    Planted("is_continuous", four_case_logistic, closed_logistic, ("c=[-4,-0.25]", "s=[0.25,1]"), logistic_bin),
    Planted("is_continuous", series_too_far, without_series, ("x=[0.5,4]",), growth),
    Planted("is_continuous", huber_with_a_wrong_constant, right_huber, ("x=[-5,5]",), huber),
    Planted("gradient_is_continuous", huber_with_a_wrong_inner_slope, right_huber, ("x=[-5,5]",), huber),
    Planted("gradient_is_continuous", hard_clip, soft_clip, ("x=[-5,5]",), softly_clipped),
    Planted("gradient_is_continuous", hard_sigmoid, right_sigmoid, ("x=[-4,2]",), logistic_function),
)
