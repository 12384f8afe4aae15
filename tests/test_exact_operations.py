"""Operations of the exact tensor by family: against float64, and against mpmath where float64 is poor."""

import math
from collections.abc import Callable
from typing import Any

import flint
import mpmath
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from agreement import agrees, numbers, returned
from torch import Tensor, linalg
from torch.autograd import grad
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal, kl_divergence

from stabkit.exact import playback  # noqa: F401  # it fills the operation table
from stabkit.exact.tensor import ExactTensor, UnsupportedOperationError, exact_world, lifted

Function = Callable[..., Any]
ORDERS = (0.0, 1.0, 1.5, 2.0, 3.0, math.inf)
X = torch.linspace(0.2, 0.9, 6, dtype=torch.float64)
MIXED = X[[3, 1, 5, 0, 4, 2]]
ROWS, Y = MIXED.view(2, 3), X.flip(0) + 0.25
POINTS = torch.tensor([[0.3, -1.2, 0.8], [1.5, 0.1, -0.4], [-0.7, 0.9, 2.1], [0.2, 0.6, -1.1]], dtype=torch.float64)
OTHERS = torch.tensor([[1.1, 0.4, -0.2], [-0.5, 0.7, 1.3]], dtype=torch.float64)
SQUARE = torch.tensor([[1.9, -0.6, 0.4], [0.3, 2.2, -0.5], [-0.8, 0.1, 1.4]], dtype=torch.float64)
POSITIVE = SQUARE @ SQUARE.mT
STACK = torch.stack([SQUARE, SQUARE.mT + torch.eye(3, dtype=torch.float64)])
VECTOR, RIGHT = POINTS[0], POINTS[:3, :2]
LOWER = linalg.cholesky(POSITIVE).clone()


def symmetric(x: Tensor) -> Tensor:
    return (x + x.mT) / 2


