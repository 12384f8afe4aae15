"""UpBounded, DownBounded and Bounded: scales that cannot leave a range, whatever the network puts out."""

import math

import torch
from torch import Tensor

from stabkit.closed_gradient import with_slopes
from stabkit.domain import Argument, real
from stabkit.exponentials import times_exp
from stabkit.parameterizations.logistic import log_near_one, logistic, logistic_slope, negative_size
from stabkit.reference import parameterizations as definition
from stabkit.spec import Spec, fault, stable
from stabkit.widening import in_one_dtype

UNIT_BIN = 1 / math.sqrt(12)  # the standard deviation of uniform noise on [0, 1)
PIXEL_BIN = UNIT_BIN / 256  # the same for one of 256 bins on [0, 1)


@in_one_dtype
def up_bounded_scale(p: Tensor, omega: float = 1.0) -> Tensor:
    """(omega/2) exp p for p <= 0, else (omega/2)(2 - exp(-p)) (eq. 12); bounded above by omega.

    exp is taken of half the argument and squared around the factor, so that a subnormal exp p is never
    formed where omega/2 times it is normal.

    Args:
        p: [...].
        omega: the upper bound, 1 for latents, 256 for pixels in [0, 256).

    Example:
        >>> up_bounded_scale(torch.tensor([-1.0, 0.0, 1e4]))
        tensor([0.1839, 0.5000, 1.0000])
    """
    root = torch.exp(torch.where(p <= 0, p, -p) / 2)
    small = root * (omega / 2) * root
    return torch.where(p <= 0, small, omega - small)


@in_one_dtype
def up_bounded_log_scale(p: Tensor, omega: float = 1.0) -> Tensor:
    """The logarithm of `up_bounded_scale`, without the cancellation of eq. 12 as written.

    For p > log 2 it is log omega + log1p(-exp(-p)/2); between, where that would cancel for omega near 2,
    log(omega/2) + log1p(-expm1(-p)).

    Example:
        >>> up_bounded_log_scale(torch.tensor(12.0))
        tensor(-3.0721e-06)
    """
    above = p.clamp(min=0)
    far = math.log(omega) + torch.log1p(torch.exp(-above) / -2)
    near = math.log(omega / 2) + torch.log1p(-torch.expm1(-above))
    return torch.where(p <= 0, p + math.log(omega / 2), torch.where(p > math.log(2), far, near))


def up_bounded_log_scale_as_written(p: Tensor, omega: float = 1.0) -> Tensor:
    """log(2 - exp(-p)) + log(omega/2) for p > 0 (eq. 12): at omega = 1 the two logarithms cancel for large p."""
    above = torch.log(2 - torch.exp(-p.clamp(min=0)))
    return torch.where(p <= 0, p, above) + math.log(omega / 2)


@in_one_dtype
def down_bounded_scale(p: Tensor, alpha: float = UNIT_BIN) -> Tensor:
    """alpha + exp p (eq. 14); bounded below by alpha > 0.

    Args:
        p: [...].
        alpha: the lower bound, 1/sqrt(12) for data dequantized by noise of width 1, 1/(256 sqrt(12)) for data in
            [0, 1] that had 256 values.

    Example:
        >>> down_bounded_scale(torch.tensor([-1e4, 0.0]))
        tensor([0.2887, 1.2887])
    """
    return alpha + torch.exp(p)


@in_one_dtype
def down_bounded_log_scale(p: Tensor, alpha: float = UNIT_BIN) -> Tensor:
    """The logarithm of `down_bounded_scale`: p + log1p(alpha exp(-p)) where exp p could overflow.

    Its slope is exp(p)/(alpha + exp p) for p <= 0, else 1/(1 + alpha exp(-p)), so that no exponential overflows.

    Example:
        >>> down_bounded_log_scale(torch.tensor([-1e30, 1e30]))
        tensor([-1.2425e+00,  1.0000e+30])
    """

    def value(p: Tensor) -> Tensor:
        low, high = p.clamp(max=1), p.clamp(min=1)
        excess = torch.exp(low) + (alpha - 1) if alpha > 0.5 else torch.expm1(low) + alpha
        return torch.where(
            p <= 1, log_near_one(alpha + torch.exp(low), excess), high + torch.log1p(alpha * torch.exp(-high))
        )

    def slope(p: Tensor) -> tuple[Tensor]:
        folded = negative_size(p)
        small = torch.exp(folded)
        return (torch.where(p <= 0, times_exp(1 / (alpha + small), folded), 1 / (1 + alpha * small)),)

    return with_slopes(value, slope, p)


