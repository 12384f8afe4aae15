"""torch.distributions on exact numbers: densities, entropies, moments, cumulative functions, divergences."""

from collections.abc import Callable
from typing import Any

import flint
import mpmath
import pytest
import torch
from agreement import agrees, numbers, returned
from torch import Tensor
from torch import distributions as D  # noqa: N812
from torch.distributions import transforms as T  # noqa: N812
from torch.distributions.kl import _KL_REGISTRY, _kl_expfamily_expfamily

from stabkit.exact import playback  # noqa: F401  # it fills the operation table
from stabkit.exact.tensor import exact_world, lifted


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


A, B, MEAN = column(0.7, 1.3, 2.2), column(1.6, 0.4, 0.9), column(-0.4, 0.3, 1.1)
P, Q = column(0.2, 0.45, 0.35), column(0.4, 0.25, 0.35)
COUNTS, HALF = column(1, 0, 4), column(0.5)[0]
SPREAD = torch.tensor([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.1]], dtype=torch.float64)
OTHER = torch.tensor([[1.0, -0.2, 0.3], [-0.2, 2.5, 0.2], [0.3, 0.2, 1.7]], dtype=torch.float64)
FACTOR = torch.tensor([[0.5, 0.2], [0.1, 0.7], [-0.3, 0.4]], dtype=torch.float64)
CORRELATED = torch.linalg.cholesky(torch.tensor([[1, 0.2, 0.1], [0.2, 1, 0.3], [0.1, 0.3, 1]], dtype=torch.float64))


def symmetric(x: Tensor) -> Tensor:
    return (x + x.mT) / 2


def transformed(*parts: T.Transform) -> Callable[[Tensor, Tensor], D.Distribution]:
    return lambda m, s: D.TransformedDistribution(D.Normal(m, s), list(parts))


