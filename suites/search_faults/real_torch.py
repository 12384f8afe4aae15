"""Real faults: functions of torch itself, called as users call them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from stabkit.suites.search_faults.fault import Fault, in_float64
from torch import Tensor
from torch.distributions import Bernoulli, Beta, ContinuousBernoulli, Normal, Uniform
from torch.distributions.kl import kl_divergence

from stabkit.arithmetic import Number, NumberSystem
from stabkit.losses.gaussian import kl as stable_normal_kl

WRONG_VALUE = ("value_is_accurate", "matches_reference")
PYTORCH = "https://github.com/pytorch/pytorch/"


def normal_kl(ctx: NumberSystem, m1: Number, s1: Number, m2: Number, s2: Number) -> Number:
    """log(s2/s1) + (s1**2 + (m1 - m2)**2)/(2 s2**2) - 1/2."""
    return ctx.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - ctx.number(0.5)


def torch_normal_kl(m1: Tensor, s1: Tensor, m2: Tensor, s2: Tensor) -> Tensor:
    """Its three terms cancel where the two distributions nearly agree."""
    return kl_divergence(Normal(m1, s1), Normal(m2, s2))


def continuous_bernoulli_variance(ctx: NumberSystem, p: Number) -> Number:
    """p(p - 1)/(1 - 2p)**2 + 1/log((1 - p)/p)**2."""
    return p * (p - 1) / (1 - 2 * p) ** 2 + 1 / ctx.log((1 - p) / p) ** 2


def torch_continuous_bernoulli_variance(p: Tensor) -> Tensor:
    """Two terms of 1e5 cancel next to the interval in which a series is used."""
    return ContinuousBernoulli(probs=p).variance


def softplus(ctx: NumberSystem, x: Number) -> Number:
    """log(1 + exp x)."""
    return ctx.log(1 + ctx.exp(x))


def softplus_by_logaddexp(x: Tensor) -> Tensor:
    """Without a threshold."""
    return torch.logaddexp(x, torch.zeros_like(x))


def surprise(ctx: NumberSystem, p: Number) -> Number:
    """-log p."""
    return -ctx.log(p)


def torch_cross_entropy_of_ones(p: Tensor) -> Tensor:
    """Backward divides by max(p(1 - p), 1e-12)."""
    return F.binary_cross_entropy(p, torch.ones_like(p), reduction="none")


def plain_surprise(p: Tensor) -> Tensor:
    """-log p."""
    return -torch.log(p)


def gaussian_nll(ctx: NumberSystem, x: Number, y: Number, variance: Number) -> Number:
    """(log v + (x - y)**2/v)/2."""
    return (ctx.log(variance) + (x - y) ** 2 / variance) / 2


def torch_gaussian_nll(x: Tensor, y: Tensor, variance: Tensor) -> Tensor:
    """Variances below 1e-6 are taken for 1e-6."""
    return F.gaussian_nll_loss(x, y, variance, reduction="none")


def plain_gaussian_nll(x: Tensor, y: Tensor, variance: Tensor) -> Tensor:
    """As the definition has it."""
    return (torch.log(variance) + (x - y) ** 2 / variance) / 2


def poisson_nll(ctx: NumberSystem, log_rate: Number, count: Number) -> Number:
    """exp r - k r + log k!."""
    return ctx.exp(log_rate) - count * log_rate + ctx.lgamma(count + 1)


def torch_poisson_nll(log_rate: Tensor, count: Tensor) -> Tensor:
    """Stirling's approximation is switched on above 1."""
    return F.poisson_nll_loss(log_rate, count, full=True, reduction="none")


def plain_poisson_nll(log_rate: Tensor, count: Tensor) -> Tensor:
    """With the logarithm of the gamma function."""
    return torch.exp(log_rate) - count * log_rate + torch.lgamma(count + 1)


def log_normal_cdf(ctx: NumberSystem, x: Number) -> Number:
    """log(erfc(-x/sqrt 2)/2)."""
    return ctx.log(ctx.erfc(-x / ctx.sqrt(ctx.number(2))) / 2)


def normal_cdf(ctx: NumberSystem, x: Number) -> Number:
    """erfc(-x/sqrt 2)/2."""
    return ctx.erfc(-x / ctx.sqrt(ctx.number(2))) / 2


def normal_cdf_by_erfc(x: Tensor) -> Tensor:
    """Keeps the lower tail."""
    return torch.erfc(-x / 2**0.5) / 2


def cosine(ctx: NumberSystem, x: Sequence[Number], y: Sequence[Number]) -> Number:
    """x.y/(|x| |y|)."""
    product = sum(a * b for a, b in zip(x, y, strict=True))
    return product / (ctx.sqrt(sum(a * a for a in x)) * ctx.sqrt(sum(b * b for b in y)))


