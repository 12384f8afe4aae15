"""Scale parameterizations: from a raw network output p to a scale sigma(p) and its logarithm, as defined.

Source: dehaene2021, Dehaene & Brossard, "Re-parameterizing VAEs for stability"; equations as numbered there.
Where a definition also names another one, that says the same with less cancellation, for intervals.
importance-post and pixelcnn-post are write-ups of importance sampling in VAEs and of PixelCNN.
"""

from collections.abc import Sequence

from stabkit.arithmetic import Number, NumberSystem
from stabkit.spec import also


def exp_scale(ctx: NumberSystem, p: Number) -> Number:
    """exp p (eq. 7 and 9)."""
    return ctx.exp(p)


def exp_log_scale(ctx: NumberSystem, p: Number) -> Number:
    """log exp p, which is p (eq. 9); eq. 7 means the same and computes it in two steps."""
    return p


def exp_lin_scale(ctx: NumberSystem, p: Number) -> Number:
    """exp p for p <= 0, else p + 1 (eq. 11)."""
    return ctx.exp(p) if p <= 0 else p + 1


def exp_lin_log_scale_near_zero(ctx: NumberSystem, p: Number) -> Number:
    """The next one with log1p."""
    return p if p <= 0 else ctx.log1p(p)


@also(exp_lin_log_scale_near_zero)
def exp_lin_log_scale(ctx: NumberSystem, p: Number) -> Number:
    """The logarithm of `exp_lin_scale` (eq. 11)."""
    return p if p <= 0 else ctx.log(p + 1)


def up_bounded_scale(ctx: NumberSystem, p: Number, omega: float) -> Number:
    """(omega/2) exp p for p <= 0, else (omega/2) (2 - exp(-p)) (eq. 12)."""
    half = ctx.number(omega) / 2
    return half * ctx.exp(p) if p <= 0 else half * (2 - ctx.exp(-p))


def up_bounded_log_scale_of_large(ctx: NumberSystem, p: Number, omega: float) -> Number:
    """The next one with log omega + log(1 - exp(-p)/2) for p > 0."""
    return p + ctx.log(ctx.number(omega) / 2) if p <= 0 else ctx.log(ctx.number(omega)) + ctx.log1p(-ctx.exp(-p) / 2)


@also(up_bounded_log_scale_of_large)
def up_bounded_log_scale(ctx: NumberSystem, p: Number, omega: float) -> Number:
    """The logarithm of `up_bounded_scale` (eq. 12)."""
    half = ctx.log(ctx.number(omega) / 2)
    return p + half if p <= 0 else ctx.log(2 - ctx.exp(-p)) + half


def down_bounded_scale(ctx: NumberSystem, p: Number, alpha: float) -> Number:
    """alpha + exp p (eq. 14)."""
    return ctx.number(alpha) + ctx.exp(p)


def down_bounded_log_scale_of_large(ctx: NumberSystem, p: Number, alpha: float) -> Number:
    """The next one with p + log(1 + alpha exp(-p)) for p > 0."""
    low = ctx.number(alpha)
    return ctx.log(low + ctx.exp(p)) if p <= 0 else p + ctx.log1p(low * ctx.exp(-p))


@also(down_bounded_log_scale_of_large)
def down_bounded_log_scale(ctx: NumberSystem, p: Number, alpha: float) -> Number:
    """The logarithm of `down_bounded_scale` (eq. 14)."""
    return ctx.log(down_bounded_scale(ctx, p, alpha))


def bounded_scale_folded(ctx: NumberSystem, p: Number, alpha: float, omega: float) -> Number:
    """The next one with s(p) = exp p/(1 + exp p) for p <= 0."""
    low, high = ctx.number(alpha), ctx.number(omega)
    return low + (high - low) * _folded_sigmoid(ctx, p)


@also(bounded_scale_folded)
def bounded_scale(ctx: NumberSystem, p: Number, alpha: float, omega: float) -> Number:
    """alpha + (omega - alpha) s(p), s the logistic sigmoid (eq. 15)."""
    low, high = ctx.number(alpha), ctx.number(omega)
    return low + (high - low) * _sigmoid(ctx, p)


def bounded_log_scale_folded(ctx: NumberSystem, p: Number, alpha: float, omega: float) -> Number:
    """The next one with log omega + log(1 - (1 - alpha/omega) s(-p)) for p > 0."""
    low, high = ctx.number(alpha), ctx.number(omega)
    if p <= 0:
        return ctx.log(low + (high - low) * _folded_sigmoid(ctx, p))
    return ctx.log(high) + ctx.log1p((low - high) * _folded_sigmoid(ctx, -p) / high)


@also(bounded_log_scale_folded)
def bounded_log_scale(ctx: NumberSystem, p: Number, alpha: float, omega: float) -> Number:
    """The logarithm of `bounded_scale` (eq. 15)."""
    return ctx.log(bounded_scale(ctx, p, alpha, omega))


def constant_scale(ctx: NumberSystem, p: Number) -> Number:
    """1 ("Cst1", Table 4)."""
    return ctx.number(1)


