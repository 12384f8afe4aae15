"""Known-bad losses, one or more for each claim, each beside a stable twin that must pass.

`PLANTED` lists them as (claim, faulty, stable, arguments, reference). The faults are the ones that real code has.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from planted_facts import SLOPES_AND_FACTS, remembers_the_half, squared_error
from planted_forms import FORMS
from planted_jumps import JUMPS, softplus, stable_softplus
from planting import Planted
from torch import Tensor

from stabkit.arithmetic import Number, NumberSystem


def naive_softplus(x: Tensor) -> Tensor:
    """Overflows beyond x = log(max)."""
    return torch.log(1 + torch.exp(x))


def wide_softplus(x: Tensor) -> Tensor:
    """-log sigmoid(-x)."""
    return -F.logsigmoid(-x)


def log_of_one_plus(ctx: NumberSystem, x: Number) -> Number:
    """log(1 + x)."""
    return ctx.log(1 + x)


def naive_log_of_one_plus(x: Tensor) -> Tensor:
    """1 + x absorbs a small x."""
    return torch.log(1 + x)


def stable_log_of_one_plus(x: Tensor) -> Tensor:
    return torch.log1p(x)


def square_root_of_square(ctx: NumberSystem, x: Number) -> Number:
    """x for x > 0."""
    return x


def naive_square_root_of_square(x: Tensor) -> Tensor:
    """The square leaves the range at half the exponent: zero or infinite early."""
    return torch.sqrt(x * x)


def stable_square_root_of_square(x: Tensor) -> Tensor:
    return x * 1


def leaking_where(x: Tensor) -> Tensor:
    """Right in value; the branch not taken puts 0 * inf into the gradient."""
    return torch.where(x > 0, torch.exp(-1 / x), torch.zeros_like(x)) + torch.where(x > 1, x, torch.exp(x * x * x * x))


def one_minus_cosine(ctx: NumberSystem, x: Number) -> Number:
    """1 - cos x."""
    return 1 - ctx.cos(x)


def naive_one_minus_cosine(x: Tensor) -> Tensor:
    """Cancels for small x."""
    return 1 - torch.cos(x)


def stable_one_minus_cosine(x: Tensor) -> Tensor:
    return 2 * torch.sin(x / 2) ** 2


class _WrongSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.expm1(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * torch.expm1(x)  # forgets the + 1


def wrong_slope(x: Tensor) -> Tensor:
    """expm1 with a backward that is off by one."""
    return _WrongSlope.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def right_slope(x: Tensor) -> Tensor:
    return torch.expm1(x)


def exp_minus_one(ctx: NumberSystem, x: Number) -> Number:
    """exp(x) - 1."""
    return ctx.expm1(x)


def rectified_twice(x: Tensor) -> Tensor:
    """x as a difference of two rectifiers: both slopes are 0 at x = 0, the true one is 1."""
    return torch.relu(x) - torch.relu(-x)


class _LoudKink(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.abs()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * torch.where(x == 0, 20.0, x.sign())


def loud_at_the_kink(x: Tensor) -> Tensor:
    """|x| with a slope of 20 at 0, far outside [-1, 1]."""
    return _LoudKink.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def right_absolute(x: Tensor) -> Tensor:
    return x.abs()


def absolute(ctx: NumberSystem, x: Number) -> Number:
    """|x|."""
    return ctx.absolute(x)


def forgets_the_half(x: Tensor, y: Tensor) -> Tensor:
    return (x - y) ** 2


def returns_float64(x: Tensor) -> Tensor:
    return x.double() * 1


def returns_its_dtype(x: Tensor) -> Tensor:
    return x * 1


def writes_into_its_argument(x: Tensor) -> Tensor:
    y = x * 2
    with torch.no_grad():
        x.mul_(2)
    return y


def writes_nan_into_its_argument(x: Tensor) -> Tensor:
    y = x * 2
    with torch.no_grad():
        x.fill_(float("nan"))
    return y


def centres_in_place(x: Tensor) -> Tensor:
    x -= 0.5
    return x * 2


def writes_into_a_copy(x: Tensor) -> Tensor:
    return x.clone().mul_(2)


_calls = 0


def counts_its_calls(x: Tensor) -> Tensor:
    """Hidden state."""
    global _calls  # noqa: PLW0603
    _calls += 1
    return x + (_calls % 7)


def alternates(x: Tensor) -> Tensor:
    """NaN every third call."""
    global _calls  # noqa: PLW0603
    _calls += 1
    return x * float("nan") if _calls % 3 == 0 else x * 1


def draws_from_the_generator(x: Tensor) -> Tensor:
    """Random, but from the generator that the call is seeded with."""
    return x + torch.rand(())


def clamped_by_the_dtype(p: Tensor) -> Tensor:
    """What is cut off depends on the dtype."""
    eps = torch.finfo(p.dtype).eps
    return torch.log(p.clamp(eps, 1 - eps))


def guarded_logarithm(p: Tensor) -> Tensor:
    """The guard binds for every p below it."""
    return torch.log(p + 1e-8)


def right_logarithm(p: Tensor) -> Tensor:
    return torch.log(p)


PLANTED = (
    Planted("value_is_finite", naive_softplus, stable_softplus, ("x=[-80,1e30]",), softplus),
    Planted("value_is_finite", naive_softplus, wide_softplus, ("x=[-60,1e4]",), softplus),
    Planted("gradient_is_finite", leaking_where, stable_log_of_one_plus, ("x=[0,100]",)),
    Planted("value_is_accurate", naive_log_of_one_plus, stable_log_of_one_plus, ("x=[1e-6,10]",), log_of_one_plus),
    Planted("value_is_accurate", naive_one_minus_cosine, stable_one_minus_cosine, ("x=[-3,3]",), one_minus_cosine),
    Planted("gradient_is_accurate", wrong_slope, right_slope, ("x=[-5,5]",), exp_minus_one),
    Planted(
        "range_is_not_cut_short", naive_square_root_of_square, stable_square_root_of_square, ("x=positive",),
        square_root_of_square,
    ),
    Planted("matches_reference", forgets_the_half, remembers_the_half, ("x=[-9,9]", "y=data:[-9,9]"), squared_error),
    Planted("gradient_is_accurate", rectified_twice, returns_its_dtype, ("x=[-2,2]",), square_root_of_square),
    Planted("gradient_is_accurate", loud_at_the_kink, right_absolute, ("x=[-2,2]",), absolute),
    Planted("properties_hold", clamped_by_the_dtype, right_logarithm, ("p=[1e-30,1]",)),
    Planted("guards_do_not_bind", guarded_logarithm, right_logarithm, ("p=[1e-30,1]",)),
    Planted("dtype_is_kept", returns_float64, returns_its_dtype, ("x=[-1,1]",)),
    Planted("inputs_are_untouched", writes_into_its_argument, writes_into_a_copy, ("x=[-1,1]",)),
    Planted("inputs_are_untouched", writes_nan_into_its_argument, writes_into_a_copy, ("x=[-1,1]",)),
    Planted("inputs_are_untouched", centres_in_place, writes_into_a_copy, ("x=[-1,1]",)),
    Planted("is_deterministic", alternates, draws_from_the_generator, ("x=[-1,1]",)),
    Planted("is_deterministic", counts_its_calls, draws_from_the_generator, ("x=[-1,1]",)),
    *FORMS,
    *JUMPS,
    *SLOPES_AND_FACTS,
)  # fmt: skip
