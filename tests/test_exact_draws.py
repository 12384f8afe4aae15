"""Random draws of an exact run are those of the native run under the same seed, bit for bit, in each dtype."""

from collections.abc import Callable
from typing import Any

import flint
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from agreement import agrees, numbers, tensors_in
from torch import Tensor
from torch import distributions as D  # noqa: N812

from stabkit.exact import playback  # noqa: F401  # it fills the operation table
from stabkit.exact.single import single
from stabkit.exact.tensor import ExactTensor, exact_world, lifted

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
X = torch.linspace(0.125, 0.875, 24, dtype=torch.float64).view(4, 6)
Y = torch.linspace(0.75, 0.25, 24, dtype=torch.float64).view(4, 6)


def turned(x: Tensor) -> Tensor:
    """Fresh elements that lie in memory column by column."""
    return x.T.neg()


DRAWN: dict[str, Callable[[Tensor], Any]] = {
    "randn": lambda x: torch.randn(20, dtype=x.dtype),
    "rand": lambda x: torch.rand(3, 5, dtype=x.dtype),
    "randn_like": torch.randn_like,
    "rand_like of a transpose": lambda x: torch.rand_like(turned(x)),
    "randint_like": lambda x: torch.randint_like(x, 9),
    "normal": lambda x: torch.normal(torch.zeros_like(x), torch.ones_like(x)),
    "bernoulli": torch.bernoulli,
    "bernoulli of a transpose": lambda x: torch.bernoulli(turned(x).neg()),
    "bernoulli_": lambda x: torch.empty_like(x.T).bernoulli_(0.3),
    "normal_": lambda x: torch.empty(20, dtype=x.dtype).normal_(1, 2),
    "uniform_ in a view": lambda x: x.clone()[:, 1:3].uniform_(-1, 1),
    "exponential_": lambda x: x.new_empty(5).exponential_(),
    "cauchy_, log_normal_, geometric_": lambda x: (
        x.new_empty(5).cauchy_(), x.new_empty(5).log_normal_(), x.new_empty(5).geometric_(0.4),
    ),
    "multinomial": lambda x: torch.multinomial(x, 2),
    "sample of a categorical": lambda x: D.Categorical(logits=x).sample((3,)),
}  # fmt: skip
KEPT: dict[str, Callable[[Tensor], Any]] = {
    "dropout": lambda x: F.dropout(torch.ones_like(x), 0.3),
    "dropout of a transpose": lambda x: F.dropout(torch.ones_like(x).T, 0.5),
    "dropout1d": lambda x: F.dropout1d(torch.ones_like(x)[:, :, None], 0.5),
    "alpha_dropout": lambda x: F.alpha_dropout(torch.ones_like(x), 0.5, training=True) > 0,
}
OF_FLOAT32 = {
    "poisson": lambda x: torch.poisson(x * 8),
    "gamma": torch._standard_gamma,
    "dirichlet": torch._sample_dirichlet,
    "binomial": lambda x: torch.binomial(torch.full_like(x, 9), x),
}
TRANSFORMED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    **{
        name: lambda x, y, family=family: family(x, y).rsample((2,))
        for name, family in (
            *(("Normal", D.Normal), ("Laplace", D.Laplace), ("Gumbel", D.Gumbel), ("Cauchy", D.Cauchy)),
            *(("LogNormal", D.LogNormal), ("Weibull", D.Weibull), ("Pareto", D.Pareto)),
            *(("Kumaraswamy", D.Kumaraswamy), ("LogisticNormal", D.LogisticNormal)),
        )
    },
    "Uniform": lambda x, y: D.Uniform(x, x + y).rsample(),
    "Exponential": lambda x, y: D.Exponential(x).rsample(),
    "HalfNormal": lambda x, y: D.HalfNormal(x).rsample((2,)),
    "HalfCauchy": lambda x, y: D.HalfCauchy(x).rsample((2,)),
    "RelaxedBernoulli": lambda x, y: D.RelaxedBernoulli(torch.tensor(0.5, dtype=x.dtype), x).rsample(),
    "RelaxedOneHotCategorical": lambda x, y: D.RelaxedOneHotCategorical(
        torch.tensor(0.5, dtype=x.dtype), x / x.sum(-1, keepdim=True)
    ).rsample(),
    "MultivariateNormal": lambda x, y: D.MultivariateNormal(x[0], scale_tril=torch.diag(y[0])).rsample((2,)),
    "LowRank": lambda x, y: D.LowRankMultivariateNormal(x[0], x.T, y[0]).rsample(),
    "gumbel_softmax": lambda x, y: F.gumbel_softmax(x, tau=0.5, hard=True),
    "rrelu": lambda x, y: F.rrelu(x - y, training=True),
    "dropout": lambda x, y: F.dropout(x * y, 0.3),
    "written into a draw": lambda x, y: torch.randn(4, 6, dtype=x.dtype).index_copy(0, torch.tensor([1]), x[:1]),
}


def drawn_exactly(function: Callable[[Tensor], Any], x: Tensor) -> list[Tensor]:
    torch.manual_seed(3)
    with flint.ctx.workprec(200), exact_world():
        return tensors_in(function(lifted(x)))


def drawn_natively(function: Callable[[Tensor], Any], x: Tensor) -> list[Tensor]:
    torch.manual_seed(3)
    return tensors_in(function(x))


def assert_equal_draws(function: Callable[[Tensor], Any], x: Tensor) -> None:
    for a, b in zip(drawn_exactly(function, x), drawn_natively(function, x), strict=True):
        assert (a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype)
        assert isinstance(a, ExactTensor) == b.is_floating_point()
        assert numbers(a) == b.double().flatten().tolist()


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("dtype", DTYPES)
def test_draws_are_those_of_the_native_run(name: str, dtype: torch.dtype) -> None:
    assert_equal_draws(DRAWN[name], X.to(dtype))


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_elements_are_dropped(name: str, dtype: torch.dtype) -> None:
    (a,), (b,) = drawn_exactly(KEPT[name], X.to(dtype)), drawn_natively(KEPT[name], X.to(dtype))
    assert [v != 0 for v in numbers(a)] == (b != 0).flatten().tolist()
    assert 0 < int((b != 0).sum()) < b.numel()


@pytest.mark.parametrize("name", OF_FLOAT32)
def test_draws_of_counts_and_shares_are_those_of_the_native_run(name: str) -> None:
    assert_equal_draws(OF_FLOAT32[name], X.float())


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformed_draws_agree_with_float64(name: str) -> None:
    agrees(TRANSFORMED[name], X, Y)


def test_running_an_operation_by_itself_draws_nothing() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    assert single(torch.ops.aten.rand_like.default, (torch.ones(3),), {}) is None
    assert torch.equal(torch.get_rng_state(), before)