def constant_log_scale(ctx: NumberSystem, p: Number) -> Number:
    """0, the logarithm of `constant_scale`."""
    return ctx.number(0)


def residual_scale(ctx: NumberSystem, delta: Number, prior_scale: Number) -> Number:
    """prior_scale * exp(delta) (NVAE)."""
    return prior_scale * ctx.exp(delta)


def residual_log_scale(ctx: NumberSystem, delta: Number, prior_log_scale: Number) -> Number:
    """prior_log_scale + delta (NVAE)."""
    return prior_log_scale + delta


def residual_mean(ctx: NumberSystem, delta: Number, prior_mean: Number) -> Number:
    """prior_mean + delta (NVAE)."""
    return prior_mean + delta


def floor_of_global_scale(ctx: NumberSystem, scale: Number, global_scale: Number, alpha: float) -> Number:
    """max(scale, global_scale/alpha) (Lin et al.)."""
    return ctx.maximum(scale, global_scale / ctx.number(alpha))


def floor_of_global_log_scale(ctx: NumberSystem, log_scale: Number, global_log_scale: Number, alpha: float) -> Number:
    """max(log_scale, global_log_scale - log alpha), the same on logarithms."""
    return ctx.maximum(log_scale, global_log_scale - ctx.log(ctx.number(alpha)))


def optimal_global_scale(ctx: NumberSystem, x: Sequence[Number], reconstruction: Sequence[Number]) -> Number:
    """gamma, the root of the mean squared reconstruction error (eq. 4)."""
    squares = [(a - b) ** 2 for a, b in zip(x, reconstruction, strict=True)]
    return ctx.sqrt(sum(squares, start=ctx.number(0)) / len(squares))


def optimal_global_log_scale(ctx: NumberSystem, x: Sequence[Number], reconstruction: Sequence[Number]) -> Number:
    """The logarithm of `optimal_global_scale`."""
    return ctx.log(optimal_global_scale(ctx, x, reconstruction))


def scaled_tanh_scale(ctx: NumberSystem, p: Number, bound: float) -> Number:
    """exp(bound * tanh p) (importance-post)."""
    return ctx.exp(ctx.number(bound) * ctx.tanh(p))


def scaled_tanh_log_scale(ctx: NumberSystem, p: Number, bound: float) -> Number:
    """bound * tanh p (importance-post)."""
    return ctx.number(bound) * ctx.tanh(p)


def scaled_sigmoid_scale_folded(ctx: NumberSystem, p: Number, bound: float) -> Number:
    """The next one with s(p) = exp p/(1 + exp p) for p <= 0."""
    return ctx.exp(scaled_sigmoid_log_scale_folded(ctx, p, bound))


@also(scaled_sigmoid_scale_folded)
def scaled_sigmoid_scale(ctx: NumberSystem, p: Number, bound: float) -> Number:
    """exp(-bound * s(p)) (importance-post)."""
    return ctx.exp(-ctx.number(bound) * _sigmoid(ctx, p))


def scaled_sigmoid_log_scale_folded(ctx: NumberSystem, p: Number, bound: float) -> Number:
    """The next one with s(p) = exp p/(1 + exp p) for p <= 0."""
    return -ctx.number(bound) * _folded_sigmoid(ctx, p)


@also(scaled_sigmoid_log_scale_folded)
def scaled_sigmoid_log_scale(ctx: NumberSystem, p: Number, bound: float) -> Number:
    """-bound * s(p) (importance-post)."""
    return -ctx.number(bound) * _sigmoid(ctx, p)


def softplus_inverse_scale_folded(ctx: NumberSystem, p: Number) -> Number:
    """The next one with max(p, 0) + log(1 + exp(-|p|)) for log(1 + exp p)."""
    return ctx.exp(softplus_inverse_log_scale_folded(ctx, p))


@also(softplus_inverse_scale_folded)
def softplus_inverse_scale(ctx: NumberSystem, p: Number) -> Number:
    """exp(-softplus p) (pixelcnn-post)."""
    return ctx.exp(softplus_inverse_log_scale(ctx, p))


def softplus_inverse_log_scale_folded(ctx: NumberSystem, p: Number) -> Number:
    """The next one with max(p, 0) + log(1 + exp(-|p|)) for log(1 + exp p)."""
    return -ctx.log1p(ctx.exp(p)) if p <= 0 else -p - ctx.log1p(ctx.exp(-p))


@also(softplus_inverse_log_scale_folded)
def softplus_inverse_log_scale(ctx: NumberSystem, p: Number) -> Number:
    """-softplus p = -log(1 + exp p) (pixelcnn-post)."""
    return -ctx.log(1 + ctx.exp(p))


def _sigmoid(ctx: NumberSystem, p: Number) -> Number:
    return 1 / (1 + ctx.exp(-p))


def _folded_sigmoid(ctx: NumberSystem, p: Number) -> Number:
    """The same without an exponential that overflows."""
    return ctx.exp(p) / (1 + ctx.exp(p)) if p <= 0 else _sigmoid(ctx, p)