DISTANCES: dict[str, tuple[Any, ...]] = {
    **{f"cdist of order {p}": (lambda x, y, p=p: torch.cdist(x, y, p), POINTS, OTHERS) for p in ORDERS},
    **{f"cdist of order {p} to itself": (lambda x, p=p: torch.cdist(x, x, p), POINTS) for p in ORDERS},
    **{f"pdist of order {p}": (lambda x, p=p: F.pdist(x, p), POINTS) for p in ORDERS},
    **{f"pairwise of order {p}": (lambda x, y, p=p: F.pairwise_distance(x, y, p), POINTS[:2], OTHERS) for p in ORDERS},
    "cdist by products": (lambda x, y: torch.cdist(x, y, 2.0, "use_mm_for_euclid_dist"), POINTS, OTHERS),
    "cdist of stacks": (lambda x: torch.cdist(x, x[:1] * 2), STACK),
    "pdist of equal points": (lambda x: F.pdist(torch.cat([x, x])), OTHERS),
    "cosine at zero": (lambda x: F.cosine_similarity(x * 0, x + 1, dim=1), POINTS),
    "cross": (torch.linalg.cross, POINTS[:2], OTHERS),
}
MATRICES: dict[str, tuple[Any, ...]] = {
    "triangular": (lambda a, b: linalg.solve_triangular(a, b, upper=False), POSITIVE, RIGHT),
    "triangular, upper, unit": (
        lambda a, b: linalg.solve_triangular(a, b, upper=True, unitriangular=True), SQUARE, RIGHT,
    ),
    "triangular from the right": (
        lambda a, b: linalg.solve_triangular(a, b.mT, upper=True, left=False), STACK, RIGHT,
    ),
    "triangular_solve": (
        lambda a, b: torch.triangular_solve(b, a, upper=False, transpose=True).solution, POSITIVE, RIGHT,
    ),
    "cholesky": (lambda a: linalg.cholesky(symmetric(a)), POSITIVE),
    "cholesky, upper": (lambda a: linalg.cholesky(symmetric(a), upper=True), POSITIVE),
    "cholesky of stacks": (lambda a: linalg.cholesky(a @ a.mT), STACK),
    "inverse": (linalg.inv, STACK),
    "solution": (linalg.solve, SQUARE, RIGHT),
    "solution of a transpose": (lambda a, b: linalg.solve(a.mT, b), SQUARE, RIGHT),
    "solution from the right": (lambda a, b: linalg.solve(a, b.mT, left=False), SQUARE, RIGHT),
    "solution of stacks": (linalg.solve, STACK, RIGHT),
    "solution, a vector": (linalg.solve, SQUARE, VECTOR),
    "determinant": (linalg.det, STACK),
    "determinant of a transpose": (lambda a: linalg.det(a.mT), SQUARE),
    "slogdet": (linalg.slogdet, STACK),
    "logdet": (torch.logdet, POSITIVE),
    "lu": (lambda a: linalg.lu(a)[1:], STACK),
    "lu, wide": (lambda a: linalg.lu(a.mT)[2], POINTS),
    "lu_factor": (linalg.lu_factor, SQUARE),
    "lu_solve": (lambda a, b: linalg.lu_solve(*linalg.lu_factor(a), b), SQUARE, RIGHT),
    "lu_solve, adjoint": (lambda a, b: linalg.lu_solve(*linalg.lu_factor(a), b, adjoint=True), SQUARE, RIGHT),
    "lu_solve from the right": (
        lambda a, b: linalg.lu_solve(*linalg.lu_factor(a), b.mT, left=False), SQUARE, RIGHT,
    ),
    "cholesky_solve": (lambda a, b: torch.cholesky_solve(b, a), LOWER, RIGHT),
    "cholesky_solve, upper": (lambda a, b: torch.cholesky_solve(b, a.mT, upper=True), LOWER, RIGHT),
    "cholesky_inverse": (torch.cholesky_inverse, LOWER),
    "exponential": (linalg.matrix_exp, STACK),
    "power": (lambda a: linalg.matrix_power(a, -2), SQUARE),
    "addmv": (lambda c, a, b: torch.addmv(c, a, b, beta=0.5, alpha=2), VECTOR, SQUARE, VECTOR),
    "addbmm": (lambda c, a: torch.addbmm(c, a, a, beta=0.5, alpha=2), SQUARE, STACK),
    "einsum": (lambda a, b: torch.einsum("bij,kj->bik", a, b), STACK, POINTS),
    "bilinear": (F.bilinear, POINTS[:2], OTHERS, STACK),
    "trace": (torch.trace, SQUARE),
    "diagonal written": (torch.diagonal_scatter, SQUARE, VECTOR),
    "diagonal filled": (lambda a: a.clone().fill_diagonal_(2.0), SQUARE),
    "normal": (lambda m, s, x: MultivariateNormal(m, symmetric(s)).log_prob(x), VECTOR, POSITIVE, POINTS),
    "normal by precision": (
        lambda m, s, x: MultivariateNormal(m, precision_matrix=symmetric(s)).log_prob(x), VECTOR, POSITIVE, POINTS,
    ),
    "normal of low rank": (
        lambda m, w, d, x: LowRankMultivariateNormal(m, w, d).log_prob(x), VECTOR, RIGHT, X[:3], POINTS,
    ),
    "divergence of normals": (
        lambda m, s, w, d: kl_divergence(MultivariateNormal(m, symmetric(s)), LowRankMultivariateNormal(m * 2, w, d)),
        *(VECTOR, POSITIVE, RIGHT, X[:3]),
    ),
}  # fmt: skip
ORDER: dict[str, tuple[Any, ...]] = {
    "sort": (lambda x: torch.sort(x, 1), ROWS),
    "sort, falling": (lambda x: torch.sort(x, 0, descending=True), MIXED),
    "sort with ties": (lambda x: torch.sort(torch.cat([x, x]), stable=True), MIXED),
    "argsort": (torch.argsort, MIXED),
    "msort": (torch.msort, ROWS),
    "topk": (lambda x: torch.topk(x, 2, 1), ROWS),
    "topk, smallest": (lambda x: torch.topk(x, 3, largest=False), MIXED),
    "kthvalue": (lambda x: torch.kthvalue(x, 2, 1, keepdim=True), ROWS),
    "median": (torch.median, MIXED),
    "median of rows": (lambda x: torch.median(x, 1), ROWS),
    "median with NaN": (lambda x: torch.median(torch.where(x > 0.8, math.nan, x)), MIXED),
    "nanmedian": (lambda x: torch.nanmedian(torch.where(x > 0.8, math.nan, x)), MIXED),
    "argmin": (torch.argmin, MIXED),
    "argmax of rows": (lambda x: torch.argmax(x, 1, keepdim=True), ROWS),
    "cummax": (lambda x: torch.cummax(x, 1), ROWS),
    "cummin with ties": (lambda x: torch.cummin(torch.cat([x, x]), 0), MIXED),
    "quantile": (lambda x: torch.quantile(x, torch.tensor([0.3, 0.9], dtype=x.dtype), dim=1), ROWS),
    "quantile, lower": (lambda x: torch.quantile(x, 0.3, interpolation="lower"), MIXED),
    "nanquantile": (lambda x: torch.nanquantile(torch.where(x > 0.8, math.nan, x), 0.3), MIXED),
    "searchsorted": (torch.searchsorted, X, MIXED),
    "searchsorted to the right": (lambda x, y: torch.searchsorted(x.repeat(2, 1), y, right=True), X, MIXED.view(2, 3)),
    "bucketize": (lambda x, y: torch.bucketize(x, y, out_int32=True), MIXED, X[1:4]),
    "nansum": (lambda x: torch.nansum(torch.where(x > 0.8, math.nan, x)), MIXED),
    "nanmean": (lambda x: torch.nanmean(torch.where(x > 0.8, math.nan, x)), MIXED),
    "round to a decimal": (lambda x: torch.round(x, decimals=1), MIXED),
    "truths": (lambda x: (torch.any(x), torch.all(x - x[0], 0), torch.nonzero(x - x[0])), ROWS),
}
SPECIAL: dict[str, tuple[Any, ...]] = {
    "gammainc": (lambda x: torch.special.gammainc(MIXED * 3, x), X),
    "gammaincc": (lambda x: torch.special.gammaincc(MIXED * 3, x), X),
    "ndtri": (torch.special.ndtri, X),
    "bessel": (lambda x: (torch.special.bessel_j0(x), torch.special.bessel_j1(x)), X.clone()),
    "modified bessel": (lambda x: (torch.special.i0e(x), torch.special.i1(x), torch.special.i1e(x)), X),
    "powers": (lambda x, y: (x**y, (-x) ** 3, (-x) ** -2, x**1001), X, Y),
    "remainders": (lambda x, y: (torch.fmod(x * 3.3, y), torch.remainder(-x, y), torch.floor(x / -y)), X, Y),
    "logaddexp": (torch.logaddexp, X, Y),
    "logsumexp of one element repeated": (lambda x: torch.logsumexp(x[:1].expand(4), 0), X),
    "logit": (lambda x: torch.logit(x, 0.3), X),
    "shrunk": (lambda x: (F.softshrink(x, 0.4), F.hardshrink(x, 0.4)), X),
}
INDEX = torch.tensor([[1, 0, 1], [1, 1, 0]])
INDEXED: dict[str, tuple[Any, ...]] = {
    "scatter_add": (lambda x, y: x.scatter_add(0, INDEX, y), ROWS, X.view(2, 3)),
    "index_add": (lambda x, y: x.index_add(1, torch.tensor([2, 2, 0]), y, alpha=2), ROWS, X.view(2, 3)),
    "index_put": (lambda x, y: x.index_put((INDEX[0],), y[0], accumulate=True), ROWS, X.view(2, 3)),
    "index_copy": (lambda x, y: x.index_copy(0, torch.tensor([1]), y[:1]), ROWS, X.view(2, 3)),
    **{
        f"scatter_reduce, {name}": (lambda x, y, name=name: x.scatter_reduce(0, INDEX, y, name), ROWS, X.view(2, 3))
        for name in ("sum", "mean", "prod", "amax", "amin")
    },
    "scatter_reduce over nothing": (
        lambda x, y: x.scatter_reduce(0, INDEX, y, "mean", include_self=False), ROWS, X.view(2, 3),
    ),
}  # fmt: skip


