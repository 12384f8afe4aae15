"""Planted faults that belong to a regime: overflow, cancellation, absorption, saturation, ties, equal elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from stabkit.suites.search_faults.fault import Fault, in_float64
from torch import Tensor

from stabkit.arithmetic import Number, NumberSystem

WRONG_VALUE = ("value_is_accurate", "matches_reference")


def itakura_saito(ctx: NumberSystem, a: Number, b: Number) -> Number:
    """a/b - log(a/b) - 1."""
    return a / b - ctx.log(a / b) - 1


def naive_itakura_saito(a: Tensor, b: Tensor) -> Tensor:
    """Cancels where the arguments are nearly equal."""
    r = a / b
    return r - torch.log(r) - 1


def stable_itakura_saito(a: Tensor, b: Tensor) -> Tensor:
    """From the relative difference."""
    d = (a - b) / b
    return d - torch.log1p(d)


def distance_beyond(ctx: NumberSystem, a: Number, b: Number) -> Number:
    """sqrt(a**2 + b) - a."""
    return ctx.sqrt(a * a + b) - a


def naive_distance_beyond(a: Tensor, b: Tensor) -> Tensor:
    """Cancels where a**2 is much larger than b."""
    return torch.sqrt(a * a + b) - a


def stable_distance_beyond(a: Tensor, b: Tensor) -> Tensor:
    """With the conjugate."""
    return b / (torch.sqrt(a * a + b) + a)


def softplus(ctx: NumberSystem, x: Number) -> Number:
    """log(1 + exp x)."""
    return ctx.log(1 + ctx.exp(x))


class _SoftplusByExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.logaddexp(x, torch.zeros_like(x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        grown = torch.exp(ctx.saved_tensors[0])
        return grads[0] * (grown / (1 + grown))


def softplus_with_a_loud_backward(x: Tensor) -> Tensor:
    """Right in value; backward is inf/inf where exp x overflows."""
    return _SoftplusByExp.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def softplus_with_a_quiet_backward(x: Tensor) -> Tensor:
    """log(1 + exp x), forward and backward from torch."""
    return torch.logaddexp(x, torch.zeros_like(x))


def guarded_complement(ctx: NumberSystem, p: Number) -> Number:
    """log(1 + 1e-12 - p)."""
    return ctx.log(ctx.number(1 + 1e-12) - p)


def absorbed_guard(p: Tensor) -> Tensor:
    """1 + 1e-12 is 1 in float32, so that nothing guards p = 1."""
    return torch.log(1 + 1e-12 - p)


def working_guard(p: Tensor) -> Tensor:
    """The guard is added to what is small."""
    return torch.log((1 - p) + 1e-12)


def log_share(ctx: NumberSystem, x: Sequence[Number]) -> Number:
    """log(exp x0 / sum exp xi)."""
    return x[0] - ctx.log(sum(ctx.exp(v) for v in x))


def log_of_a_softmax(x: Tensor) -> Tensor:
    """The share underflows where another element dominates."""
    return torch.log(torch.softmax(x, -1)[..., 0])


def log_softmax_itself(x: Tensor) -> Tensor:
    """The logarithm is taken before anything underflows."""
    return torch.log_softmax(x, -1)[..., 0]


def two_largest(ctx: NumberSystem, x: Sequence[Number]) -> tuple[Number, Number]:
    """The largest element and the next."""
    high, low = ctx.maximum(x[0], x[1]), ctx.minimum(x[0], x[1])
    for v in x[2:]:
        high, low = ctx.maximum(high, v), ctx.maximum(low, ctx.minimum(high, v))
    return high, low


def margin(ctx: NumberSystem, x: Sequence[Number]) -> Number:
    """The largest element less the next."""
    high, low = two_largest(ctx, x)
    return high - low


def margin_by_root(x: Tensor) -> Tensor:
    """The root of its square, whose slope is 0/0 at a tie."""
    largest = torch.sort(x, -1, descending=True).values
    return ((largest[..., 0] - largest[..., 1]) ** 2).sqrt()


def margin_by_difference(x: Tensor) -> Tensor:
    """As it is."""
    largest = torch.topk(x, 2, -1).values
    return largest[..., 0] - largest[..., 1]


def deviation(ctx: NumberSystem, x: Sequence[Number]) -> Number:
    """sqrt(mean((x - mean)**2)) + mean."""
    mean = sum(x) / len(x)
    return ctx.sqrt(sum((v - mean) ** 2 for v in x) / len(x)) + mean


def deviation_by_root(x: Tensor) -> Tensor:
    """The root of 0 has an infinite slope, times 0, where all elements are equal."""
    mean = x.mean(-1, keepdim=True)
    return ((x - mean) ** 2).mean(-1).sqrt() + mean[..., 0]


def deviation_by_norm(x: Tensor) -> Tensor:
    """The norm has the slope 0 at 0."""
    mean = x.mean(-1, keepdim=True)
    root: Tensor = torch.linalg.vector_norm(x - mean, dim=-1) / x.shape[-1] ** 0.5
    return root + mean[..., 0]


def logarithm(ctx: NumberSystem, x: Number) -> Number:
    """log x."""
    return ctx.log(x)


def logarithm_without_subnormals(x: Tensor) -> Tensor:
    """Flushes subnormals to 0 first, as kernels with fast mathematics do."""
    return torch.log(torch.where(x < torch.finfo(x.dtype).tiny, torch.zeros_like(x), x))


def log_of_one_plus(ctx: NumberSystem, x: Number) -> Number:
    """log(1 + x)."""
    return ctx.log(1 + x)


def careful_with_large_inputs(x: Tensor) -> Tensor:
    """Goes over to float64 for large inputs, and forgets to come back."""
    return torch.log1p(x.double()) if bool((x > 1e10).any()) else torch.log1p(x)


def variance(ctx: NumberSystem, x: Sequence[Number]) -> Number:
    """mean((x - mean)**2)."""
    mean = sum(x) / len(x)
    return sum((v - mean) ** 2 for v in x) / len(x)


def variance_of_moments(x: Tensor) -> Tensor:
    """mean(x**2) - mean(x)**2 cancels where all elements are nearly equal."""
    return (x * x).mean(-1) - x.mean(-1) ** 2


REGIMES = (
    Fault(
        "nearly_equal_arguments", naive_itakura_saito, stable_itakura_saito, itakura_saito,
        ("a=[1e-3,1e3]", "b=[1e-3,1e3]"), "float32", WRONG_VALUE, "value", '{"a": 3.0, "b": 3.001}', "cancellation",
        "two arguments that differ by less than a twentieth",
    ),
    Fault(
        "large_ratio", naive_distance_beyond, stable_distance_beyond, distance_beyond, ("a=[1e-3,100]", "b=[1,100]"),
        "bfloat16", WRONG_VALUE, "value", '{"a": 64.0, "b": 2.0}', "cancellation", "ratios beyond 16",
    ),
    Fault(
        "overflow_in_backward", softplus_with_a_loud_backward, softplus_with_a_quiet_backward, softplus,
        ("x=[-60,89]",), "float32", ("gradient_is_finite",), "gradient:x", '{"x": 88.9}', "overflow in backward",
        "one part in 500",
    ),
    Fault(
        "absorbed_guard", absorbed_guard, working_guard, guarded_complement, ("p=[0,1]",), "float32",
        ("value_is_finite",), "value", '{"p": 1.0}', "absorbed eps", "one float", alone=True,
    ),
    Fault(
        "dominating_logit", log_of_a_softmax, log_softmax_itself, log_share, ("x=[-12,12]@[*,5]",), "float16",
        ("value_is_finite",), "value", '{"x": [-8.0, 11.0, 0.0, 1.0, 2.0]}', "underflow before log", "a corner",
    ),
    Fault(
        "ties", margin_by_root, margin_by_difference, margin, ("x=[1,5]@[*,6]",), "float32", ("gradient_is_finite",),
        "gradient:x[1]", '{"x": [1.5, 2.125, 1.0, 2.125, 1.75, 2.0]}', "ties", "the two largest of six equal",
    ),
    Fault(
        "all_elements_equal", deviation_by_root, deviation_by_norm, deviation, ("x=[1,10]@[*,5]",), "float32",
        ("gradient_is_finite",), "gradient:x[1]", '{"x": [1.5, 1.5, 1.5, 1.5, 1.5]}', "root of 0",
        "five elements equal",
    ),
    Fault(
        "subnormals_only", logarithm_without_subnormals, torch.log, logarithm, ("x=(0,1e30]",), "float32",
        ("value_is_finite",), "value", '{"x": 1e-39}', "flushed subnormals", "subnormal numbers",
    ),
    Fault(
        "another_dtype_in_a_branch", careful_with_large_inputs, torch.log1p, log_of_one_plus, ("x=[0,1e30]",),
        "float32", ("dtype_is_kept",), "value", '{"x": 20000000000.0}', "dtype promotion", "half of the floats",
    ),
    Fault(
        "nearly_equal_elements", variance_of_moments, in_float64(variance_of_moments), variance,
        ("x=[-1e3,1e3]@[*,6]",), "float32", WRONG_VALUE, "value", '{"x": [700.0, 700.5, 700.25, 700.0, 699.5, 700.75]}',
        "cancellation", "six elements nearly equal",
    ),
)  # fmt: skip
