"""The differentiable pieces of Normal losses, each with a closed backward where autograd of the forward fails.

Inputs of one piece broadcast and have one dtype, float32 or float64. z is a standardized distance (a - b)/scale.
"""

import math

import torch
from torch import Tensor

from stabkit.closed_gradient import with_slopes
from stabkit.exponentials import times_exp
from stabkit.floats import format_of

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
SERIES_TERMS = {torch.float32: 11, torch.float64: 19}  # the first term left out is below half an ulp at |2d| = 1
FAR = 40.0  # beyond d = 40 the 1 in exp(2d) - 1 is below half an ulp of float64
WIDE = 1000.0  # from here on squares are formed around the division by the scale


def scale_term(d: Tensor) -> Tensor:
    """expm1(2d)/2 - d, the part of KL that depends on d = log(scale1/scale2) alone; its slope is expm1(2d)."""
    return with_slopes(_scale_term, lambda d: (torch.expm1(2 * d),), d)


def half_squared_distance(a: Tensor, b: Tensor, log_scale: Tensor) -> Tensor:
    """z**2/2 with z = (a - b) exp(-log_scale); its slopes are +-(a - b) exp(-2 log_scale) and -z**2."""

    def value(a: Tensor, b: Tensor, log_scale: Tensor) -> Tensor:
        difference, factor = _difference(a, b)
        z = times_exp(difference, -log_scale) * factor
        return z / 2 * z

    def slopes(a: Tensor, b: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        difference, factor = _difference(a, b)
        z = times_exp(difference, -log_scale) * factor
        slope = times_exp(difference, -2 * log_scale) * factor
        return slope, -slope, -z * z

    return with_slopes(value, slopes, a, b, log_scale)


def kl_of_scales(mean1: Tensor, scale1: Tensor, mean2: Tensor, scale2: Tensor) -> Tensor:
    """KL as scale_term(log(scale1/scale2)) + z**2/2.

    With r = scale1/scale2 and t = r - 1 its slopes are z/scale2 by mean1, t (r + 1)/scale1 by scale1 and
    -(t (r + 1) + z**2)/scale2 by scale2, where far from 0 the sum is (w - 1)(w + 1), w = hypot(r, z).
    """

    def value(mean1: Tensor, scale1: Tensor, mean2: Tensor, scale2: Tensor) -> Tensor:
        z = _standardized(mean1, mean2, scale2)
        t = (scale1 - scale2) / scale2
        d = _log_ratio(scale1, scale2, t)
        of_scales = torch.where(d.abs() <= 0.5, _series(d), t / 2 * (t + 2) - d)
        return of_scales + z / 2 * z

    def slopes(mean1: Tensor, scale1: Tensor, mean2: Tensor, scale2: Tensor) -> tuple[Tensor, ...]:
        z, ratio, t = _standardized(mean1, mean2, scale2), scale1 / scale2, (scale1 - scale2) / scale2
        by_mean = _twice_standardized(mean1, mean2, scale2)
        inverse = torch.where(ratio > 1, scale2 / scale1, 1.0)
        by_scale1 = torch.where(ratio > 1, t / scale2 * (inverse + 1), t / scale1 * (ratio + 1))
        root = z / torch.sqrt(scale2)  # its square, unlike that of z, vanishes only with z**2/scale2
        width = torch.hypot(ratio, z)
        tiny = z.abs() < math.ldexp(1.0, format_of(z.dtype).emin // 2)
        near = torch.where(tiny, t * (ratio + 1) / scale2 + root * root, (t * (ratio + 1) + z * z) / scale2)
        far = (width - 1) / scale2 * (width + 1)
        return by_mean, by_scale1, -by_mean, -torch.where(width < WIDE, near, far)

    return with_slopes(value, slopes, mean1, scale1, mean2, scale2)


def nll_of_scale(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log(2 pi)/2 + log scale + z**2/2; its slope by the scale is (1 - z**2)/scale."""

    def value(x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
        z = _standardized(x, mean, scale)
        return (torch.log(scale) + HALF_LOG_2PI) + z / 2 * z

    def slopes(x: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        slope = _twice_standardized(x, mean, scale)
        z = _standardized(x, mean, scale).abs()
        return slope, -slope, (1 - z) / scale * (1 + z)

    return with_slopes(value, slopes, x, mean, scale)


def nll_of_variance(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """log(2 pi)/2 + log(variance)/2 + z**2/2; its slope by the variance is (1 - z**2)/(2 variance)."""

    def value(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        z = _standardized(x, mean, torch.sqrt(variance))
        return (torch.log(variance) / 2 + HALF_LOG_2PI) + z / 2 * z

    def slopes(x: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        slope = _standardized(x, mean, variance)
        z = _standardized(x, mean, torch.sqrt(variance)).abs()
        return slope, -slope, (1 - z) / 2 / variance * (1 + z)

    return with_slopes(value, slopes, x, mean, variance)


def _scale_term(d: Tensor) -> Tensor:
    middle = torch.expm1(2 * d) / 2 - d
    root = torch.exp(d.clamp(min=0))
    far = root * 0.5 * root - d.masked_fill(d.isposinf(), 0)  # exp(2d) overflows before half of it does
    return torch.where(d.abs() <= 0.5, _series(d), torch.where(d > FAR, far, middle))


def _series(d: Tensor) -> Tensor:
    """expm1(2d)/2 - d by its Taylor series, for |d| <= 1/2."""
    terms = SERIES_TERMS[d.dtype]
    near = (2 * d).clamp(-1, 1)
    series = torch.full_like(d, 1 / math.factorial(terms + 1))
    for k in range(terms, 1, -1):
        series = series * near + 1 / math.factorial(k)
    return series * near * near / 2


def _log_ratio(scale1: Tensor, scale2: Tensor, t: Tensor) -> Tensor:
    """log(scale1/scale2), given also t = scale1/scale2 - 1, which says more of a ratio next to 1."""
    ratio = scale1 / scale2
    form = format_of(ratio.dtype)
    is_normal = (ratio >= form.smallest_normal) & ratio.isfinite()
    log_ratio = torch.where(is_normal, torch.log(ratio), torch.log(scale1) - torch.log(scale2))
    return torch.where(t.abs() < 0.5, torch.log1p(t), log_ratio)


def _difference(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(d, f) with a - b = d * f: halves and 2 where the difference itself would overflow, else a - b and 1."""
    plain = a - b
    overflows = plain.isinf()
    return torch.where(overflows, a / 2 - b / 2, plain), torch.ones_like(plain).masked_fill(overflows, 2.0)


def _standardized(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    """(a - b)/scale."""
    difference, factor = _difference(a, b)
    return difference / scale * factor


def _twice_standardized(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    """(a - b)/scale**2."""
    difference, factor = _difference(a, b)
    form = format_of(difference.dtype)
    tiny = (difference / scale).abs() < math.ldexp(form.smallest_normal, form.precision)
    lift = torch.ones_like(difference).masked_fill(tiny & (difference.abs() < 1), math.ldexp(1.0, -form.emin // 2))
    return difference * lift / scale / scale * factor / lift  # lifted, the first quotient stays normal
