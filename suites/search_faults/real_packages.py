"""Real faults: small copies of forms that packages have or had, each with the thread that tells of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from stabkit.suites.search_faults.fault import Fault
from torch import Tensor

from stabkit.arithmetic import Number, NumberSystem

WRONG_VALUE = ("value_is_accurate", "matches_reference")
LOG_4_PI = math.log(4 * math.pi)
SWITCH = 100.0  # of the von Mises-Fisher loss


def squash_correction(ctx: NumberSystem, u: Number) -> Number:
    """log(1 - tanh(u)**2)."""
    return ctx.log(1 - ctx.tanh(u) ** 2)


def squash_correction_with_eps(u: Tensor) -> Tensor:
    """Saturates at log 1e-6."""
    return torch.log(1 - torch.tanh(u).pow(2) + 1e-6)


def squash_correction_by_softplus(u: Tensor) -> Tensor:
    """2(log 2 - u - log(1 + exp(-2u)))."""
    return 2 * (math.log(2) - u.abs() - F.softplus(-2 * u.abs()))


def focal(ctx: NumberSystem, x: Number, y: Number) -> Number:
    """-sqrt(1 - p) log p of the probability p of the true class."""
    p = 1 / (1 + ctx.exp(-x * (2 * y - 1)))
    return -ctx.sqrt(1 - p) * ctx.log(p)


def focal_by_power(x: Tensor, y: Tensor) -> Tensor:
    """The root has an infinite slope where p rounds to 1."""
    p = torch.sigmoid(x)
    right = p * y + (1 - p) * (1 - y)
    return F.binary_cross_entropy_with_logits(x, y, reduction="none") * (1 - right) ** 0.5


def focal_by_logits(x: Tensor, y: Tensor) -> Tensor:
    """sqrt(1 - p) from the logit."""
    z = x * (2 * y - 1)
    return -torch.exp(F.logsigmoid(-z) / 2) * F.logsigmoid(z)


def log_complement(ctx: NumberSystem, x: Number) -> Number:
    """log(1 - exp x)."""
    return ctx.log(1 - ctx.exp(x))


def log_complement_of_two_branches(x: Tensor) -> Tensor:
    """The branch that is not taken takes the logarithm of 0 next to x = 0."""
    return torch.where(x > -0.693, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


def log_complement_of_safe_branches(x: Tensor) -> Tensor:
    """Each branch sees inputs of its own."""
    near = x > -0.693
    far = torch.where(near, torch.full_like(x, -1.0), x)
    close = torch.where(near, x, torch.full_like(x, -0.5))
    return torch.where(near, torch.log(-torch.expm1(close)), torch.log1p(-torch.exp(far)))


def distance(ctx: NumberSystem, a: Sequence[Number], b: Sequence[Number]) -> Number:
    """|a - b|."""
    return ctx.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def distance_by_products(a: Tensor, b: Tensor) -> Tensor:
    """The root of a**2 + b**2 - 2ab, which rounding makes negative."""
    return ((a * a).sum(-1) + (b * b).sum(-1) - 2 * (a * b).sum(-1)).sqrt()


def distance_by_difference(a: Tensor, b: Tensor) -> Tensor:
    """The norm of the difference."""
    length: Tensor = torch.linalg.vector_norm(a - b, dim=-1)
    return length


def log_beta(ctx: NumberSystem, a: Number, b: Number) -> Number:
    """lgamma(a) + lgamma(b) - lgamma(a + b)."""
    return ctx.lgamma(a) + ctx.lgamma(b) - ctx.lgamma(a + b)


def log_beta_by_differences(a: Tensor, b: Tensor) -> Tensor:
    """Everything cancels where a is large."""
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


def log_beta_by_stirling(a: Tensor, b: Tensor) -> Tensor:
    """lgamma(a) - lgamma(a + b) by Stirling's formula, which is exact enough for a > 1e4."""
    rest = (1 / a - 1 / (a + b)) / 12
    return torch.lgamma(b) - (a - 0.5) * torch.log1p(b / a) - b * torch.log(a + b) + b + rest


def fisher_normaliser(ctx: NumberSystem, kappa: Number) -> Number:
    """log(kappa/(4 pi sinh kappa))."""
    return ctx.log(kappa / (2 * ctx.pi * (ctx.exp(kappa) - ctx.exp(-kappa))))


def fisher_normaliser_of_two_forms(kappa: Tensor) -> Tensor:
    """Goes on from 100 with an approximation of the same value and another slope."""
    exact = _fisher(torch.clamp(kappa, max=SWITCH))
    edge = torch.full_like(kappa, SWITCH)
    rough = torch.sqrt(4 + edge**2) - torch.sqrt(4 + torch.clamp(kappa, min=SWITCH) ** 2)
    return torch.where(kappa > SWITCH, _fisher(edge) + rough, exact)


def _fisher(kappa: Tensor) -> Tensor:
    """log kappa - log(4 pi) - log sinh kappa."""
    return torch.log(kappa) - LOG_4_PI + math.log(2) - kappa - torch.log1p(-torch.exp(-2 * kappa))


COPIED = (
    Fault(
        "squash_correction", squash_correction_with_eps, squash_correction_by_softplus, squash_correction,
        ("u=[-20,20]",), "float32", WRONG_VALUE, "value", '{"u": 9.0}', "absorbed eps", "half the domain",
        "https://github.com/ray-project/ray/issues/14878",
    ),
    Fault(
        "focal_of_a_root", focal_by_power, focal_by_logits, focal, ("x=[-20,20]", "y=data:choice{0,1}"), "float32",
        ("gradient_is_finite",), "gradient:x", '{"x": 18.0, "y": 1.0}', "root of 0", "one part in 10",
        "https://github.com/kornia/kornia/issues/918",
    ),
    Fault(
        "log_complement_leak", log_complement_of_two_branches, log_complement_of_safe_branches, log_complement,
        ("x=(-100,0)",), "float32", ("gradient_is_finite",), "gradient:x", '{"x": -1e-09}', "NaN through where",
        "inputs above -6e-8", "https://github.com/huggingface/trl/pull/4763",
    ),
    Fault(
        "distance_by_products", distance_by_products, distance_by_difference, distance,
        ("a=[-10,10]@[*,3]", "b=[-10,10]@[*,3]"), "float32", ("value_is_finite",), "value",
        '{"a": [9.4, -6.7, 2.6], "b": [9.4, -6.7, 2.601]}', "root of a negative number", "two vectors nearly equal",
        "https://github.com/lucidrains/vector-quantize-pytorch/issues/106",
    ),
    Fault(
        "log_beta", log_beta_by_differences, log_beta_by_stirling, log_beta, ("a=[1,1e20]", "b=[0.5,5]"), "float64",
        WRONG_VALUE, "value", '{"a": 1000000000000000.0, "b": 3.0}', "cancellation", "large ratios",
        "https://github.com/stan-dev/math/issues/1611",
    ),
    Fault(
        "fisher_slope_jumps", fisher_normaliser_of_two_forms, _fisher, fisher_normaliser, ("kappa=[1,101]",),
        "float32", ("gradient_is_accurate",), "gradient:kappa", '{"kappa": 100.5}', "jump of the slope",
        "a hundredth of the domain", "https://github.com/graphnet-team/graphnet/issues/900",
    ),
)  # fmt: skip
