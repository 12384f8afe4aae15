"""More known-bad forms, so that three break every claim, each beside a stable twin that must pass."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from planting import Planted
from torch import Tensor

from stabkit.arithmetic import Number, NumberSystem


def absolute(ctx: NumberSystem, x: Number) -> Number:
    """|x|."""
    return ctx.absolute(x)


def right_absolute(x: Tensor) -> Tensor:
    return x.abs()


def itself(x: Tensor) -> Tensor:
    return x * 1


def draws_from_the_generator_in_use(x: Tensor) -> Tensor:
    """Random, but from the generator that the call is seeded with."""
    return x + torch.rand(())


def right_logarithm(p: Tensor) -> Tensor:
    return torch.log(p)


def log_sigmoid(ctx: NumberSystem, x: Number) -> Number:
    """-log(1 + exp(-x))."""
    return -ctx.log(1 + ctx.exp(-x))


def log_of_sigmoid(x: Tensor) -> Tensor:
    """The sigmoid underflows first."""
    return torch.log(torch.sigmoid(x))


def log_of_sum(ctx: NumberSystem, a: Number, b: Number) -> Number:
    """log(exp a + exp b)."""
    return ctx.log(ctx.exp(a) + ctx.exp(b))


def plain_log_of_sum(a: Tensor, b: Tensor) -> Tensor:
    """The exponentials overflow first."""
    return torch.log(torch.exp(a) + torch.exp(b))


def stable_log_of_sum(a: Tensor, b: Tensor) -> Tensor:
    return torch.logaddexp(a, b)


def root_of_square(x: Tensor) -> Tensor:
    """|x| with a slope of 0/0 at 0."""
    return torch.sqrt(x * x)


def log_complement(ctx: NumberSystem, x: Number) -> Number:
    """log(1 - exp x)."""
    return ctx.log(1 - ctx.exp(x))


def leaking_log_complement(x: Tensor) -> Tensor:
    """Next to 0 the branch that is not taken has an infinite slope."""
    return torch.where(x > -0.7, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))


def tight_log_complement(x: Tensor) -> Tensor:
    far, near = (torch.where((x > -0.7) == inside, x, torch.full_like(x, -1.0)) for inside in (False, True))
    return torch.where(x > -0.7, torch.log(-torch.expm1(near)), torch.log1p(-torch.exp(far)))


def one_minus_exponential(ctx: NumberSystem, x: Number) -> Number:
    """1 - exp(-x)."""
    return 1 - ctx.exp(-x)


def cancelling_exponential(x: Tensor) -> Tensor:
    """1 - 1 for small x."""
    return 1 - torch.exp(-x)


def stable_exponential(x: Tensor) -> Tensor:
    return -torch.expm1(-x)


def enlarged_square(ctx: NumberSystem, x: Number) -> Number:
    """1e30 x**2."""
    return ctx.number(1e30) * x * x


def square_then_enlarge(x: Tensor) -> Tensor:
    """The square of a small number underflows."""
    return x * x * 1e30


def enlarge_then_square(x: Tensor) -> Tensor:
    return (x * 1e15) * (x * 1e15)


def product(ctx: NumberSystem, a: Number, b: Number, c: Number) -> Number:
    """a b c."""
    return a * b * c


def small_ones_first(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """a b underflows before c makes up for it."""
    return a * b * c


def large_one_in_between(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return a * c * b


def times_a_wide_constant(x: Tensor) -> Tensor:
    return x.unsqueeze(-1).mul(torch.tensor([2.0], dtype=torch.float64)).squeeze(-1)


def times_its_own_constant(x: Tensor) -> Tensor:
    return x.unsqueeze(-1).mul(torch.tensor([2.0], dtype=x.dtype)).squeeze(-1)


def summed_in_float64(x: Tensor) -> Tensor:
    return x.sum(-1, dtype=torch.float64)


def summed_in_its_dtype(x: Tensor) -> Tensor:
    return x.sum(-1)


def draws_from_nowhere(x: Tensor) -> Tensor:
    """Random, from a generator that the caller cannot seed."""
    generator = torch.Generator()
    generator.seed()
    return x + torch.rand(x.shape, generator=generator).to(x.dtype)


def variance(ctx: NumberSystem, x: Sequence[Number]) -> Number:
    """mean((x - mean)**2)."""
    return sum((v - sum(x) / len(x)) ** 2 for v in x) / len(x)


def unbiased_variance(x: Tensor) -> Tensor:
    """Divides by one less than there are."""
    return x.var(-1)


def population_variance(x: Tensor) -> Tensor:
    return x.var(-1, correction=0)


def surprise(ctx: NumberSystem, p: Number) -> Number:
    """-p log p, in nats."""
    return -p * ctx.log(p)


def surprise_in_bits(p: Tensor) -> Tensor:
    return -p * torch.log2(p)


def surprise_in_nats(p: Tensor) -> Tensor:
    return -p * torch.log(p)


def share_with_the_eps_of_the_dtype(x: Tensor) -> Tensor:
    return x / (x + torch.finfo(x.dtype).eps)


def capped_by_the_dtype(x: Tensor) -> Tensor:
    """So that a fourth power stays finite."""
    return x.clamp(max=torch.finfo(x.dtype).max ** 0.25)


def share_with_a_guard(x: Tensor) -> Tensor:
    return x / (x + 1e-8)


def share(x: Tensor) -> Tensor:
    return x / (x + 1)


def clamped_logarithm(p: Tensor) -> Tensor:
    """Everything below 1e-6 counts as that."""
    return torch.log(p.clamp(min=1e-6))


FORMS = (
    Planted("value_is_finite", log_of_sigmoid, F.logsigmoid, ("x=[-200,20]",), log_sigmoid),
    Planted("value_is_finite", plain_log_of_sum, stable_log_of_sum, ("a=[50,120]", "b=[50,120]"), log_of_sum),
    Planted("gradient_is_finite", root_of_square, right_absolute, ("x=[-2,2]",), absolute),
    Planted("gradient_is_finite", leaking_log_complement, tight_log_complement, ("x=[-20,-1e-9]",), log_complement),
    Planted("value_is_accurate", cancelling_exponential, stable_exponential, ("x=[1e-6,1]",), one_minus_exponential),
    Planted("range_is_not_cut_short", square_then_enlarge, enlarge_then_square, ("x=[1e-30,1e-5]",), enlarged_square),
    Planted(
        "range_is_not_cut_short", small_ones_first, large_one_in_between,
        ("a=[1e-30,1e-10]", "b=[1e-30,1e-10]", "c=[1e25,1e30]"), product,
    ),
    Planted("dtype_is_kept", times_a_wide_constant, times_its_own_constant, ("x=[-1,1]",)),
    Planted("dtype_is_kept", summed_in_float64, summed_in_its_dtype, ("x=[1,2]@[*,3]",)),
    Planted("is_deterministic", draws_from_nowhere, draws_from_the_generator_in_use, ("x=[-1,1]",)),
    Planted("matches_reference", unbiased_variance, population_variance, ("x=[-9,9]@[*,4]",), variance),
    Planted("matches_reference", surprise_in_bits, surprise_in_nats, ("p=[0.01,0.9]",), surprise),
    Planted("properties_hold", share_with_the_eps_of_the_dtype, share, ("x=[1e-6,1]",)),
    Planted("properties_hold", capped_by_the_dtype, itself, ("x=[1,1e20]",)),
    Planted("guards_do_not_bind", share_with_a_guard, share, ("x=[1e-12,1]",)),
    Planted("guards_do_not_bind", clamped_logarithm, right_logarithm, ("p=[1e-30,1]",)),
)  # fmt: skip
