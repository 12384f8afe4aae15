"""Scales whose logarithm is a squashed p: ScaledTanh, ScaledSigmoid, SoftplusInverse.

Sources: importance-post (importance sampling and the marginal likelihood of a VAE) for the first two, pixelcnn-post
(discretized logistic mixtures) for the third.
"""

import math

import torch
from torch import Tensor

from stabkit.closed_gradient import with_slopes
from stabkit.domain import Argument, real
from stabkit.parameterizations.logistic import logistic, logistic_slope
from stabkit.reference import parameterizations as definition
from stabkit.spec import Spec, stable
from stabkit.widening import in_one_dtype


@in_one_dtype
def scaled_tanh_scale(p: Tensor, bound: float = 5.0) -> Tensor:
    """exp(bound * tanh p), a latent scale between exp(-bound) and exp(bound) (importance-post).

    Where tanh saturates, its distance from 1 is computed instead, which the exponential does not magnify.

    Example:
        >>> scaled_tanh_scale(torch.tensor([-1e4, 0.0, 1e4]))
        tensor([6.7379e-03, 1.0000e+00, 1.4841e+02])
    """
    return with_slopes(
        lambda p: _exp_of_tanh(p, bound),
        lambda p: (logistic_slope(2 * p, 4 * bound * _exp_of_tanh(p, bound)),),
        p,
    )


@in_one_dtype
def scaled_tanh_log_scale(p: Tensor, bound: float = 5.0) -> Tensor:
    """bound * tanh p, the logarithm of `scaled_tanh_scale`; its slope does not come from 1 - tanh**2.

    Example:
        >>> scaled_tanh_log_scale(torch.tensor([-1e4, 0.0, 1.0]))
        tensor([-5.0000,  0.0000,  3.8080])
    """
    return with_slopes(lambda p: bound * torch.tanh(p), lambda p: (logistic_slope(2 * p, 4 * bound),), p)


@in_one_dtype
def scaled_sigmoid_scale(p: Tensor, bound: float = 7.0) -> Tensor:
    """exp(-bound * s(p)), s the logistic sigmoid: an inverse scale between exp(-bound) and 1 (importance-post).

    Example:
        >>> scaled_sigmoid_scale(torch.tensor([-1e4, 0.0, 1e4]))
        tensor([1.0000e+00, 3.0197e-02, 9.1188e-04])
    """

    def value(p: Tensor) -> Tensor:
        return _exp_of_tanh(-p / 2, bound / 2, -bound / 2)

    return with_slopes(value, lambda p: (logistic_slope(p, -bound * value(p)),), p)


@in_one_dtype
def scaled_sigmoid_log_scale(p: Tensor, bound: float = 7.0) -> Tensor:
    """-bound * s(p), the logarithm of `scaled_sigmoid_scale`.

    Example:
        >>> scaled_sigmoid_log_scale(torch.tensor([-80.0, 0.0, 1e4]))
        tensor([-1.2634e-34, -3.5000e+00, -7.0000e+00])
    """
    return with_slopes(lambda p: logistic(p, -bound), lambda p: (logistic_slope(p, -bound),), p)


@in_one_dtype
def softplus_inverse_scale(p: Tensor) -> Tensor:
    """exp(-softplus p), a scale below 1 (pixelcnn-post); it is s(-p), s the logistic sigmoid.

    Example:
        >>> softplus_inverse_scale(torch.tensor([-1e4, 0.0, 80.0]))
        tensor([1.0000e+00, 5.0000e-01, 1.8049e-35])
    """
    return with_slopes(lambda p: logistic(-p), lambda p: (logistic_slope(p, -1.0),), p)


@in_one_dtype
def softplus_inverse_log_scale(p: Tensor) -> Tensor:
    """-softplus p, the logarithm of `softplus_inverse_scale`, without the threshold of torch's softplus.

    Example:
        >>> softplus_inverse_log_scale(torch.tensor([-80.0, 0.0, 1e4]))
        tensor([-1.8049e-35, -6.9315e-01, -1.0000e+04])
    """
    return with_slopes(lambda p: -p.clamp(min=0) - torch.log1p(torch.exp(-p.abs())), lambda p: (logistic(p, -1.0),), p)


def _exp_of_tanh(p: Tensor, factor: float, shift: float = 0.0) -> Tensor:
    """exp(shift + factor * tanh p); beyond |p| = 3/4 as the limit times exp(-+ factor (1 - |tanh p|))."""
    sign = torch.sign(p)
    limit = torch.exp(shift + factor * sign) * torch.exp(-sign * logistic(-2 * p.abs(), 2 * factor))
    near = math.exp(shift) * torch.exp(factor * torch.tanh(p))
    return torch.where(p.abs() < 0.75, near, limit)


_P = (Argument("p", real),)

SPECS = (
    Spec.of(scaled_tanh_scale, definition.scaled_tanh_scale, _P, stable, "importance-post", bound=5.0),
    Spec.of(scaled_tanh_log_scale, definition.scaled_tanh_log_scale, _P, stable, "importance-post", bound=5.0),
    Spec.of(scaled_sigmoid_scale, definition.scaled_sigmoid_scale, _P, stable, "importance-post", bound=7.0),
    Spec.of(scaled_sigmoid_log_scale, definition.scaled_sigmoid_log_scale, _P, stable, "importance-post", bound=7.0),
    Spec.of(softplus_inverse_scale, definition.softplus_inverse_scale, _P, stable, "pixelcnn-post"),
    Spec.of(softplus_inverse_log_scale, definition.softplus_inverse_log_scale, _P, stable, "pixelcnn-post"),
)