def torch_cosine(x: Tensor, y: Tensor) -> Tensor:
    """Norms below 1e-8 are taken for 1e-8."""
    return F.cosine_similarity(x, y, dim=-1)


def scaled_cosine(x: Tensor, y: Tensor) -> Tensor:
    """Vectors are brought to the size 1 first."""
    u, v = (z / z.abs().amax(-1, keepdim=True) for z in (x, y))
    lengths: list[Tensor] = [torch.linalg.vector_norm(z, dim=-1) for z in (u, v)]
    return (u * v).sum(-1) / (lengths[0] * lengths[1])


def cosine_distance(ctx: NumberSystem, x: Sequence[Number], y: Sequence[Number]) -> Number:
    """1 - x.y/(|x| |y|)."""
    return 1 - cosine(ctx, x, y)


def torch_cosine_distance(x: Tensor, y: Tensor) -> Tensor:
    """Cancels where the vectors are nearly parallel."""
    return 1 - F.cosine_similarity(x, y, dim=-1)


def cosine_distance_by_difference(x: Tensor, y: Tensor) -> Tensor:
    """Half the squared difference of the directions."""
    apart: Tensor = F.normalize(x, dim=-1) - F.normalize(y, dim=-1)
    return (apart**2).sum(-1) / 2


def direction(ctx: NumberSystem, x: Sequence[Number]) -> list[Number]:
    """x/max(|x|, 1e-12)."""
    norm = ctx.maximum(ctx.sqrt(sum(v * v for v in x)), ctx.number(1e-12))
    return [v / norm for v in x]


def torch_direction(x: Tensor) -> Tensor:
    """1e-12 is 0 in float16, so that a row of zeros becomes NaN."""
    return F.normalize(x, dim=-1)


def angle(ctx: Any, y: Number, x: Number) -> Number:
    """atan(y/x) for x > 0."""
    return ctx.atan(y / x)


def angle_of_quotient(y: Tensor, x: Tensor) -> Tensor:
    """atan(y/x) for x > 0."""
    return torch.atan(y / x)


def bernoulli_kl(ctx: NumberSystem, a: Number, b: Number) -> Number:
    """p log(p/q) + (1 - p) log((1 - p)/(1 - q)) of the logits a and b."""
    p = 1 / (1 + ctx.exp(-a))
    heads = ctx.log(1 + ctx.exp(-b)) - ctx.log(1 + ctx.exp(-a))
    tails = ctx.log(1 + ctx.exp(b)) - ctx.log(1 + ctx.exp(a))
    return p * heads + (1 - p) * tails


def torch_bernoulli_kl(a: Tensor, b: Tensor) -> Tensor:
    """Infinite where a probability rounds to 1, whatever its logit."""
    return kl_divergence(Bernoulli(logits=a), Bernoulli(logits=b))


def logit_bernoulli_kl(a: Tensor, b: Tensor) -> Tensor:
    """From logits alone."""
    heads = F.softplus(-b) - F.softplus(-a)
    return torch.sigmoid(a) * heads + torch.sigmoid(-a) * (F.softplus(b) - F.softplus(a))


def minus_log_width(ctx: NumberSystem, low: Number, high: Number) -> Number:
    """-log(high - low)."""
    return -ctx.log(high - low)


def torch_uniform_beta_kl(low: Tensor, high: Tensor) -> Tensor:
    """Backward multiplies 0 by log 0 at the edges."""
    return kl_divergence(Uniform(low, high), Beta(torch.ones_like(low), torch.ones_like(low)))


def plain_minus_log_width(low: Tensor, high: Tensor) -> Tensor:
    """-log(high - low)."""
    return -torch.log(high - low)


