"""Slopes that die, and losses that break what is declared of them, each beside a stable twin."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from planted_jumps import softplus, stable_softplus
from planting import Planted
from torch import Tensor

from stabkit.arithmetic import Number, NumberSystem


def remembers_the_half(x: Tensor, y: Tensor) -> Tensor:
    return (x - y) / 2 * (x - y)


def squared_error(ctx: NumberSystem, x: Number, y: Number) -> Number:
    """(x - y)**2 / 2."""
    return (x - y) ** 2 / 2


def minus_log_sigmoid(ctx: NumberSystem, x: Number) -> Number:
    """log(1 + exp -x)."""
    return ctx.log(1 + ctx.exp(-x))


def cross_entropy_by_hand(x: Tensor) -> Tensor:
    """The clamp keeps the logarithm finite, and the slope at 0 for every x below -16."""
    return -torch.log(torch.sigmoid(x).clamp(min=1e-7))


def cross_entropy_of_a_logit(x: Tensor) -> Tensor:
    return -F.logsigmoid(x)


def softplus_of_a_clamp(x: Tensor) -> Tensor:
    """Finite, and flat above 15."""
    return torch.log1p(torch.exp(x.clamp(max=15)))


def log_slope_of_tanh(ctx: NumberSystem, x: Number) -> Number:
    """log(1 - tanh(x)**2), which is -2 log cosh x."""
    return ctx.log(4 / (ctx.exp(x) + ctx.exp(-x)) ** 2)


def saturated_correction(x: Tensor) -> Tensor:
    """The correction of a squashed Gaussian with its usual eps: no slope is left where tanh is 1."""
    return torch.log(1 - torch.tanh(x) ** 2 + 1e-6)


def saturated_and_clamped(x: Tensor) -> Tensor:
    """The clamp does not bind in real arithmetic; where tanh rounds to 1 it does."""
    return torch.log((1 - torch.tanh(x) ** 2).clamp(min=1e-37))


def right_correction(x: Tensor) -> Tensor:
    return 2 * (math.log(2) - x - torch.log1p(torch.exp(-2 * x)))


def detached_target(x: Tensor, y: Tensor) -> Tensor:
    """No slope by y."""
    return (x - y.detach()) ** 2 / 2


def log_cosh(ctx: NumberSystem, x: Number) -> Number:
    """log cosh x."""
    return ctx.log((ctx.exp(x) + ctx.exp(-x)) / 2)


def log_cosh_by_softplus(x: Tensor) -> Tensor:
    """Cancels around 0, on one side more than on the other."""
    return x + torch.log1p(torch.exp(-2 * x)) - math.log(2)


def right_log_cosh(x: Tensor) -> Tensor:
    return torch.log1p(2 * torch.sinh(x / 2) ** 2)


def difference_of_means(x: Tensor) -> Tensor:
    """A variance that cancels, and comes out negative."""
    return (x * x).mean(-1) - x.mean(-1) ** 2


def mean_of_squares(x: Tensor) -> Tensor:
    return ((x - x.mean(-1, keepdim=True)) ** 2).mean(-1)


def guarded_softmax(logits: Tensor) -> Tensor:
    """The one in the denominator is felt when all logits are small."""
    powers = torch.exp(logits)
    return -torch.log(powers[..., 0] / (powers.sum(-1) + 1))


def right_softmax(logits: Tensor) -> Tensor:
    return -F.log_softmax(logits, -1)[..., 0]


def steps_back(x: Tensor) -> Tensor:
    """Falls by a half where its parts meet."""
    return torch.where(x < 1, x, 0.5 + torch.log(x))


def steps_on(x: Tensor) -> Tensor:
    return torch.where(x < 1, x, 1 + torch.log(x))


def guarded_ratio(p: Tensor, q: Tensor) -> Tensor:
    """Not 0 where p = q, for the eps stands on one side alone."""
    return torch.log((p + 1e-2) / q) ** 2


def right_ratio(p: Tensor, q: Tensor) -> Tensor:
    return torch.log(p / q) ** 2


SLOPES_AND_FACTS = (
    Planted("gradient_is_alive", cross_entropy_by_hand, cross_entropy_of_a_logit, ("x=[-60,10]",), minus_log_sigmoid),
    Planted("gradient_is_alive", softplus_of_a_clamp, stable_softplus, ("x=[-60,1e4]",), softplus),
    Planted("gradient_is_alive", saturated_correction, right_correction, ("x=[2,30]",), log_slope_of_tanh),
    Planted("gradient_is_alive", saturated_and_clamped, right_correction, ("x=[2,30]",)),
    Planted("gradient_is_alive", detached_target, remembers_the_half, ("x=[-9,9]", "y=[-9,9]"), squared_error),
    Planted("properties_hold", difference_of_means, mean_of_squares, ("x=[10,11]@[*,3]",), None, ("value >= 0",)),
    Planted("properties_hold", log_cosh_by_softplus, right_log_cosh, ("x=[-5,5]",), log_cosh, ("even(x)",)),
    Planted(
        "properties_hold", guarded_softmax, right_softmax, ("logits=[-1,1]@[*,3]",), None,
        ("shift_invariant(logits)",),
    ),
    Planted("properties_hold", steps_back, steps_on, ("x=[0.1,9]",), None, ("increasing(x)",)),
    Planted("properties_hold", guarded_ratio, right_ratio, ("p=[0.01,1]", "q=[0.01,1]"), None, ("zero_when(p=q)",)),
)  # fmt: skip
