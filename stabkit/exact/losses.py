"""Fused losses and their backward operations on exact tensors: the mathematics, without the clamps of the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact import reductions as over
from stabkit.exact.elementwise import each, xlog1py, xlogy
from stabkit.exact.operations import operation
from stabkit.exact.special_functions import sigmoid, softplus
from stabkit.exact.states import ZERO
from stabkit.exact.tensor import balls_of, exact

B = BallSystem
NONE, MEAN, SUM = 0, 1, 2


def reduced(values: Any, reduction: int, dtype: torch.dtype) -> Tensor:
    """The losses, their mean or their sum."""
    if reduction == NONE:
        return exact(values, dtype)
    return exact(over.mean(values) if reduction == MEAN else over.total(values), dtype)


def _spread(g: Any, like: Any, reduction: int) -> Any:
    """The gradient of each element from that of the reduced loss."""
    values = np.broadcast_to(balls_of(g), like.shape)
    return each(lambda v: v / like.size, values) if reduction == MEAN else values


@operation("mse_loss")
def _mse(x: Any, y: Any, reduction: int = MEAN) -> Tensor:
    return reduced(each(lambda a, b: (a - b) ** 2, balls_of(x), balls_of(y)), reduction, x.dtype)


@operation("mse_loss_backward")
def _mse_backward(g: Any, x: Any, y: Any, reduction: int) -> Tensor:
    slopes = each(lambda a, b: 2 * (a - b), balls_of(x), balls_of(y))
    return exact(_spread(g, slopes, reduction) * slopes, x.dtype)


@operation("binary_cross_entropy")
def _bce(p: Any, y: Any, weight: Any = None, reduction: int = MEAN) -> Tensor:
    losses = each(lambda a, t: -(xlogy(t, a) + xlog1py(1 - t, -a)), balls_of(p), balls_of(y))
    return reduced(_weighted(losses, weight), reduction, p.dtype)


def _weighted(values: Any, weight: Any) -> Any:
    return values if weight is None else each(Ball.__mul__, values, balls_of(weight))


@operation("binary_cross_entropy_backward")
def _bce_backward(g: Any, p: Any, y: Any, weight: Any = None, reduction: int = MEAN) -> Tensor:
    slopes = _weighted(each(_bce_slope, balls_of(p), balls_of(y)), weight)
    return exact(_spread(g, slopes, reduction) * slopes, p.dtype)


def _bce_slope(a: Ball, t: Ball) -> Ball:
    """(a - t)/(a (1 - a)), whose pole is removable where t is 0 or 1."""
    if t == 0:
        return 1 / (1 - a)
    return -(1 / a) if t == 1 else (a - t) / (a * (1 - a))


@operation("binary_cross_entropy_with_logits")
def _bce_with_logits(x: Any, y: Any, weight: Any = None, pos_weight: Any = None, reduction: int = MEAN) -> Tensor:
    positive = balls_of(1.0 if pos_weight is None else pos_weight)
    losses = each(lambda a, t, w: t * w * softplus(-a) + (1 - t) * softplus(a), balls_of(x), balls_of(y), positive)
    return reduced(_weighted(losses, weight), reduction, x.dtype)


@operation("nll_loss_forward", "nll_loss2d_forward")
def _nll(x: Any, target: Tensor, weight: Any, reduction: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    losses, weights = _picked(x, target, weight, ignore_index)
    total_weight = over.total(weights)
    if reduction == NONE:
        return exact(losses, x.dtype), exact(ZERO, x.dtype)
    total = over.total(losses)
    loss = each(lambda a, b: a / b, total, total_weight) if reduction == MEAN else total
    return exact(loss, x.dtype), exact(total_weight, x.dtype)


def _picked(x: Any, target: Tensor, weight: Any, ignore_index: int) -> tuple[Any, Any]:
    """-x at the target classes, weighted, and the weights; 0 where the target is ignored."""
    logs, classes = balls_of(x), target.reshape(target.shape)
    of_class = balls_of(torch.ones(x.shape[1 if x.dim() > 1 else 0])) if weight is None else balls_of(weight)
    losses, weights = (np.empty(tuple(classes.shape), dtype=object) for _ in range(2))
    for at in np.ndindex(*classes.shape):
        k = int(classes[at])
        w = ZERO if k == ignore_index else of_class[k]
        place = (at[0], k, *at[1:]) if x.dim() > 1 else (k,)
        losses[at], weights[at] = (ZERO if k == ignore_index else -logs[place] * w), w
    return losses, weights


@operation("nll_loss_backward", "nll_loss2d_backward")
def _nll_backward(
    g: Any, x: Any, target: Tensor, weight: Any, reduction: int, ignore_index: int, total_weight: Any
) -> Tensor:
    _, weights = _picked(x, target, weight, ignore_index)
    slopes = each(Ball.__mul__, np.broadcast_to(balls_of(g), weights.shape), weights)
    if reduction == MEAN:
        slopes = each(lambda a, b: a / b, slopes, over.total(weights))
    result = np.empty(tuple(x.shape), dtype=object)
    result.fill(ZERO)
    for at in np.ndindex(*weights.shape):
        k = int(target[at])
        if k != ignore_index:
            result[(at[0], k, *at[1:]) if x.dim() > 1 else (k,)] = -slopes[at]
    return exact(result, x.dtype)


@operation("elu")
def _elu(x: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    def value(v: Ball) -> Ball:
        return v * scale if v > 0 else B.expm1(v * input_scale) * alpha * scale

    return exact(each(value, balls_of(x)), x.dtype)


@operation("elu_backward")
def _elu_backward(g: Any, alpha: float, scale: float, input_scale: float, is_result: bool, x: Any) -> Tensor:
    def slope(a: Ball, v: Ball) -> Ball:
        if v > 0:
            return a * scale
        return a * input_scale * ((v + alpha * scale) if is_result else B.exp(v * input_scale) * alpha * scale)

    return exact(each(slope, balls_of(g), balls_of(x)), x.dtype)


@operation("smooth_l1_loss")
def _smooth_l1(x: Any, y: Any, reduction: int = MEAN, beta: float = 1.0) -> Tensor:
    def value(a: Ball, b: Ball) -> Ball:
        d = B.absolute(a - b)
        return d * d / 2 / beta if d < beta else d - beta / 2

    return reduced(each(value, balls_of(x), balls_of(y)), reduction, x.dtype)


@operation("smooth_l1_loss_backward")
def _smooth_l1_backward(g: Any, x: Any, y: Any, reduction: int, beta: float) -> Tensor:
    slopes = each(lambda a, b: _clipped((a - b) / beta if beta else (a - b), beta), balls_of(x), balls_of(y))
    return exact(_spread(g, slopes, reduction) * slopes, x.dtype)


def _clipped(v: Ball, beta: float) -> Ball:
    if v >= 1 or (not beta and v > 0):
        return ZERO + 1
    return ZERO - 1 if v <= -1 or (not beta and v < 0) else v


@operation("huber_loss")
def _huber(x: Any, y: Any, reduction: int = MEAN, delta: float = 1.0) -> Tensor:
    def value(a: Ball, b: Ball) -> Ball:
        d = B.absolute(a - b)
        return d * d / 2 if d <= delta else (d - delta / 2) * delta

    return reduced(each(value, balls_of(x), balls_of(y)), reduction, x.dtype)


@operation("huber_loss_backward")
def _huber_backward(g: Any, x: Any, y: Any, reduction: int, delta: float) -> Tensor:
    slopes = each(lambda a, b: _clipped((a - b) / delta, delta) * delta, balls_of(x), balls_of(y))
    return exact(_spread(g, slopes, reduction) * slopes, x.dtype)


@operation("soft_margin_loss")
def _soft_margin(x: Any, y: Any, reduction: int = MEAN) -> Tensor:
    return reduced(each(lambda a, b: softplus(-a * b), balls_of(x), balls_of(y)), reduction, x.dtype)


@operation("soft_margin_loss_backward")
def _soft_margin_backward(g: Any, x: Any, y: Any, reduction: int) -> Tensor:
    slopes = each(lambda a, b: -b * sigmoid(-a * b), balls_of(x), balls_of(y))
    return exact(_spread(g, slopes, reduction) * slopes, x.dtype)
