"""Scales relative to another one: Residual to the prior's, FloorOfGlobal to one fitted before."""

import math

import torch
from torch import Tensor

from stabkit.closed_gradient import with_slopes
from stabkit.domain import Argument, positive, real
from stabkit.exponentials import times_exp
from stabkit.reference import parameterizations as definition
from stabkit.spec import Spec, stable
from stabkit.widening import in_one_dtype


@in_one_dtype
def residual_scale(delta: Tensor, prior_scale: Tensor) -> Tensor:
    """prior_scale * exp(delta) (NVAE): a posterior scale relative to its prior's, in range wherever the product is.

    Args:
        delta, prior_scale: shapes that broadcast to [...]; prior_scale > 0.

    Source: Vahdat & Kautz, "NVAE: A Deep Hierarchical Variational Autoencoder", section 3.2.

    Example:
        >>> residual_scale(torch.tensor(160.0), torch.tensor(1e-40))
        tensor(3.0698e+29)
    """
    return with_slopes(
        lambda delta, prior: times_exp(prior, delta),
        lambda delta, prior: (times_exp(prior, delta), torch.exp(delta)),
        delta,
        prior_scale,
    )


@in_one_dtype
def residual_log_scale(delta: Tensor, prior_log_scale: Tensor) -> Tensor:
    """prior_log_scale + delta, the logarithm of `residual_scale`.

    Args:
        delta, prior_log_scale: shapes that broadcast to [...].

    Example:
        >>> residual_log_scale(torch.tensor([0.0, 0.5]), torch.tensor(-200.0))
        tensor([-200.0000, -199.5000])
    """
    return prior_log_scale + delta


@in_one_dtype
def residual_mean(delta: Tensor, prior_mean: Tensor) -> Tensor:
    """prior_mean + delta (NVAE): the mean that belongs to `residual_scale`.

    Args:
        delta, prior_mean: shapes that broadcast to [...].

    Example:
        >>> residual_mean(torch.tensor([0.0, 0.5]), torch.tensor(2.0))
        tensor([2.0000, 2.5000])
    """
    return prior_mean + delta


@in_one_dtype
def floor_of_global_scale(scale: Tensor, global_scale: Tensor, alpha: float) -> Tensor:
    """max(scale, global_scale/alpha): a scale that cannot fall far below the one fitted globally before.

    Args:
        scale, global_scale: shapes that broadcast to [...], both positive.
        alpha: how many times smaller than the global scale it may become.

    Source: Lin et al., "Balancing Reconstruction Quality and Regularisation in ELBO for VAEs".

    Example:
        >>> floor_of_global_scale(torch.tensor([1e-9, 0.5]), torch.tensor(0.25), alpha=10.0)
        tensor([0.0250, 0.5000])
    """
    # the quotient decides also among subnormal scales, where global_scale/alpha is rounded coarsely
    return torch.where(scale / global_scale >= 1 / alpha, scale, global_scale / alpha)


@in_one_dtype
def floor_of_global_log_scale(log_scale: Tensor, global_log_scale: Tensor, alpha: float) -> Tensor:
    """max(log_scale, global_log_scale - log alpha), the logarithm of `floor_of_global_scale`.

    Args:
        log_scale, global_log_scale: shapes that broadcast to [...].
        alpha: how many times smaller than the global scale it may become.

    Example:
        >>> floor_of_global_log_scale(torch.tensor([-200.0, 0.0]), torch.tensor(-1.0), alpha=10.0)
        tensor([-3.3026,  0.0000])
    """
    # the difference decides also among large log scales, which absorb log alpha
    own = log_scale - global_log_scale >= -math.log(alpha)
    return torch.where(own, log_scale, global_log_scale - math.log(alpha))


_DELTA = Argument("delta", real)
_NVAE, _LIN = "NVAE, section 3.2", "Lin et al. 2019"

SPECS = (
    Spec.of(residual_scale, definition.residual_scale, (_DELTA, Argument("prior_scale", positive)), stable, _NVAE),
    Spec.of(
        residual_log_scale, definition.residual_log_scale, (_DELTA, Argument("prior_log_scale", real)), stable, _NVAE
    ),
    Spec.of(residual_mean, definition.residual_mean, (_DELTA, Argument("prior_mean", real)), stable, _NVAE),
    Spec.of(
        floor_of_global_scale,
        definition.floor_of_global_scale,
        (Argument("scale", positive), Argument("global_scale", positive)),
        stable,
        _LIN,
        alpha=10.0,
    ),
    Spec.of(
        floor_of_global_log_scale,
        definition.floor_of_global_log_scale,
        (Argument("log_scale", real), Argument("global_log_scale", real)),
        stable,
        _LIN,
        alpha=10.0,
    ),
)
