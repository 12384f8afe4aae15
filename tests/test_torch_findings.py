"""Numbers that PyTorch gets wrong: what it gives, and the truth by definitions written here in mpmath.

Each row stands for a finding of the catalog or of a program next to it. Torch must give the wrong number stated, and
the exact replay must enclose the truth.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import pytest
import torch
from flint import arb
from mpmath import beta, digamma, exp, inf, log, log1p, loggamma, mpf, nsum, pi, quad
from torch import Tensor
from torch.distributions import NegativeBinomial, StudentT

from stabkit.domain import Parameter
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.oracle import ExactProgram, oracle_for
from stabkit.program import Outcome, Points, Program, points_of, sample_of
from stabkit.target import Target, resolve
from stabkit.verification import Examiner, numbers_of

DIGITS = 60


@dataclass(frozen=True)
class Case:
    """One wrong number.

    Attributes:
        target: a name of the catalog, or a function with its `--arg` texts.
        of: the number, as findings call it.
        got: what torch gives.
        truth: its definition, of the sample's numbers.
    """

    target: str | tuple[Callable[..., Tensor], str]
    dtype: str
    sample: dict[str, Any]
    of: str
    got: float
    truth: Callable[..., Any]

    @property
    def program(self) -> Program:
        if isinstance(self.target, str):
            return Program(resolve(self.target, []), FORMATS[self.dtype], batched=True)
        function, arguments = self.target
        parameters: tuple[Parameter, ...] = tuple(map(parse_parameter, arguments.split()))
        return Program(Target(function.__name__, function, parameters), FORMATS[self.dtype], batched=True)

    def __str__(self) -> str:
        name = self.target if isinstance(self.target, str) else self.target[0].__name__
        return f"{name}-{self.dtype}-{self.of}"


def ran(case: Case) -> tuple[Points, Outcome]:
    """The case's sample in its dtype, run by itself."""
    program = case.program
    points = points_of(case.sample, program.target.arguments, program.form)
    return points, program.run(points)


def student_log_prob(x: Tensor, df: Tensor) -> Tensor:
    return StudentT(df).log_prob(x)


def negative_binomial_log_prob(x: Tensor, count: Tensor, logits: Tensor) -> Tensor:
    return NegativeBinomial(count, logits=logits).log_prob(x)


def clamped_cross_entropy(p: Tensor) -> Tensor:
    return -torch.log(1 - p.clamp(1e-6, 1 - 1e-6))


def branched(x: Tensor) -> Tensor:
    return torch.where(x < 1, x * x, torch.log(x))


def root_of_squares(x: Tensor) -> Tensor:
    return (x * x).sum(-1).sqrt()


def by_outcomes(p: list[Any], q: list[Any]) -> Any:
    """A divergence as a sum over outcomes."""
    return sum((a * (log(a) - log(b)) for a, b in zip(p, q, strict=True) if a), mpf(0))


def shares(logits: list[Any]) -> list[Any]:
    weights = [exp(z) for z in logits]
    return [w / sum(weights) for w in weights]


def sigmoid(z: Any) -> Any:
    return 1 / (1 + exp(-z))


def log_beta(a: Any, b: Any) -> Any:
    return loggamma(a) + loggamma(b) - loggamma(a + b)


def beta_divergence(a: Any, b: Any, c: Any, d: Any) -> Any:
    log_x, log_rest = digamma(a) - digamma(a + b), digamma(b) - digamma(a + b)  # expectations
    return log_beta(c, d) - log_beta(a, b) + (a - c) * log_x + (b - d) * log_rest


def normal_divergence(m: Any, s: Any, n: Any, t: Any) -> Any:
    return log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - mpf(1) / 2


def geometric_divergence(p: Any, q: Any) -> Any:
    return log(p / q) + (1 - p) / p * (log1p(-p) - log1p(-q))


def negative_binomial(x: Any, r: Any, z: Any) -> Any:
    choices = loggamma(r + x) - loggamma(r) - loggamma(1 + x)
    return choices + r * log(1 - sigmoid(z)) + x * log(sigmoid(z))


