"""Scale parameterizations: from a raw network output p to a scale sigma(p) > 0 and its logarithm.

The forms to use, and the common forms that fail; `SPECS` says which claim catches each. All are elementwise on
any shape, in the dtype of p. Definitions: stabkit.reference.parameterizations.

Source: dehaene2021, Dehaene & Brossard, "Re-parameterizing VAEs for stability", eq. 7 to 18.
"""

import math

import torch
from torch import Tensor

from stabkit.domain import Argument, real
from stabkit.reference import parameterizations as definition
from stabkit.spec import Spec, fault, stable
from stabkit.widening import in_one_dtype


def naive_exp_log_scale(p: Tensor) -> Tensor:
    """log(exp p), each step rounded (eq. 7): infinite as soon as exp p leaves the range of the dtype."""
    return torch.log(torch.exp(p))


def exp_scale(p: Tensor) -> Tensor:
    """exp p (eq. 9). Its range limits are those of the dtype, not faults."""
    return torch.exp(p)


def exp_log_scale(p: Tensor) -> Tensor:
    """p itself, the logarithm of `exp_scale` with nothing computed (eq. 9)."""
    return p.clone()


def exp_lin_scale(p: Tensor) -> Tensor:
    """exp p for p <= 0, else p + 1 (eq. 11), with p clipped to each side before the branch is chosen.

    Without the clipping the branch not taken overflows, and its gradient 0 * inf is NaN.

    Example:
        >>> exp_lin_scale(torch.tensor([-1.0, 0.0, 1.0, 1e4]))
        tensor([3.6788e-01, 1.0000e+00, 2.0000e+00, 1.0001e+04])
    """
    return torch.where(p <= 0, torch.exp(p.clamp(max=0)), p.clamp(min=0) + 1)


def exp_lin_log_scale(p: Tensor) -> Tensor:
    """The logarithm of `exp_lin_scale`: p for p <= 0, else log1p(p) (eq. 11)."""
    return torch.where(p <= 0, p, torch.log1p(p.clamp(min=0)))


def exp_lin_scale_unclipped(p: Tensor) -> Tensor:
    """ExpLin as a sum of masked branches (eq. 16): inf * 0 is NaN once exp p overflows."""
    return torch.exp(p) * (p <= 0) + (p + 1) * (p > 0)


def exp_lin_log_scale_unclipped(p: Tensor) -> Tensor:
    """The logarithm of ExpLin as a sum of masked branches (eq. 16): NaN for p < -1."""
    return p * (p <= 0) + torch.log(p + 1) * (p > 0)


def exp_lin_scale_as_printed(p: Tensor) -> Tensor:
    """ExpLin with the masks of eq. 18, which test the clipped p: the first is always on, so sigma(1) is 3, not 2."""
    below, above = p.clamp(max=0), p.clamp(min=0)
    return torch.exp(below) * (below <= 0) + (above + 1) * (above > 0)


@in_one_dtype
def up_bounded_scale(p: Tensor, omega: float = 1.0) -> Tensor:
    """(omega/2) exp p for p <= 0, else (omega/2)(2 - exp(-p)) (eq. 12); bounded above by omega.

    exp is taken of half the argument and squared around the factor, so that a subnormal exp p is never
    formed where omega/2 times it is normal.

    Args:
        p: [...].
        omega: the upper bound, 1 for latents, 256 for pixels in [0, 256).
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


_P = (Argument("p", real),)

SPECS = (
    Spec(
        "naive_exp_log_scale",
        naive_exp_log_scale,
        definition.exp_log_scale,
        _P,
        fault("value_is_finite", "underflow"),
        "dehaene2021, eq. 7",
    ),
    Spec("exp_scale", exp_scale, definition.exp_scale, _P, stable, "dehaene2021, eq. 9"),
    Spec("exp_log_scale", exp_log_scale, definition.exp_log_scale, _P, stable, "dehaene2021, eq. 9"),
    Spec("exp_lin_scale", exp_lin_scale, definition.exp_lin_scale, _P, stable, "dehaene2021, eq. 11"),
    Spec("exp_lin_log_scale", exp_lin_log_scale, definition.exp_lin_log_scale, _P, stable, "dehaene2021, eq. 11"),
    Spec(
        "exp_lin_scale_unclipped",
        exp_lin_scale_unclipped,
        definition.exp_lin_scale,
        _P,
        fault("value_is_finite", "overflow"),
        "dehaene2021, eq. 16",
    ),
    Spec(
        "exp_lin_log_scale_unclipped",
        exp_lin_log_scale_unclipped,
        definition.exp_lin_log_scale,
        _P,
        fault("value_is_finite", "singularity"),
        "dehaene2021, eq. 16",
    ),
    Spec(
        "exp_lin_scale_as_printed",
        exp_lin_scale_as_printed,
        definition.exp_lin_scale,
        _P,
        fault("matches_reference", "approximation"),
        "dehaene2021, eq. 18",
    ),
    Spec(
        "up_bounded_scale",
        up_bounded_scale,
        definition.up_bounded_scale,
        _P,
        stable,
        "dehaene2021, eq. 12",
        {"omega": 1.0},
    ),
    Spec(
        "up_bounded_scale_256",
        up_bounded_scale,
        definition.up_bounded_scale,
        _P,
        stable,
        "dehaene2021, eq. 12",
        {"omega": 256.0},
    ),
    Spec(
        "up_bounded_log_scale",
        up_bounded_log_scale,
        definition.up_bounded_log_scale,
        _P,
        stable,
        "dehaene2021, eq. 12",
        {"omega": 1.0},
    ),
    Spec(
        "up_bounded_log_scale_256",
        up_bounded_log_scale,
        definition.up_bounded_log_scale,
        _P,
        stable,
        "dehaene2021, eq. 12",
        {"omega": 256.0},
    ),
    Spec(
        "up_bounded_log_scale_as_written",
        up_bounded_log_scale_as_written,
        definition.up_bounded_log_scale,
        _P,
        fault("value_is_accurate", "cancellation"),
        "dehaene2021, eq. 12",
        {"omega": 1.0},
    ),
)