def everything_in_lists(x: Tensor, y: Tensor) -> list[Tensor]:
    a, b = [x.clone(), x.view(2, 3) * 2], [y.clone(), y.view(2, 3)]
    written = torch._foreach_add(a, b, alpha=2)
    torch._foreach_mul_(written, 1.5)
    torch._foreach_addcdiv_(written, a, b, value=0.1)
    torch._foreach_clamp_max_(written, 1.5)
    torch._foreach_sqrt_(written)
    return [
        *written,
        *torch._foreach_sub(a, [0.5, 0.25]),
        *torch._foreach_div(a, b),
        *torch._foreach_mul(a, torch.tensor(3.0, dtype=x.dtype)),
        *torch._foreach_addcmul(a, a, b, [0.3, 0.7]),
        *(r for f in (torch._foreach_exp, torch._foreach_log, torch._foreach_neg, torch._foreach_abs) for r in f(a)),
        *torch._foreach_norm(a),
        *torch._foreach_norm(a, 1),
        *torch._foreach_lerp(a, b, 0.3),
        *torch._foreach_pow(2.0, a),
        *torch._foreach_maximum(a, b),
    ]


def written_out(x: Tensor) -> list[Tensor]:
    a, b = torch.empty(6, dtype=x.dtype), torch.zeros(2, 3, dtype=x.dtype)
    torch.exp(x, out=a)
    torch.cat([x[:3], x[3:]], out=b.view(-1))
    values, places = torch.empty(2, dtype=x.dtype), torch.empty(2, dtype=torch.int64)
    torch.max(b, 1, out=(values, places))
    return [a, b, values, places, torch.add(x, 2, out=torch.empty_like(x))]


