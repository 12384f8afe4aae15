"""Activations and special functions that torch computes in one operation, and their backward operations, on balls."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb
from torch import Tensor

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact.elementwise import each
from stabkit.exact.operations import clamp, operation, result_dtype
from stabkit.exact.random_draws import leaky_under_noise
from stabkit.exact.special_functions import ndtr, normal_pdf, polygamma, sigmoid, softplus
from stabkit.exact.states import ZERO
from stabkit.exact.tensor import balls_of, exact, overwrite

B = BallSystem


@operation("softplus")
def _softplus(x: Any, beta: float = 1, threshold: float = 20) -> Tensor:
    return exact(each(lambda v: softplus(v * beta) / beta, balls_of(x)), result_dtype(x))


@operation("softplus_backward")
def _softplus_backward(g: Any, x: Any, beta: float, threshold: float) -> Tensor:
    return exact(each(lambda a, v: a * sigmoid(v * beta), balls_of(g), balls_of(x)), result_dtype(g))


@operation("sigmoid_backward")
def _sigmoid_backward(g: Any, y: Any) -> Tensor:
    return exact(each(lambda a, v: a * v * (1 - v), balls_of(g), balls_of(y)), result_dtype(g))


@operation("tanh_backward")
def _tanh_backward(g: Any, y: Any) -> Tensor:
    return exact(each(lambda a, v: a * (1 - v * v), balls_of(g), balls_of(y)), result_dtype(g))


@operation("log_sigmoid_forward")
def _log_sigmoid(x: Any) -> tuple[Tensor, Tensor]:
    return exact(each(lambda v: -softplus(-v), balls_of(x)), result_dtype(x)), exact(
        np.empty(0, dtype=object), result_dtype(x)
    )


@operation("log_sigmoid_backward")
def _log_sigmoid_backward(g: Any, x: Any, buffer: Any) -> Tensor:
    return exact(each(lambda a, v: a * sigmoid(-v), balls_of(g), balls_of(x)), result_dtype(g))


@operation("silu_backward")
def _silu_backward(g: Any, x: Any) -> Tensor:
    def slope(a: Ball, v: Ball) -> Ball:
        s = sigmoid(v)
        return a * s * (1 + v * (1 - s))

    return exact(each(slope, balls_of(g), balls_of(x)), result_dtype(g))


def _tanh_gelu(x: Ball) -> Ball:
    return B.sqrt(2 / Ball(arb.pi())) * (x + x**3 * Ball(arb(0.044715)))


@operation("gelu")
def _gelu(x: Any, approximate: str = "none") -> Tensor:
    exactly = approximate == "none"
    return exact(
        each(lambda v: v * ndtr(v) if exactly else v / 2 * (1 + B.tanh(_tanh_gelu(v))), balls_of(x)), result_dtype(x)
    )


@operation("gelu_backward")
def _gelu_backward(g: Any, x: Any, approximate: str = "none") -> Tensor:
    def slope(a: Ball, v: Ball) -> Ball:
        if approximate == "none":
            return a * (ndtr(v) + v * normal_pdf(v))
        t = B.tanh(_tanh_gelu(v))
        inner = B.sqrt(2 / Ball(arb.pi())) * (1 + 3 * v * v * Ball(arb(0.044715)))
        return a * ((1 + t) / 2 + v / 2 * (1 - t * t) * inner)

    return exact(each(slope, balls_of(g), balls_of(x)), result_dtype(g))


@operation("logit")
def _logit(x: Any, eps: float | None = None) -> Tensor:
    values = balls_of(x if eps is None else clamp(x, eps, 1 - eps))
    return exact(each(lambda v: B.log(v) - B.log1p(-v), values), result_dtype(x))


@operation("logit_backward")
def _logit_backward(g: Any, x: Any, eps: float | None = None) -> Tensor:
    def slope(a: Ball, v: Ball) -> Ball:
        inside = eps is None or (v >= eps and v <= 1 - eps)
        return a / (v * (1 - v)) if inside else ZERO

    return exact(each(slope, balls_of(g), balls_of(x)), result_dtype(g))


@operation("polygamma")
def _polygamma(order: int, x: Any) -> Tensor:
    return exact(each(lambda v: polygamma(order, v), balls_of(x)), result_dtype(x))


@operation("threshold_backward")
def _threshold_backward(g: Any, x: Any, threshold: float) -> Tensor:
    return exact(each(lambda a, v: a if v > threshold else ZERO, balls_of(g), balls_of(x)), result_dtype(g))


@operation("softshrink_backward", "hardshrink_backward")
def _shrink_backward(g: Any, x: Any, lambd: float) -> Tensor:
    return exact(each(lambda a, v: ZERO if abs(v) <= lambd else a, balls_of(g), balls_of(x)), result_dtype(g))


@operation("rrelu_with_noise")
def _rrelu(
    x: Any, noise: Any, lower: float = 0.125, upper: float = 1 / 3, training: bool = False, generator: Any = None
) -> Tensor:
    if training:
        overwrite(noise, leaky_under_noise(x, lower, upper, generator))
        return exact(each(Ball.__mul__, balls_of(x), balls_of(noise)), result_dtype(x))
    slope = (Ball(arb(lower)) + upper) / 2
    return exact(each(lambda v: v * slope if v <= 0 else v, balls_of(x)), result_dtype(x))
