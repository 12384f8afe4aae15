"""Normal distributions: divergences and negative log-densities for training.

Two kinds of function live here: the forms to use, and the common forms that fail (`SPECS` says which claim
catches them). All are elementwise, broadcast, and return nats. Definitions: stabkit.reference.gaussian.
"""

import math

import torch
from torch import Tensor

from stabkit.domain import Argument, positive, real
from stabkit.losses.gaussian_terms import HalfSquaredDistance, NllOfScale, ScaleTerm
from stabkit.reference import gaussian as definition
from stabkit.spec import Spec, fault, stable
from stabkit.widening import in_one_dtype


@in_one_dtype
def kl_of_log_scales(mean1: Tensor, log_scale1: Tensor, mean2: Tensor, log_scale2: Tensor) -> Tensor:
    """KL(N(mean1, exp log_scale1) || N(mean2, exp log_scale2)), elementwise, in nats.

    The textbook form adds three terms that cancel where the distributions nearly agree. Here the part that
    depends on the scales is expm1(2d)/2 - d with d = log_scale1 - log_scale2, computed without cancellation,
    and neither scale is ever formed alone, so nothing leaves the range before the result does.

    Args:
        mean1, log_scale1, mean2, log_scale2: shapes that broadcast to [...].

    Returns:
        Tensor [...] in the promoted dtype, never negative.

    Source: dehaene2021, eq. 8, rearranged.

    Example:
        >>> zero = torch.zeros(())
        >>> kl_of_log_scales(zero, torch.tensor(-60.0), zero, zero)
        tensor(59.5000)
    """
    mean1, log_scale1, mean2, log_scale2 = torch.broadcast_tensors(mean1, log_scale1, mean2, log_scale2)  # type: ignore[no-untyped-call]
    return ScaleTerm.apply(log_scale1 - log_scale2) + HalfSquaredDistance.apply(mean1, mean2, log_scale2)  # type: ignore[no-any-return, no-untyped-call]


def kl_textbook(mean1: Tensor, scale1: Tensor, mean2: Tensor, scale2: Tensor) -> Tensor:
    """The divergence as eq. 6 prints it: the ratio of scales and their squares leave the range before the result."""
    return torch.log(scale2 / scale1) + (scale1**2 + (mean1 - mean2) ** 2) / (2 * scale2**2) - 0.5


def kl_squared_ratio(mean1: Tensor, scale1: Tensor, mean2: Tensor, scale2: Tensor) -> Tensor:
    """The same divergence as `torch.distributions` writes it: the ratio is squared before its logarithm.

    The square underflows at twice the exponent, so the result is infinite below scale1/scale2 = 2.6e-23 in
    float32 and 1.7e-4 in float16 (dehaene2021, Table 1).
    """
    squared_ratio = (scale1 / scale2) ** 2
    squared_distance = ((mean1 - mean2) / scale2) ** 2
    return (squared_ratio + squared_distance - 1 - squared_ratio.log()) / 2


def kl_log_difference(mean1: Tensor, log_scale1: Tensor, mean2: Tensor, log_scale2: Tensor) -> Tensor:
    """Eq. 8: the logarithm is gone, the squares are still formed, and the three terms cancel at equal scales."""
    spread = torch.exp(log_scale1) ** 2 + (mean1 - mean2) ** 2
    return log_scale2 - log_scale1 + spread / (2 * torch.exp(log_scale2) ** 2) - 0.5


def kl_exp(mean1: Tensor, log_scale1: Tensor, mean2: Tensor, log_scale2: Tensor) -> Tensor:
    """Eq. 10: exp(2 p1) * exp(-2 p2) is inf * 0 where both are large."""
    spread = torch.exp(2 * log_scale1) + (mean1 - mean2) ** 2
    return spread * torch.exp(-2 * log_scale2) / 2 + log_scale2 - log_scale1 - 0.5


@in_one_dtype
def nll(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """-log N(x; mean, scale), elementwise, in nats.

    Its gradient by the scale is ((1 - |z|)/scale)(1 + |z|), z = (x - mean)/scale, which neither overflows
    early nor loses the sign near |z| = 1.

    Args:
        x, mean, scale: shapes that broadcast to [...]; scale > 0 is a standard deviation.

    Example:
        >>> nll(torch.tensor(1.0), torch.tensor(0.0), torch.tensor(1e-19))
        tensor(5.0000e+37)
    """
    return NllOfScale.apply(*torch.broadcast_tensors(x, mean, scale))  # type: ignore[no-any-return, no-untyped-call]


@in_one_dtype
def nll_of_log_scale(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """-log N(x; mean, exp log_scale), elementwise, in nats; the form to train with.

    Args:
        x, mean, log_scale: shapes that broadcast to [...].

    Example:
        >>> nll_of_log_scale(torch.zeros(()), torch.zeros(()), torch.tensor(-100.0))
        tensor(-99.0811)
    """
    x, mean, log_scale = torch.broadcast_tensors(x, mean, log_scale)  # type: ignore[no-untyped-call]
    return (log_scale + 0.5 * math.log(2 * math.pi)) + HalfSquaredDistance.apply(x, mean, log_scale)  # type: ignore[no-any-return, no-untyped-call]


_ON_SCALES = (
    Argument("mean1", real),
    Argument("scale1", positive),
    Argument("mean2", real),
    Argument("scale2", positive),
)
_ON_LOG_SCALES = (
    Argument("mean1", real),
    Argument("log_scale1", real),
    Argument("mean2", real),
    Argument("log_scale2", real),
)

SPECS = (
    Spec(
        "kl_of_log_scales",
        kl_of_log_scales,
        definition.kl_of_log_scales,
        _ON_LOG_SCALES,
        stable,
        "dehaene2021, eq. 8, rearranged",
    ),
    Spec(
        "kl_textbook",
        kl_textbook,
        definition.kl,
        _ON_SCALES,
        fault("value_is_finite", "overflow"),
        "dehaene2021, eq. 6",
    ),
    Spec(
        "kl_squared_ratio",
        kl_squared_ratio,
        definition.kl,
        _ON_SCALES,
        fault("value_is_finite", "underflow"),
        "torch.distributions.kl",
    ),
    Spec(
        "kl_log_difference",
        kl_log_difference,
        definition.kl_of_log_scales,
        _ON_LOG_SCALES,
        fault("value_is_finite", "overflow"),
        "dehaene2021, eq. 8",
    ),
    Spec(
        "kl_exp",
        kl_exp,
        definition.kl_of_log_scales,
        _ON_LOG_SCALES,
        fault("value_is_finite", "overflow"),
        "dehaene2021, eq. 10",
    ),
    Spec(
        "nll",
        nll,
        definition.nll,
        (Argument("x", real), Argument("mean", real), Argument("scale", positive)),
        stable,
        "dehaene2021, section 2",
    ),
    Spec(
        "nll_of_log_scale",
        nll_of_log_scale,
        definition.nll_of_log_scale,
        (Argument("x", real), Argument("mean", real), Argument("log_scale", real)),
        stable,
        "dehaene2021, section 2",
    ),
)
