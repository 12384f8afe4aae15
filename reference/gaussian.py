"""Normal distributions: divergences and negative log-densities, as their definitions.

Each function takes a number system first and then one sample. Nothing here is clever: precision is raised
instead. Where it also names another definition, that one says the same with less cancellation or without leaving the
range of float64, for intervals, which cannot raise theirs.

Source: dehaene2021, Dehaene & Brossard, "Re-parameterizing VAEs for stability"; equations as numbered there.
NVAE: Vahdat & Kautz, "NVAE: A Deep Hierarchical Variational Autoencoder". IAF: Kingma et al., "Improved Variational
Inference with Inverse Autoregressive Flow".
"""

from stabkit.arithmetic import Number, NumberSystem
from stabkit.spec import also


def kl_by_ratio(ctx: NumberSystem, mean1: Number, scale1: Number, mean2: Number, scale2: Number) -> Number:
    """The divergence by t = scale1/scale2 - 1: t**2/2 + t - log(1 + t) + ((mean1 - mean2)/scale2)**2/2."""
    t = (scale1 - scale2) / scale2
    return t**2 / 2 - ctx.log1pmx(t) + ((mean1 - mean2) / scale2) ** 2 / 2


@also(kl_by_ratio)
def kl(ctx: NumberSystem, mean1: Number, scale1: Number, mean2: Number, scale2: Number) -> Number:
    """KL(N(mean1, scale1) || N(mean2, scale2)) in nats, scales being standard deviations (eq. 6)."""
    spread = scale1**2 + (mean1 - mean2) ** 2
    return ctx.log(scale2 / scale1) + spread / (2 * scale2**2) - ctx.number(1) / 2


def kl_by_log_ratio(ctx: NumberSystem, mean1: Number, log_scale1: Number, mean2: Number, log_scale2: Number) -> Number:
    """The same by 2d = 2(log_scale1 - log_scale2): (exp(2d) - 1 - 2d)/2 + (mean1 - mean2)**2 exp(-2 log_scale2)/2."""
    return ctx.expm1mx(2 * (log_scale1 - log_scale2)) / 2 + (mean1 - mean2) ** 2 * ctx.exp(-2 * log_scale2) / 2


@also(kl_by_log_ratio)
def kl_of_log_scales(ctx: NumberSystem, mean1: Number, log_scale1: Number, mean2: Number, log_scale2: Number) -> Number:
    """The same on log standard deviations (eq. 8)."""
    spread = ctx.exp(2 * log_scale1) + (mean1 - mean2) ** 2
    return log_scale2 - log_scale1 + spread / (2 * ctx.exp(2 * log_scale2)) - ctx.number(1) / 2


def nll(ctx: NumberSystem, x: Number, mean: Number, scale: Number) -> Number:
    """-log N(x; mean, scale) in nats."""
    return ctx.log(2 * ctx.pi) / 2 + ctx.log(scale) + ((x - mean) / scale) ** 2 / 2


def nll_by_log_precision(ctx: NumberSystem, x: Number, mean: Number, log_scale: Number) -> Number:
    """The next one with exp(-2 log_scale) in place of a quotient."""
    return ctx.log(2 * ctx.pi) / 2 + log_scale + (x - mean) ** 2 * ctx.exp(-2 * log_scale) / 2


@also(nll_by_log_precision)
def nll_of_log_scale(ctx: NumberSystem, x: Number, mean: Number, log_scale: Number) -> Number:
    """-log N(x; mean, exp log_scale) in nats."""
    return ctx.log(2 * ctx.pi) / 2 + log_scale + ((x - mean) / ctx.exp(log_scale)) ** 2 / 2


def nll_of_variance(ctx: NumberSystem, x: Number, mean: Number, variance: Number) -> Number:
    """-log N(x; mean, sqrt variance) in nats."""
    return ctx.log(2 * ctx.pi * variance) / 2 + (x - mean) ** 2 / (2 * variance)


def nll_of_variance_without_constant(ctx: NumberSystem, x: Number, mean: Number, variance: Number) -> Number:
    """-log N(x; mean, sqrt variance) - log(2 pi)/2 in nats, as `torch.nn.GaussianNLLLoss` documents it."""
    return (ctx.log(variance) + (x - mean) ** 2 / variance) / 2


def residual_kl(ctx: NumberSystem, delta_mean: Number, delta_scale: Number, prior_scale: Number) -> Number:
    """KL(N(m + delta_mean, s * delta_scale) || N(m, s)) in nats, s the prior's scale (NVAE, eq. 2)."""
    return (delta_mean**2 / prior_scale**2 + delta_scale**2 - ctx.log(delta_scale**2) - 1) / 2


def residual_kl_by_log_precision(
    ctx: NumberSystem, delta_mean: Number, delta_log_scale: Number, prior_log_scale: Number
) -> Number:
    """The next one with exp(-2 prior_log_scale) in place of a quotient."""
    return ctx.expm1mx(2 * delta_log_scale) / 2 + delta_mean**2 * ctx.exp(-2 * prior_log_scale) / 2


@also(residual_kl_by_log_precision)
def residual_kl_of_log_scales(
    ctx: NumberSystem, delta_mean: Number, delta_log_scale: Number, prior_log_scale: Number
) -> Number:
    """The same on logarithms of both scales."""
    return residual_kl(ctx, delta_mean, ctx.exp(delta_log_scale), ctx.exp(prior_log_scale))


def free_bits(ctx: NumberSystem, kl: Number, floor: float) -> Number:
    """max(kl, floor) (IAF, appendix C.8)."""
    return ctx.maximum(kl, ctx.number(floor))
