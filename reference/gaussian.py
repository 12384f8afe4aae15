"""Normal distributions: divergences and negative log-densities, as their definitions.

Each function takes a number system first and then one sample. Nothing here is clever: precision is raised
instead.

Source: dehaene2021, Dehaene & Brossard, "Re-parameterizing VAEs for stability"; equations as numbered there.
"""

from stabkit.arithmetic import Number, NumberSystem


def kl(ctx: NumberSystem, mean1: Number, scale1: Number, mean2: Number, scale2: Number) -> Number:
    """KL(N(mean1, scale1) || N(mean2, scale2)) in nats, scales being standard deviations (eq. 6)."""
    spread = scale1**2 + (mean1 - mean2) ** 2
    return ctx.log(scale2 / scale1) + spread / (2 * scale2**2) - ctx.number(1) / 2


def kl_of_log_scales(ctx: NumberSystem, mean1: Number, log_scale1: Number, mean2: Number, log_scale2: Number) -> Number:
    """The same on log standard deviations (eq. 8)."""
    spread = ctx.exp(2 * log_scale1) + (mean1 - mean2) ** 2
    return log_scale2 - log_scale1 + spread / (2 * ctx.exp(2 * log_scale2)) - ctx.number(1) / 2


def nll(ctx: NumberSystem, x: Number, mean: Number, scale: Number) -> Number:
    """-log N(x; mean, scale) in nats."""
    return ctx.log(2 * ctx.pi) / 2 + ctx.log(scale) + ((x - mean) / scale) ** 2 / 2


def nll_of_log_scale(ctx: NumberSystem, x: Number, mean: Number, log_scale: Number) -> Number:
    """-log N(x; mean, exp log_scale) in nats."""
    return ctx.log(2 * ctx.pi) / 2 + log_scale + ((x - mean) / ctx.exp(log_scale)) ** 2 / 2


def nll_of_variance_without_constant(ctx: NumberSystem, x: Number, mean: Number, variance: Number) -> Number:
    """-log N(x; mean, sqrt variance) - log(2 pi)/2 in nats, as `torch.nn.GaussianNLLLoss` documents it."""
    return (ctx.log(variance) + (x - mean) ** 2 / variance) / 2
