"""Normal distributions: divergences and negative log-densities for training.

Two kinds of function live here: the forms to use, and the common forms that fail (`SPECS` says which claim
catches them). All are elementwise, broadcast, and return nats. Definitions: stabkit.reference.gaussian.

Sources: dehaene2021, Dehaene & Brossard, "Re-parameterizing VAEs for stability"; NVAE, Vahdat & Kautz, "NVAE: A Deep
Hierarchical Variational Autoencoder"; IAF, Kingma et al., "Improved Variational Inference with Inverse
Autoregressive Flow".
"""

import torch
from torch import Tensor
from torch.distributions import Normal

from stabkit.domain import Argument, Built, nonnegative, positive, real
from stabkit.losses import gaussian_terms as terms
from stabkit.losses.reduction import reduced
from stabkit.reference import gaussian as definition
from stabkit.spec import Spec, fault, stable
from stabkit.widening import in_one_dtype


@in_one_dtype
def kl(mean1: Tensor, scale1: Tensor, mean2: Tensor, scale2: Tensor, reduction: str = "none") -> Tensor:
    """KL(N(mean1, scale1) || N(mean2, scale2)), elementwise, in nats.

    The textbook form adds three terms that cancel where the distributions nearly agree, and forms squares that
    leave the range before their quotient does. Here the part that depends on the scales is t + t**2/2 - log1p(t)
    with t = (scale1 - scale2)/scale2, computed without cancellation.

    Args:
        mean1, scale1, mean2, scale2: shapes that broadcast to [...]; scales > 0 are standard deviations.
        reduction: 'none', 'mean' or 'sum'.

    Returns:
        Tensor [...] in the promoted dtype, never negative; [] if reduced.

    Source: dehaene2021, eq. 6, rearranged.

    Example:
        >>> kl(torch.tensor(0.0), torch.tensor(1e-30), torch.tensor(0.0), torch.tensor(1.0))
        tensor(68.5776)
    """
    return reduced(terms.kl_of_scales(mean1, scale1, mean2, scale2), reduction)


def kl_of_normals(p: Normal, q: Normal, reduction: str = "none") -> Tensor:
    """KL(p || q) of two `torch.distributions.Normal` objects, elementwise, in nats: `kl` of what they hold.

    Args:
        p, q: batch shapes that broadcast to [...].
        reduction: 'none', 'mean' or 'sum'.

    Example:
        >>> kl_of_normals(Normal(0.0, 1e-30), Normal(0.0, 1.0))
        tensor(68.5776)
    """
    return kl(p.loc, p.scale, q.loc, q.scale, reduction)


@in_one_dtype
def kl_of_log_scales(
    mean1: Tensor, log_scale1: Tensor, mean2: Tensor, log_scale2: Tensor, reduction: str = "none"
) -> Tensor:
    """KL(N(mean1, exp log_scale1) || N(mean2, exp log_scale2)), elementwise, in nats.

    The textbook form adds three terms that cancel where the distributions nearly agree. Here the part that
    depends on the scales is expm1(2d)/2 - d with d = log_scale1 - log_scale2, computed without cancellation,
    and neither scale is ever formed alone, so nothing leaves the range before the result does.

    Args:
        mean1, log_scale1, mean2, log_scale2: shapes that broadcast to [...].
        reduction: 'none', 'mean' or 'sum'.

    Returns:
        Tensor [...] in the promoted dtype, never negative; [] if reduced.

    Source: dehaene2021, eq. 8, rearranged.

    Example:
        >>> zero = torch.zeros(())
        >>> kl_of_log_scales(zero, torch.tensor(-60.0), zero, zero)
        tensor(59.5000)
    """
    distance = terms.half_squared_distance(mean1, mean2, log_scale2)
    return reduced(terms.scale_term(log_scale1 - log_scale2) + distance, reduction)


