"""Every divergence that is registered in torch.distributions.kl and finite for some parameters.

Domains are what torch's validation lets pass and where the divergence is finite: where one support must lie in another,
the bounds of one are bounded by those of the other.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, kl_divergence
from torch.distributions.kl import _kl_expfamily_expfamily

from stabkit.catalog.entry import Entry, entry

NORMAL, NORMALS = "loc:real,scale:positive", "loc:real@[*,2],scale:positive@[*,2]"
USUAL = {
    "Bernoulli": "probs:unit",
    "Beta": "concentration1:positive,concentration0:positive",
    "Binomial": "probs:unit,total_count:=10",
    "Categorical": "logits:real@[*,3]",
    "Cauchy": "loc:real,scale:positive",
    "ContinuousBernoulli": "probs:open-unit",
    "Dirichlet": "concentration:positive@[*,3]",
    "Exponential": "rate:positive",
    "Gamma": "concentration:positive,rate:positive",
    "Geometric": "probs:open-unit",
    "Gumbel": "loc:real,scale:positive",
    "HalfNormal": "scale:positive",
    "Laplace": "loc:real,scale:positive",
    "LowRankMultivariateNormal": "loc:real@[*,2],cov_factor:real@[*,2,1],cov_diag:positive@[*,2]",
    "Normal": NORMAL,
    "OneHotCategorical": "logits:real@[*,3],validate_args:=False",  # it checks the rounded sum of probabilities
    "Pareto": "scale:positive,alpha:positive",
    "Poisson": "rate:positive",
    "Uniform": "low:real,high:(low,inf)",
}
TRIANGLE = "loc=real@[*,2] diagonal=positive@[*,2] below=real"


def triangular(loc: Tensor, diagonal: Tensor, below: Tensor) -> MultivariateNormal:
    """Two normals whose covariance has the factor [[diagonal 0, 0], [below, diagonal 1]]."""
    rows = torch.stack([diagonal[..., 0], torch.zeros_like(below)], -1), torch.stack([below, diagonal[..., 1]], -1)
    return MultivariateNormal(loc, scale_tril=torch.stack(rows, -2))


def of_triangles(
    loc1: Tensor, diagonal1: Tensor, below1: Tensor, loc2: Tensor, diagonal2: Tensor, below2: Tensor
) -> Tensor:
    """KL of two `triangular`."""
    return kl_divergence(triangular(loc1, diagonal1, below1), triangular(loc2, diagonal2, below2))


def from_triangle(loc: Tensor, diagonal: Tensor, below: Tensor, q: Distribution) -> Tensor:
    """KL of a `triangular` from q."""
    return kl_divergence(triangular(loc, diagonal, below), q)


def to_triangle(p: Distribution, loc: Tensor, diagonal: Tensor, below: Tensor) -> Tensor:
    """KL of p from a `triangular`."""
    return kl_divergence(p, triangular(loc, diagonal, below))


def independent(p: Distribution, q: Distribution) -> Tensor:
    """KL of vectors of independent numbers, summed."""
    return kl_divergence(Independent(p, 1), Independent(q, 1))


def _pair(p: str, q: str, p_of: str = "", q_of: str = "", variant: str = "") -> Entry:
    """The divergence of two distributions, on their usual parameters unless others are given."""
    arguments = f"p={p}({p_of or USUAL[p]}) q={q}({q_of or USUAL[q]})"
    return entry(f"{p}_{q}{variant}".lower(), kl_divergence, arguments)


LOW_RANK = f"LowRankMultivariateNormal({USUAL['LowRankMultivariateNormal']})"
ENTRIES = (
    _pair("Bernoulli", "Bernoulli"),
    _pair("Bernoulli", "Bernoulli", "logits:real", "logits:real", "_logits"),
    _pair("Beta", "Beta"),
    _pair("Binomial", "Binomial"),
    _pair("Binomial", "Binomial", "logits:real,total_count:=10", "logits:real,total_count:=10", "_logits"),
    _pair("Categorical", "Categorical"),
    _pair("Cauchy", "Cauchy"),
    _pair("ContinuousBernoulli", "ContinuousBernoulli"),
    _pair("ContinuousBernoulli", "ContinuousBernoulli", "logits:real", "logits:real", "_logits"),
    _pair("Dirichlet", "Dirichlet"),
    _pair("Exponential", "Exponential"),
    entry("exponentialfamily_exponentialfamily", _kl_expfamily_expfamily, f"p=Normal({NORMAL}) q=Normal({NORMAL})"),
    _pair("Gamma", "Gamma"),
    _pair("Geometric", "Geometric"),
    _pair("Geometric", "Geometric", "logits:real", "logits:real", "_logits"),
    _pair("Gumbel", "Gumbel"),
    _pair("HalfNormal", "HalfNormal"),
    entry("independent_independent", independent, f"p=Normal({NORMALS}) q=Normal({NORMALS})"),
    _pair("Laplace", "Laplace"),
    _pair("LowRankMultivariateNormal", "LowRankMultivariateNormal"),
    entry("lowrankmultivariatenormal_multivariatenormal", to_triangle, f"p={LOW_RANK} {TRIANGLE}"),
    entry("multivariatenormal_lowrankmultivariatenormal", from_triangle, f"{TRIANGLE} q={LOW_RANK}"),
    entry(
        "multivariatenormal_multivariatenormal",
        of_triangles,
        "loc1=real@[*,2] diagonal1=positive@[*,2] below1=real loc2=real@[*,2] diagonal2=positive@[*,2] below2=real",
    ),
    _pair("Normal", "Normal"),
    _pair("OneHotCategorical", "OneHotCategorical"),
    _pair("Pareto", "Pareto", q_of="scale:(0,p.scale],alpha:positive"),
    _pair("Poisson", "Poisson", "rate:nonnegative"),
    entry(
        "transformeddistribution_transformeddistribution", kl_divergence, f"p=LogNormal({NORMAL}) q=LogNormal({NORMAL})"
    ),
    _pair("Uniform", "Uniform", q_of="low:(-inf,p.low],high:[p.high,inf)"),
    _pair("Bernoulli", "Poisson"),
    _pair("Beta", "ContinuousBernoulli"),
    _pair("Beta", "Exponential"),
    _pair("Beta", "Gamma"),
    _pair("Beta", "Normal"),
    _pair("Beta", "Uniform", q_of="low:(-inf,0],high:[1,inf)"),
    _pair("ContinuousBernoulli", "Exponential"),
    _pair("ContinuousBernoulli", "Normal"),
    _pair("ContinuousBernoulli", "Uniform", q_of="low:(-inf,0),high:(1,inf)"),
    _pair("Exponential", "Gamma"),
    _pair("Exponential", "Gumbel"),
    _pair("Exponential", "Normal"),
    _pair("Gamma", "Exponential"),
    _pair("Gamma", "Gumbel"),
    _pair("Gamma", "Normal"),
    _pair("Gumbel", "Normal"),
    _pair("Laplace", "Normal"),
    _pair("Normal", "Gumbel"),
    _pair("Normal", "Laplace"),
    _pair("Pareto", "Exponential", "scale:positive,alpha:(1,inf)"),
    _pair("Pareto", "Gamma", "scale:positive,alpha:(1,inf)"),
    _pair("Pareto", "Normal", "scale:positive,alpha:(2,inf)"),
    _pair("Uniform", "Beta", "low:unit,high:(low,1]"),
    _pair("Uniform", "ContinuousBernoulli", "low:open-unit,high:(low,1)"),
    _pair("Uniform", "Exponential", "low:nonnegative,high:(low,inf)"),
    _pair("Uniform", "Gamma", "low:nonnegative,high:(low,inf)"),
    _pair("Uniform", "Gumbel"),
    _pair("Uniform", "Normal"),
    _pair("Uniform", "Pareto", "low:positive,high:(low,inf)", "scale:(0,p.low],alpha:positive"),
)
BOUNDED = ("Beta", "ContinuousBernoulli", "Pareto", "Uniform")
INFINITE = {  # whose support does not lie in the other's: torch returns infinity without looking at the parameters
    "Beta": ("Pareto",),
    "ContinuousBernoulli": ("Pareto",),
    "Exponential": BOUNDED,
    "Gamma": BOUNDED,
    "Gumbel": (*BOUNDED, "Exponential", "Gamma"),
    "Laplace": (*BOUNDED, "Exponential", "Gamma"),
    "Normal": (*BOUNDED, "Exponential", "Gamma"),
    "Pareto": ("Beta", "ContinuousBernoulli", "Uniform"),
    "Poisson": ("Bernoulli", "Binomial"),
}
EXCLUDED = {f"{p}_{q}".lower(): "it is infinite by definition" for p, qs in INFINITE.items() for q in qs}