# By name: how it is made of parameters, parameters, a value, and other parameters.
FAMILIES: dict[str, tuple[Callable[..., D.Distribution], tuple[Tensor, ...], Tensor, tuple[Tensor, ...]]] = {
    "Normal": (D.Normal, (MEAN, A), B, (B, A)),
    "Laplace": (D.Laplace, (MEAN, A), B, (B, A)),
    "Cauchy": (D.Cauchy, (MEAN, A), B, (B, A)),
    "HalfNormal": (D.HalfNormal, (A,), B, (B,)),
    "HalfCauchy": (D.HalfCauchy, (A,), B, (B,)),
    "Gumbel": (D.Gumbel, (MEAN, A), B, (B, A)),
    "LogNormal": (D.LogNormal, (MEAN, A), B, (B, A)),
    "Exponential": (D.Exponential, (A,), B, (B,)),
    "Gamma": (D.Gamma, (A, B), A, (B, A)),
    "InverseGamma": (D.InverseGamma, (A, B), A, (B, A)),
    "Beta": (D.Beta, (A, B), P, (B, A)),
    "Dirichlet": (D.Dirichlet, (A,), P, (B,)),
    "Chi2": (D.Chi2, (A,), B, (B,)),
    "StudentT": (D.StudentT, (A + 2, MEAN, A), B, (B, MEAN, A)),
    "FisherSnedecor": (D.FisherSnedecor, (A + 2, B + 4), B, (B, A)),
    "Uniform": (lambda low, w: D.Uniform(low, low + w), (A, B), A + B / 3, (A - 1, B + 4)),
    "Pareto": (D.Pareto, (A, B + 2), A + B, (A - 0.5, B)),
    "Weibull": (D.Weibull, (A, B), B, (B, A)),
    "Kumaraswamy": (D.Kumaraswamy, (A, B), P, (B, A)),
    "VonMises": (D.VonMises, (MEAN, A), B, (B, A)),
    "Bernoulli": (D.Bernoulli, (P,), column(1, 0, 1), (Q,)),
    "Bernoulli of logits": (lambda x: D.Bernoulli(logits=x), (MEAN,), column(1, 0, 1), (A,)),
    "ContinuousBernoulli": (D.ContinuousBernoulli, (P,), Q, (Q,)),
    "Binomial": (lambda p: D.Binomial(5, p), (P,), COUNTS, (Q,)),
    "Binomial of logits": (lambda x: D.Binomial(5, logits=x), (MEAN,), COUNTS, (A,)),
    "NegativeBinomial": (D.NegativeBinomial, (A, P), COUNTS, (B, Q)),
    "Poisson": (D.Poisson, (A,), COUNTS, (B,)),
    "Geometric": (D.Geometric, (P,), COUNTS, (Q,)),
    "Categorical": (D.Categorical, (P,), torch.tensor(1), (Q,)),
    "Categorical of logits": (lambda x: D.Categorical(logits=x), (MEAN,), torch.tensor(1), (A,)),
    "OneHotCategorical": (D.OneHotCategorical, (P,), column(0, 1, 0), (Q,)),
    "Multinomial": (lambda p: D.Multinomial(4, p), (P,), column(1, 1, 2), (Q,)),
    "RelaxedBernoulli": (lambda p: D.RelaxedBernoulli(HALF, p), (P,), Q, (Q,)),
    "RelaxedOneHotCategorical": (lambda p: D.RelaxedOneHotCategorical(HALF, p), (P,), Q, (Q,)),
    "LogisticNormal": (D.LogisticNormal, (MEAN[:2], A[:2]), P, (A[:2], B[:2])),
    "MultivariateNormal": (lambda m, s: D.MultivariateNormal(m, symmetric(s)), (MEAN, SPREAD), B, (A, OTHER)),
    "MultivariateNormal by precision": (
        lambda m, s: D.MultivariateNormal(m, precision_matrix=symmetric(s)), (MEAN, SPREAD), B, (A, OTHER),
    ),
    "MultivariateNormal by factor": (
        lambda m, s: D.MultivariateNormal(m, scale_tril=s.tril()), (MEAN, SPREAD), B, (A, OTHER),
    ),
    "LowRankMultivariateNormal": (D.LowRankMultivariateNormal, (MEAN, FACTOR, A), B, (A, FACTOR * 1.3 + 0.1, B)),
    "Wishart": (lambda s: D.Wishart(column(5)[0], symmetric(s)), (SPREAD,), OTHER, (OTHER,)),
    "LKJCholesky": (lambda c: D.LKJCholesky(3, c), (A[0],), CORRELATED, (B[0],)),
    "Independent": (lambda m, s: D.Independent(D.Normal(m, s), 1), (MEAN, A), B, (B, A)),
    "MixtureSameFamily": (
        lambda w, m, s: D.MixtureSameFamily(D.Categorical(w), D.Normal(m, s)), (P, MEAN, A), B[0], (Q, A, B),
    ),
    "TransformedDistribution": (transformed(T.TanhTransform()), (MEAN, A), P, (B, A)),
    "through a sigmoid": (transformed(T.SigmoidTransform(), T.AffineTransform(0.0, 2.0)), (MEAN, A), P, (B, A)),
    "through a softplus": (transformed(T.SoftplusTransform()), (MEAN, A), B, (B, A)),
    "through a power": (transformed(T.PowerTransform(column(2)[0])), (A, B), B, (B, A)),
    "through stick breaking": (transformed(T.StickBreakingTransform()), (MEAN[:2], A[:2]), P, (A[:2], B[:2])),
}  # fmt: skip
# Where torch computes constants in the default dtype, float32, its own float64 result is no truth.
BY_DEFAULT_DTYPE = (("Multinomial", "entropy"),)
# What torch itself does not offer, or has no derivative for.
LACKING = (NotImplementedError, AttributeError)
SAME_KIND = [(p, q) for p, q in _KL_REGISTRY if p.__name__ in FAMILIES and q.__name__ in FAMILIES]


@pytest.fixture(params=[True, False], ids=["validated", "unvalidated"])
def validation(request: pytest.FixtureRequest) -> Any:
    before = D.Distribution._validate_args
    D.Distribution.set_default_validate_args(request.param)
    yield
    D.Distribution.set_default_validate_args(before)