OF_TORCH = (
    Fault(
        "normal_kl_nearly_equal", torch_normal_kl, stable_normal_kl, normal_kl,
        ("m1=[-1,1]", "s1=[0.1,10]", "m2=[-1,1]", "s2=[0.1,10]"), "float32", WRONG_VALUE, "value",
        '{"m1": 0.0001, "s1": 1.0, "m2": 0.0, "s2": 1.0}', "cancellation", "two pairs of arguments nearly equal",
        PYTORCH + "pull/68807",
    ),
    Fault(
        "continuous_bernoulli_variance", torch_continuous_bernoulli_variance,
        in_float64(torch_continuous_bernoulli_variance), continuous_bernoulli_variance, ("p=[0.01,0.99]",), "float32",
        WRONG_VALUE, "value", '{"p": 0.4985}', "cancellation", "next to one switch",
        "torch/distributions/continuous_bernoulli.py, variance",
    ),
    Fault(
        "softplus_threshold", F.softplus, softplus_by_logaddexp, softplus, ("x=[-1e4,1e4]",), "float64", WRONG_VALUE,
        "value", '{"x": 20.1}', "jump", "16 units behind one switch",
        "https://github.com/apache/tvm/issues/20184, torch.nn.functional.softplus",
    ),
    Fault(
        "cross_entropy_backward", torch_cross_entropy_of_ones, plain_surprise, surprise, ("p=[1e-30,1]",), "float32",
        ("gradient_is_accurate",), "gradient:p", '{"p": 1e-20}', "floor in backward", "inputs below 1e-12",
        PYTORCH + "issues/103316",
    ),
    Fault(
        "gaussian_nll_clamp", torch_gaussian_nll, plain_gaussian_nll, gaussian_nll,
        ("x=data:[-3,3]", "y=data:[-3,3]", "variance=[1e-9,100]"), "float32", WRONG_VALUE, "value",
        '{"x": 0.5, "y": 0.5, "variance": 1e-08}', "clamp", "one argument below 1e-6",
        "torch.nn.functional.gaussian_nll_loss",
    ),
    Fault(
        "poisson_nll_switch", torch_poisson_nll, plain_poisson_nll, poisson_nll,
        ("log_rate=[-5,5]", "count=data:[0,50]"), "float32", WRONG_VALUE, "value",
        '{"log_rate": 0.5, "count": 2.0}', "jump", "nearly the whole domain", "torch.nn.functional.poisson_nll_loss",
    ),
    Fault(
        "log_ndtr_backward", torch.special.log_ndtr, in_float64(torch.special.log_ndtr), log_normal_cdf,
        ("x=[-1e4,10]",), "float32", ("gradient_is_accurate",), "gradient:x", '{"x": -2000.0}',
        "cancellation in backward", "most of the domain", PYTORCH + "pull/74795",
    ),
    Fault(
        "ndtr_lower_tail", torch.special.ndtr, normal_cdf_by_erfc, normal_cdf, ("x=[-37,8]",), "float64",
        (*WRONG_VALUE, "range_is_not_cut_short"), "value", '{"x": -9.0}', "absorption", "half the domain",
        PYTORCH + "issues/192295",
    ),
    Fault(
        "cosine_of_a_short_vector", torch_cosine, scaled_cosine, cosine, ("x=[-1e3,1e3]@[*,4]", "y=data:[1,2]@[*,4]"),
        "float32", WRONG_VALUE, "value", '{"x": [1e-09, 2e-09, 0.0, 1e-09], "y": [1.0, 1.5, 2.0, 1.25]}', "clamp",
        "four elements below 1e-8", PYTORCH + "issues/115786",
    ),
    Fault(
        "cosine_distance", torch_cosine_distance, cosine_distance_by_difference, cosine_distance,
        ("x=[0.1,10]@[*,4]", "y=data:[0.1,10]@[*,4]"), "float32", WRONG_VALUE, "value",
        '{"x": [1.0, 2.0, 3.0, 4.0], "y": [2.002, 4.0, 6.001, 8.0]}', "cancellation", "two vectors nearly parallel",
        "torch.nn.functional.cosine_similarity",
    ),
    Fault(
        "normalize_of_zeros", torch_direction, in_float64(torch_direction), direction, ("x=[-10,10]@[*,4]",),
        "float16", ("value_is_finite",), "value[0]", '{"x": [0.0, 0.0, 0.0, 0.0]}', "absorbed eps",
        "four elements nearly zero",
        PYTORCH + "pull/192017",
    ),
    Fault(
        "atan2_backward", torch.atan2, angle_of_quotient, angle, ("y=[-10,10]", "x=(0,10]"), "float32",
        ("gradient_is_accurate", "range_is_not_cut_short"), "gradient:y", '{"y": 1e-25, "x": 1e-25}',
        "underflow in backward", "both arguments below 1e-19", "torch.atan2", alone=True,
    ),
    Fault(
        "bernoulli_kl_of_logits", torch_bernoulli_kl, logit_bernoulli_kl, bernoulli_kl, ("a=[-5,5]", "b=[-18,18]"),
        "float32", ("value_is_finite",), "value", '{"a": 0.0, "b": 17.5}', "saturation", "one part in 30",
        PYTORCH + "issues/15288",
    ),
    Fault(
        "uniform_beta_kl_at_the_edge", torch_uniform_beta_kl, plain_minus_log_width, minus_log_width,
        ("low=[0,0.4]", "high=[0.6,0.9]"), "float32", ("gradient_is_finite",), "gradient:low",
        '{"low": 0.0, "high": 0.7}', "NaN through where", "one float of one of two arguments",
        PYTORCH + "issues/144279",
    ),
)  # fmt: skip