def kl_textbook(mean1: Tensor, scale1: Tensor, mean2: Tensor, scale2: Tensor) -> Tensor:
    """The divergence as eq. 6 prints it: the ratio of scales and their squares leave the range before the result."""
    return torch.log(scale2 / scale1) + (scale1**2 + (mean1 - mean2) ** 2) / (2 * scale2**2) - 0.5


def kl_difference_of_logs(mean1: Tensor, scale1: Tensor, mean2: Tensor, scale2: Tensor) -> Tensor:
    """Eq. 6 with log scale2 - log scale1, the form of Table 1: no ratio of scales, but still their squares."""
    spread = scale1**2 + (mean1 - mean2) ** 2
    return torch.log(scale2) - torch.log(scale1) + spread / (2 * scale2**2) - 0.5


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
def residual_kl(
    delta_mean: Tensor, delta_log_scale: Tensor, prior_log_scale: Tensor, reduction: str = "none"
) -> Tensor:
    """KL of N(m + delta_mean, s exp(delta_log_scale)) from its prior N(m, s), s = exp(prior_log_scale), in nats.

    The prior's mean m plays no part, and its scale none but in delta_mean/s.

    Args:
        delta_mean, delta_log_scale, prior_log_scale: shapes that broadcast to [...].
        reduction: 'none', 'mean' or 'sum'.

    Source: NVAE, eq. 2, rearranged.

    Example:
        >>> residual_kl(torch.tensor(1e-30), torch.tensor(0.0), torch.tensor(-70.0))
        tensor(3.1637)
    """
    distance = terms.half_squared_distance(delta_mean, torch.zeros_like(delta_mean), prior_log_scale)
    return reduced(terms.scale_term(delta_log_scale) + distance, reduction)


def residual_kl_as_printed(delta_mean: Tensor, delta_scale: Tensor, prior_scale: Tensor) -> Tensor:
    """The same on scales, as NVAE's eq. 2 prints it: three squares leave the range before their quotient does."""
    return (delta_mean**2 / prior_scale**2 + delta_scale**2 - torch.log(delta_scale**2) - 1) / 2


@in_one_dtype
def free_bits(kl: Tensor, floor: float, reduction: str = "none") -> Tensor:
    """max(kl, floor), elementwise, in nats: a divergence below `floor` costs nothing more.

    Where it binds, the gradient of kl is exactly 0: that latent is trained by the other terms of the loss alone,
    and comes back only if they make its divergence exceed the floor. At equality the gradient is 1.

    Args:
        kl: [...], divergences, usually summed over what shares one allowance.
        floor: the allowance in nats.
        reduction: 'none', 'mean' or 'sum'.

    Source: IAF, appendix C.8.

    Example:
        >>> free_bits(torch.tensor([0.01, 3.0]), floor=0.5)
        tensor([0.5000, 3.0000])
    """
    return reduced(kl.clamp(min=floor), reduction)


@in_one_dtype
def nll(x: Tensor, mean: Tensor, scale: Tensor, reduction: str = "none") -> Tensor:
    """-log N(x; mean, scale), elementwise, in nats.

    Its gradient by the scale is ((1 - |z|)/scale)(1 + |z|), z = (x - mean)/scale, which neither overflows
    early nor loses the sign near |z| = 1.

    Args:
        x, mean, scale: shapes that broadcast to [...]; scale > 0 is a standard deviation.
        reduction: 'none', 'mean' or 'sum'.

    Example:
        >>> nll(torch.tensor(1.0), torch.tensor(0.0), torch.tensor(1e-19))
        tensor(5.0000e+37)
    """
    return reduced(terms.nll_of_scale(x, mean, scale), reduction)


@in_one_dtype
def nll_of_log_scale(x: Tensor, mean: Tensor, log_scale: Tensor, reduction: str = "none") -> Tensor:
    """-log N(x; mean, exp log_scale), elementwise, in nats; the form to train with.

    Args:
        x, mean, log_scale: shapes that broadcast to [...].
        reduction: 'none', 'mean' or 'sum'.

    Example:
        >>> nll_of_log_scale(torch.zeros(()), torch.zeros(()), torch.tensor(-100.0))
        tensor(-99.0811)
    """
    distance = terms.half_squared_distance(x, mean, log_scale)
    return reduced(log_scale + terms.HALF_LOG_2PI + distance, reduction)