@pytest.fixture
def wide_constants() -> Any:
    """What makes float64 the default dtype until the test ends."""
    before = torch.get_default_dtype()
    yield lambda: torch.set_default_dtype(torch.float64)
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("validation")
@pytest.mark.parametrize("name", FAMILIES)
def test_densities_agree_with_float64(name: str) -> None:
    make, parameters, value, _ = FAMILIES[name]
    agrees(lambda x, *p: make(*p).log_prob(x), value, *parameters)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("asked", ["entropy", "mean", "variance", "mode", "cdf", "icdf"])
def test_what_else_they_offer_agrees_with_float64(name: str, asked: str, wide_constants: Any) -> None:
    make, parameters, value, _ = FAMILIES[name]

    def answer(*p: Tensor) -> Tensor:
        offered = getattr(make(*p), asked)
        given = {"cdf": (value,), "icdf": (Q,)}.get(asked, ())
        return offered(*given) if callable(offered) else offered

    try:
        returned(answer, [p.clone().requires_grad_() for p in parameters])
    except LACKING:
        return
    if (name, asked) in BY_DEFAULT_DTYPE:
        wide_constants()
    agrees(answer, *parameters)


@pytest.mark.parametrize(("p", "q"), SAME_KIND, ids=lambda c: c.__name__)
def test_divergences_agree_with_float64(p: type[D.Distribution], q: type[D.Distribution]) -> None:
    first, parameters, *_ = FAMILIES[p.__name__]
    second, *_, others = FAMILIES[q.__name__]
    count = len(parameters)
    agrees(lambda *x: D.kl_divergence(first(*x[:count]), second(*x[count:])), *parameters, *others)


def test_every_divergence_of_torch_is_tried() -> None:
    assert {pair for pair in _KL_REGISTRY if pair not in SAME_KIND} == {(D.ExponentialFamily, D.ExponentialFamily)}


@pytest.mark.parametrize("name", ["Normal", "Gamma", "Beta", "Dirichlet", "Exponential", "Bernoulli", "Poisson"])
def test_divergences_by_natural_parameters_agree_with_float64(name: str) -> None:
    make, parameters, _, others = FAMILIES[name]
    count = len(parameters)
    agrees(lambda *x: _kl_expfamily_expfamily(make(*x[:count]), make(*x[count:])), *parameters, *others)


def test_a_nearly_singular_normal_is_that_of_mpmath() -> None:
    """Correlation 1 - 1e-15: float64 loses the determinant."""
    spread, value = [[1.0, 1 - 1e-15], [1 - 1e-15, 1.0]], [1.0, -1.0]
    with flint.ctx.workprec(300), exact_world():
        s = lifted(torch.tensor(spread, dtype=torch.float64)).requires_grad_()
        zero, x = (lifted(torch.tensor(v, dtype=torch.float64)) for v in ([0.0, 0.0], value))
        (found,), (slope,) = returned(lambda s: D.MultivariateNormal(zero, s, validate_args=False).log_prob(x), [s])
    with mpmath.workdps(80):
        m, v = mpmath.matrix(spread), mpmath.matrix(value)
        inverse = m**-1
        density = -((v.T * inverse * v)[0] + mpmath.log(mpmath.det(m)) + 2 * mpmath.log(2 * mpmath.pi)) / 2
        slopes = (inverse * v * v.T * inverse - inverse) / 2  # of a symmetric matrix, whose halves torch symmetrizes
        assert numbers(found) == pytest.approx([float(density)], rel=1e-14)
        assert numbers(slope) == pytest.approx([float(e) for e in slopes], rel=1e-12)


def test_divergence_of_near_betas_is_that_of_mpmath() -> None:
    """Two distributions 1e-12 apart: the divergence is near 1e-25, and float64 has only noise."""
    a, b = 2.0, 2.0 + 1e-12
    with flint.ctx.workprec(400), exact_world():
        p, q, one = (lifted(column(v)) for v in (a, b, 1.0))
        (found,), _ = returned(lambda p: D.kl_divergence(D.Beta(p, one), D.Beta(q, one)), [p])
    with mpmath.workdps(80):
        x, y = mpmath.mpf(a), mpmath.mpf(b)
        expected = mpmath.log(x / y) + (y - x) / x  # Beta(a, 1) has density a t**(a - 1)
        assert numbers(found) == pytest.approx([float(expected)], rel=1e-14, abs=0)