def student(x: Any, v: Any) -> Any:
    return loggamma((v + 1) / 2) - loggamma(v / 2) - log(v * pi) / 2 - (v + 1) / 2 * log1p(x * x / v)


def dirichlet_divergence(p: list[Any], q: list[Any]) -> Any:
    total = loggamma(sum(p)) - loggamma(sum(q)) - sum(loggamma(a) - loggamma(b) for a, b in zip(p, q, strict=True))
    return total + sum((a - b) * (digamma(a) - digamma(sum(p))) for a, b in zip(p, q, strict=True))


KL = "torch:kl."
LOSS = "torch:losses."
NORMALS = ("p.loc", "p.scale", "q.loc", "q.scale")
BETAS = ("p.concentration1", "p.concentration0", "q.concentration1", "q.concentration0")
GAMMAS = ("p.concentration", "p.rate", "q.concentration", "q.rate")


def of(names: tuple[str, ...], *values: float) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


CASES = (
    Case(KL + "normal_normal", "float32", of(NORMALS, 0.0, 1e-30, 0.0, 1.0), "value", math.inf, normal_divergence),
    Case(
        *(KL + "normal_normal", "float16", of(NORMALS, 0.0, 1e-4, 0.0, 1.0), "gradient:p.scale", -math.inf),
        lambda m, s, n, t: s / t**2 - 1 / s,
    ),
    Case(KL + "beta_beta", "float32", of(BETAS, 1e6, 1e6, 1.001e6, 1e6), "value", 1.1475, beta_divergence),
    Case(
        *(KL + "beta_uniform", "float16", {**of(BETAS[:2], 1774.0, 3.807), "q.low": 0.0, "q.high": 1.0}, "value", 0.0),
        lambda a, b, low, high: log(high - low) + beta_divergence(a, b, 1, 1),
    ),
    Case(
        *(LOSS + "binary_cross_entropy", "float32", {"input": 1.4e-45, "target": 1.0}, "value", 100.0),
        lambda x, y: -y * log(x),
    ),
    Case(
        *(LOSS + "binary_cross_entropy", "float64", {"input": 2e-16, "target": 1.0}, "gradient:input", -1e12),
        lambda x, y: (x - y) / (x * (1 - x)),
    ),
    Case(
        *(LOSS + "binary_cross_entropy", "float16", {"input": 0.0, "target": 0.0}, "gradient:input", math.nan),
        lambda x, y: 1 / (1 - x),
    ),
    Case((student_log_prob, "x=real df=positive"), "float32", {"x": 1.0, "df": 1e8}, "value", -0.5, student),
    Case(
        *((negative_binomial_log_prob, "x=data:int[0,100] count=positive logits=real"), "float32"),
        *({"x": 3.0, "count": 1e7, "logits": -15.0}, "value", -0.059),
        negative_binomial,
    ),
    Case((branched, "x=real"), "float32", {"x": 0.0}, "gradient:x", math.nan, lambda x: 2 * x),
    Case(
        *((clamped_cross_entropy, "p=unit"), "float16", {"p": 1.0}, "value", math.inf),
        lambda p: -log(1 - mpf(1 - 1e-6)),  # the double that the program names
    ),
    Case(
        *(LOSS + "poisson_nll_loss_of_rate", "float16", {"input": 0.0, "target": 2.0}, "value", math.inf),
        lambda rate, k: rate - k * log(rate + mpf(1e-8)),  # as documented
    ),
    Case(
        *(LOSS + "soft_margin_loss", "float32", {"input": -100.0, "target": 1.0}, "value", math.inf),
        lambda x, y: log1p(exp(-y * x)),
    ),
    Case(
        *(LOSS + "binary_cross_entropy_with_logits", "float16", {"input": -10.0, "target": 0.0}, "value", 0.0),
        lambda x, y: -y * log(sigmoid(x)) - (1 - y) * log(1 - sigmoid(x)),
    ),
    Case(
        *(LOSS + "gaussian_nll_loss", "float32", {"input": 3e19, "target": 0.0, "var": 2.0}, "value", math.inf),
        lambda x, y, var: (log(var) + (x - y) ** 2 / var) / 2,
    ),
    Case(
        *(LOSS + "huber_loss_small_delta", "float32", {"input": 3.4e38, "target": -1e36}, "value", math.inf),
        lambda x, y: mpf(1e-3) * (abs(x - y) - mpf(1e-3) / 2),
    ),
    Case(
        *(LOSS + "cross_entropy", "float16", {"input": [0.0, 0.0, 8.0], "target": 2}, "value", 0.000976),
        lambda x, label: -log(shares(x)[int(label)]),
    ),
    Case(
        *(LOSS + "cosine_similarity", "float16", {"x1": [0.0, 0.0, 0.0], "x2": [1.0, 2.0, 2.0]}, "value", math.nan),
        lambda x, y: sum(a * b for a, b in zip(x, y, strict=True)) / mpf(1e-8),
    ),
    Case(
        *(KL + "bernoulli_bernoulli_logits", "float16", {"p.logits": 0.0, "q.logits": -600.0}, "value", math.inf),
        lambda x, y: by_outcomes([sigmoid(x), sigmoid(-x)], [sigmoid(y), sigmoid(-y)]),
    ),
    Case(
        *(KL + "categorical_categorical", "float32"),
        *({"p.logits": [0.0, 0.0, 0.0], "q.logits": [0.0, 200.0, 0.0]}, "value", math.inf),
        lambda x, y: by_outcomes(shares(x), shares(y)),
    ),
    Case(
        *(KL + "exponential_exponential", "float32", {"p.rate": 10.0, "q.rate": 3e-45}, "value", math.inf),
        lambda a, b: quad(lambda t: exp(-t) * (log(a / b) - t + b * t / a), [0, 1, 20, inf]),
    ),
    Case(
        *(KL + "poisson_poisson", "bfloat16", {"p.rate": 1000.0, "q.rate": 930.0}, "value", -9.5),
        lambda a, b: nsum(lambda k: exp(k * log(a) - a - loggamma(k + 1)) * (k * log(a / b) + b - a), [0, 3000]),
    ),
    Case(
        *(KL + "gamma_gamma", "float16", of(GAMMAS, 1.0, 10.0, 1.0, 1e-4), "value", math.inf),
        lambda k, a, m, b: (k - m) * digamma(k) - loggamma(k) + loggamma(m) + m * log(a / b) + k * (b - a) / a,
    ),
    Case(
        *(KL + "cauchy_cauchy", "float16", of(NORMALS, 0.0, 9.13, 1802.0, 9.13), "value", math.inf),
        lambda m, s, n, t: log(((s + t) ** 2 + (m - n) ** 2) / (4 * s * t)),
    ),
    Case(
        *(KL + "laplace_laplace", "float32", of(NORMALS, 0.0, 1e-45, 0.0, 2.43), "value", math.inf),
        lambda m, s, n, t: log(t / s) + s / t - 1,
    ),
    Case(
        *(KL + "geometric_geometric", "float32", {"p.probs": 2.391e-5, "q.probs": 2.3563578e-5}, "value", -0.0054),
        geometric_divergence,
    ),
    Case(
        *(KL + "dirichlet_dirichlet", "float16"),
        *({"p.concentration": [1.3e-6, 6.824, 3.27], "q.concentration": [1.3e-6, 6.824, 3.27]}, "value", math.nan),
        dirichlet_divergence,
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_torch_is_wrong_as_stated_and_the_exact_replay_encloses_the_definition(case: Case) -> None:
    points, outcome = ran(case)
    assert numbers_of(case.program, outcome, 0)[case.of] == pytest.approx(case.got, rel=2e-2, nan_ok=True)
    sample = sample_of(points, 0)
    with mpmath.workdps(DIGITS):
        value = case.truth(*([mpf(v) for v in x] if isinstance(x, list) else mpf(x) for x in sample.values()))
        expected = arb(mpmath.nstr(value, DIGITS - 20))
    oracle = oracle_for(case.program.target, None, case.program)
    assert isinstance(oracle, ExactProgram)
    name = case.of.removeprefix("gradient:")
    truth = oracle.truth(sample, case.program.form, [] if case.of == "value" else [name])
    found = truth.values[0] if case.of == "value" else truth.gradient[name][0]
    assert found.is_finite
    assert found.is_decided(case.program.form)
    assert found.ball.overlaps(expected)
    assert Examiner(case.program, oracle).judge_alone(sample, case.of)[1].kind.is_failure  # type: ignore[index]


@pytest.mark.parametrize(
    ("target", "sample"),
    [
        (LOSS + "cosine_similarity", {"x1": [0.0, 0.0, 0.0], "x2": [1.0, 2.0, 2.0]}),
        (LOSS + "vector_norm", {"x": [0.0, 0.0, 0.0]}),
        (LOSS + "vector_norm_l3", {"x": [0.0, 0.0, 0.0]}),
        (LOSS + "cdist", {"x1": [[0.0] * 3, [1.0] * 3], "x2": [[0.0] * 3, [2.0] * 3]}),
    ],
)
def test_any_slope_between_those_at_a_kink_passes(target: str, sample: dict[str, Any]) -> None:
    case = Case(target, "float32", sample, "", 0.0, abs)
    assert all(not j.kind.is_failure for j in judgements(case))


@pytest.mark.parametrize(
    ("target", "dtype", "sample"),
    [
        ((root_of_squares, "x=real@[*,3]"), "float32", {"x": [0.0, 0.0, 0.0]}),
        (LOSS + "cosine_similarity", "float16", {"x1": [0.0, 0.0, 0.0], "x2": [1.0, 2.0, 2.0]}),
    ],
)
def test_nan_is_no_slope_of_a_kink(target: Any, dtype: str, sample: dict[str, Any]) -> None:
    found = judgements(Case(target, dtype, sample, "", 0.0, abs))
    assert {j.of.partition("[")[0] for j in found if j.kind.is_failure} & {"gradient:x", "value"}


def judgements(case: Case) -> list[Any]:
    """Every number of a case, judged by the program's own oracle."""
    points, outcome = ran(case)
    examiner = Examiner(case.program, oracle_for(case.program.target, None, case.program))
    return examiner.judge_row(sample_of(points, 0), outcome, 0, 0)


def test_the_definitions_written_here_agree_with_integrals() -> None:
    """A slip in a closed form above would otherwise be believed."""

    def density(a: float, b: float, x: Any) -> Any:
        return x ** (a - 1) * (1 - x) ** (b - 1) / beta(a, b)

    def integrand(x: Any) -> Any:
        return density(2, 3, x) * log(density(2, 3, x) / density(4, 1.5, x))

    with mpmath.workdps(20):
        assert float(beta_divergence(mpf(2), mpf(3), mpf(4), mpf(1.5))) == pytest.approx(float(quad(integrand, [0, 1])))
        normal = quad(
            lambda x: mpmath.npdf(x, 1, 2) * log(mpmath.npdf(x, 1, 2) / mpmath.npdf(x, 3, 5)), [-60, 0, 1, 3, 60]
        )
        assert float(normal_divergence(mpf(1), mpf(2), mpf(3), mpf(5))) == pytest.approx(float(normal))
        cauchy = quad(
            lambda x: 1 / (pi * (1 + x * x)) * log((1 + (x - 3) ** 2 / 4) * 2 / (1 + x * x)), [-inf, -1, 0, 1, 3, inf]
        )
        assert float(log(((1 + mpf(2)) ** 2 + 9) / 8)) == pytest.approx(float(cauchy), rel=1e-6)
        assert float(quad(lambda x: exp(student(x, mpf(3))), [-inf, 0, inf])) == pytest.approx(1)
        assert float(nsum(lambda k: exp(negative_binomial(k, 4, mpf(-1))), [0, inf])) == pytest.approx(1)