@in_one_dtype
def nll_of_variance(x: Tensor, mean: Tensor, variance: Tensor, reduction: str = "none") -> Tensor:
    """-log N(x; mean, sqrt variance), elementwise, in nats, without a clamp on the variance.

    Args:
        x, mean, variance: shapes that broadcast to [...]; variance > 0.
        reduction: 'none', 'mean' or 'sum'.

    Example:
        >>> nll_of_variance(torch.tensor(1e20), torch.tensor(0.0), torch.tensor(1e38))
        tensor(94.6681)
    """
    return reduced(terms.nll_of_variance(x, mean, variance), reduction)


def _normal(name: str) -> Built:
    return Built(name, "Normal", (Argument(f"{name}.loc", real), Argument(f"{name}.scale", positive)))


_X_MEAN = Argument("x", real), Argument("mean", real)
_MEAN1, _MEAN2 = Argument("mean1", real), Argument("mean2", real)
_ON_SCALES = (_MEAN1, Argument("scale1", positive), _MEAN2, Argument("scale2", positive))
_ON_LOG_SCALES = (_MEAN1, Argument("log_scale1", real), _MEAN2, Argument("log_scale2", real))
_RESIDUAL = Argument("delta_mean", real), Argument("delta_log_scale", real), Argument("prior_log_scale", real)
_PRINTED = Argument("delta_mean", real), Argument("delta_scale", positive), Argument("prior_scale", positive)

_OVERFLOW, _UNDERFLOW = fault("value_is_finite", "overflow"), fault("value_is_finite", "underflow")
_SECTION_2 = "dehaene2021, section 2"

SPECS = (
    Spec.of(kl, definition.kl, _ON_SCALES, stable, "dehaene2021, eq. 6, rearranged"),
    Spec.of(kl_of_normals, definition.kl, (_normal("p"), _normal("q")), stable, "dehaene2021, eq. 6, rearranged"),
    Spec.of(kl_of_log_scales, definition.kl_of_log_scales, _ON_LOG_SCALES, stable, "dehaene2021, eq. 8, rearranged"),
    Spec.of(kl_textbook, definition.kl, _ON_SCALES, _OVERFLOW, "dehaene2021, eq. 6"),
    Spec.of(kl_difference_of_logs, definition.kl, _ON_SCALES, _OVERFLOW, "dehaene2021, Table 1"),
    Spec.of(kl_squared_ratio, definition.kl, _ON_SCALES, _UNDERFLOW, "torch.distributions.kl"),
    Spec.of(kl_log_difference, definition.kl_of_log_scales, _ON_LOG_SCALES, _OVERFLOW, "dehaene2021, eq. 8"),
    Spec.of(kl_exp, definition.kl_of_log_scales, _ON_LOG_SCALES, _OVERFLOW, "dehaene2021, eq. 10"),
    Spec.of(residual_kl, definition.residual_kl_of_log_scales, _RESIDUAL, stable, "NVAE, eq. 2, rearranged"),
    Spec.of(residual_kl_as_printed, definition.residual_kl, _PRINTED, _UNDERFLOW, "NVAE, eq. 2"),
    Spec.of(free_bits, definition.free_bits, (Argument("kl", nonnegative),), stable, "IAF, appendix C.8", floor=0.5),
    Spec.of(nll, definition.nll, (*_X_MEAN, Argument("scale", positive)), stable, _SECTION_2),
    Spec.of(nll_of_log_scale, definition.nll_of_log_scale, (*_X_MEAN, Argument("log_scale", real)), stable, _SECTION_2),
    Spec.of(
        nll_of_variance, definition.nll_of_variance, (*_X_MEAN, Argument("variance", positive)), stable, _SECTION_2
    ),
)