@in_one_dtype
def bounded_scale(p: Tensor, alpha: float = PIXEL_BIN, omega: float = 1.0) -> Tensor:
    """alpha + (omega - alpha) s(p), s the logistic sigmoid (eq. 15); between alpha > 0 and omega.

    Args:
        p: [...].
        alpha, omega: the bounds, 1/(256 sqrt(12)) and 1 for data in [0, 1] that had 256 values.

    Example:
        >>> bounded_scale(torch.tensor([-1e4, 0.0, 1e4]), alpha=0.5, omega=2.0)
        tensor([0.5000, 1.2500, 2.0000])
    """
    return with_slopes(lambda p: _bounded(p, alpha, omega), lambda p: (logistic_slope(p, omega - alpha),), p)


@in_one_dtype
def bounded_log_scale(p: Tensor, alpha: float = PIXEL_BIN, omega: float = 1.0) -> Tensor:
    """The logarithm of `bounded_scale`, accurate also where the scale is nearly 1.

    Example:
        >>> bounded_log_scale(torch.tensor(20.0))
        tensor(-2.0588e-09)
    """

    def value(p: Tensor) -> Tensor:
        small, edge = _share_and_edge(p, alpha, omega)
        excess = torch.where(p <= 0, (alpha - 1) + omega * small, (omega - 1) + alpha * small)
        return log_near_one(edge, excess) - torch.log1p(small)

    def slope(p: Tensor) -> tuple[Tensor]:
        folded, low = negative_size(p), p <= 0
        small, first = (
            torch.exp(folded),
            torch.where(low, torch.full_like(p, alpha), omega),
        )  # scalars alone would be float32
        product = first + small * ((alpha + omega) + (alpha + omega - first) * small)  # (1 + small) * edge
        return (times_exp((omega - alpha) / product, folded),)

    return with_slopes(value, slope, p)


def _share_and_edge(p: Tensor, alpha: float, omega: float) -> tuple[Tensor, Tensor]:
    """e = exp(-|p|) and alpha + omega e for p <= 0, else omega + alpha e, which is the scale times 1 + e."""
    small = torch.exp(negative_size(p))
    return small, torch.where(p <= 0, alpha + omega * small, omega + alpha * small)


def _bounded(p: Tensor, alpha: float, omega: float) -> Tensor:
    return torch.where(p > 0, omega - logistic(-p, omega - alpha), alpha + logistic(p, omega - alpha))


_P = (Argument("p", real),)
_EQ_12, _EQ_14, _EQ_15 = (f"dehaene2021, eq. {n}" for n in (12, 14, 15))

SPECS = (
    Spec.of(up_bounded_scale, definition.up_bounded_scale, _P, stable, _EQ_12, omega=1.0),
    Spec.of(up_bounded_scale, definition.up_bounded_scale, _P, stable, _EQ_12, "_256", omega=256.0),
    Spec.of(up_bounded_log_scale, definition.up_bounded_log_scale, _P, stable, _EQ_12, omega=1.0),
    Spec.of(up_bounded_log_scale, definition.up_bounded_log_scale, _P, stable, _EQ_12, "_256", omega=256.0),
    Spec.of(
        up_bounded_log_scale_as_written,
        definition.up_bounded_log_scale,
        _P,
        fault("value_is_accurate", "cancellation"),
        _EQ_12,
        omega=1.0,
    ),
    Spec.of(down_bounded_scale, definition.down_bounded_scale, _P, stable, _EQ_14, alpha=UNIT_BIN),
    Spec.of(down_bounded_scale, definition.down_bounded_scale, _P, stable, _EQ_14, "_256", alpha=PIXEL_BIN),
    Spec.of(down_bounded_log_scale, definition.down_bounded_log_scale, _P, stable, _EQ_14, alpha=UNIT_BIN),
    Spec.of(down_bounded_log_scale, definition.down_bounded_log_scale, _P, stable, _EQ_14, "_256", alpha=PIXEL_BIN),
    Spec.of(bounded_scale, definition.bounded_scale, _P, stable, _EQ_15, alpha=PIXEL_BIN, omega=1.0),
    Spec.of(bounded_log_scale, definition.bounded_log_scale, _P, stable, _EQ_15, alpha=PIXEL_BIN, omega=1.0),
)