def turned_in_place(x: Tensor) -> Tensor:
    y = (x.view(2, 3) * 2).t_().unsqueeze_(0)
    y[0, 0] += 1
    return y.squeeze_().exp()


def written_through_a_turned_view(x: Tensor) -> Tensor:
    y = x.view(2, 3).T.exp() * 2
    y[:, 0].mul_(3)
    return y


@pytest.mark.parametrize("case", (DISTANCES | MATRICES | ORDER | INDEXED | SPECIAL).items(), ids=lambda c: c[0])
def test_operations_agree_with_float64(case: tuple[str, tuple[Any, ...]]) -> None:
    function, *inputs = case[1]
    agrees(function, *inputs)


@pytest.mark.parametrize("function", [turned_in_place, written_through_a_turned_view])
def test_views_in_place_agree_with_float64(function: Function) -> None:
    agrees(function, MIXED)


def test_lists_of_tensors_agree_with_float64() -> None:
    agrees(everything_in_lists, MIXED, X)
    scales = torch.tensor([0.3, 0.7], dtype=torch.float64)
    agrees(lambda x, y: torch._foreach_addcmul([x, y], [y, y], [x, x], scales), MIXED, X, slopes=False)


def test_out_is_written_where_it_is_exact() -> None:
    agrees(written_out, MIXED, slopes=False)
    outside = torch.empty(6, dtype=torch.float64)
    with exact_world(), pytest.raises(UnsupportedOperationError, match="outside"):
        torch.exp(lifted(MIXED), out=outside)


def test_a_matrix_that_is_not_positive_or_singular_raises_as_in_torch() -> None:
    with exact_world():
        assert linalg.cholesky_ex(lifted(-POSITIVE)).info == 1
        with pytest.raises(linalg.LinAlgError, match="not positive"):
            linalg.cholesky(lifted(-POSITIVE))
        singular = torch.ones(2, 2, dtype=torch.float64)
        assert numbers(linalg.det(singular)) == [0]
        with pytest.raises(linalg.LinAlgError, match="singular"):
            linalg.inv(singular)


