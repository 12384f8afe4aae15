"""torch.linalg on exact tensors: triangular systems, Cholesky and LU factors, inverses, determinants, exponentials."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact import matrices as of
from stabkit.exact.elementwise import each, sign
from stabkit.exact.operations import operation, result_dtype
from stabkit.exact.reductions import matmul, product, total
from stabkit.exact.states import ONE, ZERO
from stabkit.exact.tensor import balls_of, exact

B = BallSystem


def _transposed(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def _integers(x: Any) -> Tensor:
    return torch.tensor(np.asarray(x), dtype=torch.int32)


@operation("linalg_solve_triangular")
def _solve_triangular(a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Tensor:
    x, y = balls_of(a), balls_of(b)
    if left:
        return exact(of.each_matrix(lambda p, q: of.solved_by_rows(p, q, upper, unitriangular), x, y), result_dtype(a))
    turned = of.each_matrix(
        lambda p, q: of.solved_by_rows(p, q, not upper, unitriangular), _transposed(x), _transposed(y)
    )
    return exact(_transposed(turned), result_dtype(a))


@operation("triangular_solve")
def _triangular_solve(
    b: Any, a: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Tensor, Tensor]:
    x = _transposed(balls_of(a)) if transpose else balls_of(a)
    solved = of.each_matrix(lambda p, q: of.solved_by_rows(p, q, upper != transpose, unitriangular), x, balls_of(b))
    return exact(solved, result_dtype(a)), exact(balls_of(a).copy(), result_dtype(a))


@operation("linalg_cholesky_ex")
def _cholesky_ex(a: Any, *, upper: bool = False, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    x = balls_of(a)
    factor, info = of.each_matrix(of.cholesky, _transposed(x) if upper else x)
    return exact(_transposed(factor) if upper else factor, result_dtype(a)), _checked(info, check_errors, "cholesky")


def _checked(info: Any, wanted: bool, name: str) -> Tensor:
    found = _integers(info)
    if wanted:
        torch._linalg_check_errors(found, f"linalg.{name}", is_matrix=found.dim() == 0)
    return found


@operation("cholesky")
def _cholesky(a: Any, upper: bool = False) -> Tensor:
    return _cholesky_ex(a, upper=upper, check_errors=True)[0]


def _lower(factor: Any, upper: bool) -> Any:
    return _transposed(balls_of(factor)) if upper else balls_of(factor)


def _solved_by_cholesky(factor: Any, b: Any) -> Any:
    return of.solved_by_rows(factor.T, of.solved_by_rows(factor, b, False, False), True, False)


@operation("cholesky_solve")
def _cholesky_solve(b: Any, factor: Any, upper: bool = False) -> Tensor:
    return exact(of.each_matrix(_solved_by_cholesky, _lower(factor, upper), balls_of(b)), result_dtype(b))


@operation("cholesky_inverse")
def _cholesky_inverse(factor: Any, upper: bool = False) -> Tensor:
    lower = _lower(factor, upper)
    return exact(of.each_matrix(_solved_by_cholesky, lower, of.identity(lower.shape[-1])), result_dtype(factor))


@operation("linalg_lu_factor_ex")
def _lu_factor_ex(a: Any, *, pivot: bool = True, check_errors: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    packed, exchanged, info = of.each_matrix(of.lu, balls_of(a))
    return exact(packed, result_dtype(a)), _integers(exchanged), _checked(info, check_errors, "lu_factor")


@operation("lu_unpack")
def _lu_unpack(
    packed: Any, exchanged: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    x = balls_of(packed)
    rows, columns = x.shape[-2:]
    k = min(rows, columns)
    below = np.tri(rows, k, -1, dtype=bool)
    lower = each(lambda v, b, d: v if b else ONE if d else ZERO, x[..., :k], below, np.eye(rows, k, dtype=bool))
    upper = each(lambda v, b: ZERO if b else v, x[..., :k, :], np.tri(k, columns, -1, dtype=bool))
    moves = torch.lu_unpack(torch.zeros(x.shape), exchanged, unpack_data=False)[0]
    return exact(balls_of(moves), result_dtype(packed)), exact(lower, packed.dtype), exact(upper, packed.dtype)


@operation("linalg_lu")
def _lu(a: Any, *, pivot: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    return _lu_unpack(*_lu_factor_ex(a)[:2])


def _by_factors(packed: Any, exchanged: Any, b: Any, transposed: bool) -> Any:
    rows = np.asarray(exchanged)[..., None, :]
    return of.each_matrix(lambda f, e, y: of.solved_by_factors(f, e[0], y, transposed), packed, rows, b)


@operation("linalg_lu_solve")
def _lu_solve(packed: Any, exchanged: Tensor, b: Any, *, left: bool = True, adjoint: bool = False) -> Tensor:
    factors, right = balls_of(packed), balls_of(b)
    if left:
        return exact(_by_factors(factors, exchanged, right, adjoint), result_dtype(packed))
    return exact(_transposed(_by_factors(factors, exchanged, _transposed(right), not adjoint)), result_dtype(packed))


@operation("_linalg_solve_ex")
def _solve_ex(a: Any, b: Any, *, left: bool = True, check_errors: bool = False) -> tuple[Tensor, ...]:
    factors, exchanged, info = _lu_factor_ex(a)
    is_vector = b.dim() == 1 or (b.dim() == a.dim() - 1 and tuple(b.shape) == tuple(a.shape[:-1]))
    right = balls_of(b)[..., None] if is_vector else balls_of(b)
    solved = balls_of(_lu_solve(factors, exchanged, right, left=left or is_vector))
    _checked(info, check_errors, "solve")
    return exact(solved[..., 0] if is_vector else solved, result_dtype(a)), factors, exchanged, info


@operation("linalg_inv_ex")
def _inv_ex(a: Any, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    factors, exchanged, info = _lu_factor_ex(a)
    return _lu_solve(factors, exchanged, of.identity(a.shape[-1])), _checked(info, check_errors, "inv")


def _signed(factors: Any, exchanged: Tensor) -> tuple[Any, Any]:
    """The diagonal of the upper factor and the sign of the exchanges."""
    rows = exchanged.numpy()
    signs = np.empty(rows.shape[:-1], dtype=object)
    for at in np.ndindex(*signs.shape):
        signs[at] = ONE * of.parity(rows[at])
    return np.diagonal(balls_of(factors), axis1=-2, axis2=-1), signs


def _factors_for_det(a: Any) -> tuple[Any, Tensor]:
    """Factors of a contiguous matrix's transpose, else of the matrix, which is what torch's backward expects."""
    return _lu_factor_ex(a.mT if a.is_contiguous() else a)[:2]


@operation("_linalg_det")
def _det(a: Any) -> tuple[Tensor, Tensor, Tensor]:
    factors, exchanged = _factors_for_det(a)
    diagonal, signs = _signed(factors, exchanged)
    return exact(each(Ball.__mul__, product(diagonal, -1), signs), result_dtype(a)), factors, exchanged


@operation("_linalg_slogdet")
def _slogdet(a: Any) -> tuple[Tensor, ...]:
    factors, exchanged = _factors_for_det(a)
    diagonal, signs = _signed(factors, exchanged)
    whole = each(Ball.__mul__, product(each(sign, diagonal), -1), signs)
    size = total(each(lambda v: B.log(abs(v)), diagonal), -1)
    return exact(whole, result_dtype(a)), exact(size, result_dtype(a)), factors, exchanged


@operation("linalg_matrix_exp")
def _matrix_exp(a: Any) -> Tensor:
    return exact(of.each_matrix(of.exponential, balls_of(a)), result_dtype(a))


@operation("addbmm")
def _addbmm(c: Any, x: Any, y: Any, *, beta: float = 1, alpha: float = 1) -> Tensor:
    summed = total(matmul(balls_of(x), balls_of(y)), 0)
    return exact(each(lambda a, b: a * beta + b * alpha, balls_of(c), summed), result_dtype(x, y))


@operation("_trilinear")
def _trilinear(
    a: Any, b: Any, c: Any, expand1: Any, expand2: Any, expand3: Any, sumdim: Any, unroll_dim: int = 1
) -> Tensor:
    spread = [
        np.expand_dims(balls_of(x), tuple(sorted(dims))) for x, dims in ((a, expand1), (b, expand2), (c, expand3))
    ]
    return exact(total(spread[0] * spread[1] * spread[2], tuple(sumdim)), result_dtype(a))
