"""Scale parameterizations: from a raw network output p to a scale sigma(p) and its logarithm, as defined.

Source: dehaene2021, Dehaene & Brossard, "Re-parameterizing VAEs for stability"; equations as numbered there.
"""

from stabkit.arithmetic import Number, NumberSystem


def exp_scale(ctx: NumberSystem, p: Number) -> Number:
    """exp p (eq. 7 and 9)."""
    return ctx.exp(p)


def exp_log_scale(ctx: NumberSystem, p: Number) -> Number:
    """log exp p, which is p (eq. 9); eq. 7 means the same and computes it in two steps."""
    return p


def exp_lin_scale(ctx: NumberSystem, p: Number) -> Number:
    """exp p for p <= 0, else p + 1 (eq. 11)."""
    return ctx.exp(p) if p <= 0 else p + 1


def exp_lin_log_scale(ctx: NumberSystem, p: Number) -> Number:
    """The logarithm of `exp_lin_scale` (eq. 11)."""
    return p if p <= 0 else ctx.log(p + 1)


def up_bounded_scale(ctx: NumberSystem, p: Number, omega: float) -> Number:
    """(omega/2) exp p for p <= 0, else (omega/2) (2 - exp(-p)) (eq. 12)."""
    half = ctx.number(omega) / 2
    return half * ctx.exp(p) if p <= 0 else half * (2 - ctx.exp(-p))


def up_bounded_log_scale(ctx: NumberSystem, p: Number, omega: float) -> Number:
    """The logarithm of `up_bounded_scale` (eq. 12)."""
    half = ctx.log(ctx.number(omega) / 2)
    return p + half if p <= 0 else ctx.log(2 - ctx.exp(-p)) + half