def hilbert(n: int) -> list[list[float]]:
    return [[1.0 / (i + j + 1) for j in range(n)] for i in range(n)]


def test_determinants_and_solutions_near_singular_are_those_of_mpmath() -> None:
    a = torch.tensor(hilbert(8), dtype=torch.float64)
    with flint.ctx.workprec(300), exact_world():
        x = lifted(a)
        found = [*numbers(linalg.det(x)), *numbers(linalg.solve(x, torch.ones(8, dtype=x.dtype)))]
    with mpmath.workdps(80):
        m = mpmath.matrix(a.tolist())
        expected = [mpmath.det(m), *mpmath.lu_solve(m, mpmath.ones(8, 1))]
        assert found == pytest.approx([float(v) for v in expected], rel=1e-14, abs=0)
    assert linalg.det(a).item() != pytest.approx(float(expected[0]), rel=1e-9, abs=0)


def test_distances_of_near_points_are_those_of_mpmath() -> None:
    x = torch.tensor([[1e8, 1e8]], dtype=torch.float64)
    y = torch.tensor([[1e8 + 1e-7, 1e8 - 2e-7]], dtype=torch.float64)
    with flint.ctx.workprec(300), exact_world():
        distance, (slope,) = returned(lambda a, b: torch.cdist(a, b, 3.0), [leaf(x), lifted(y)])
    with mpmath.workdps(60):
        differences = [mpmath.mpf(a) - mpmath.mpf(b) for a, b in zip(x[0].tolist(), y[0].tolist(), strict=True)]
        size = mpmath.cbrt(sum(abs(d) ** 3 for d in differences))
        expected = [float(mpmath.sign(d) * d**2 / size**2) for d in differences]
        assert numbers(distance[0]) == pytest.approx([float(size)], rel=1e-15, abs=0)
        assert numbers(slope) == pytest.approx(expected, rel=1e-15)


def leaf(x: Tensor) -> Tensor:
    return lifted(x).requires_grad_()


def test_what_float64_takes_for_a_tie_is_sorted() -> None:
    tiny = torch.tensor([1e-30, 0.0, -1e-30], dtype=torch.float64)
    with flint.ctx.workprec(300), exact_world():
        assert torch.sort(lifted(tiny) + 1).indices.tolist() == [2, 1, 0]
        assert torch.searchsorted(lifted(tiny).flip(0) + 1, lifted(tiny) + 1).tolist() == [2, 1, 0]
    assert torch.sort(tiny + 1, stable=True).indices.tolist() == [0, 1, 2]


def test_special_functions_in_their_tails_are_those_of_mpmath() -> None:
    with flint.ctx.workprec(4000), exact_world():
        x = lifted(torch.tensor([2.5, 900.0, 1e-300, -2000.0], dtype=torch.float64))
        found = [
            torch.special.gammaincc(x[0], x[1]).log(),
            torch.special.ndtri(x[2]),
            torch.logsumexp(x[3:].repeat(3), 0) + 2000,
            torch.special.i0e(x[1]),
        ]
    with mpmath.workdps(60):
        expected = [
            mpmath.log(mpmath.gammainc(2.5, 900, regularized=True)),
            -mpmath.findroot(lambda t: mpmath.log(mpmath.ncdf(-t)) - mpmath.log(mpmath.mpf(1e-300)), 37),
            mpmath.log(3),
            mpmath.besseli(0, 900) * mpmath.exp(-900),
        ]
    assert [v for t in found for v in numbers(t)] == pytest.approx([float(v) for v in expected], rel=1e-14)


def test_slopes_of_a_product_with_a_zero_are_exact() -> None:
    with exact_world():
        x = leaf(torch.tensor([2.0, 0.0, 3.0]))
        (slope,) = grad(x.prod(), x)
        assert isinstance(slope, ExactTensor)
        assert numbers(slope) == [0, 6, 0]
