"""The global scale that is optimal for given reconstructions, in closed form."""

import math
from typing import NamedTuple, Self

import torch
from torch import Tensor

from stabkit.closed_gradient import with_slopes
from stabkit.domain import Argument, real
from stabkit.floats import format_of
from stabkit.reference import parameterizations as definition
from stabkit.spec import Spec, stable
from stabkit.widening import in_one_dtype


@in_one_dtype
def optimal_global_scale(x: Tensor, reconstruction: Tensor) -> Tensor:
    """gamma = sqrt(mean((x - reconstruction)**2)) over the last axis: the scale with the least Gaussian NLL.

    Errors are divided by the power of two next to the largest of them before they are squared, so no square leaves
    the range. Where all are zero the result is 0, and its gradient, which has no limit there, is 0 too.

    Args:
        x, reconstruction: shapes that broadcast to [..., K].

    Returns:
        Tensor [...] in the promoted dtype.

    Source: dehaene2021, eq. 4, after Rezende & Viola, "Taming VAEs".

    Example:
        >>> optimal_global_scale(torch.tensor([3e-30, 4e-30]), torch.zeros(2))
        tensor(3.5355e-30)
    """

    def value(x: Tensor, reconstruction: Tensor) -> Tensor:
        errors = _Errors.of(x, reconstruction)
        return errors.unit * torch.sqrt(errors.mean_square) * errors.factor

    def slopes(x: Tensor, reconstruction: Tensor) -> tuple[Tensor, Tensor]:
        errors = _Errors.of(x, reconstruction)
        slope = errors.relative / torch.sqrt(_nonzero(errors.mean_square)) / x.shape[-1]
        return slope, -slope

    return with_slopes(value, slopes, x, reconstruction).squeeze(-1)


@in_one_dtype
def optimal_global_log_scale(x: Tensor, reconstruction: Tensor) -> Tensor:
    """log gamma, the logarithm of `optimal_global_scale`, also where gamma itself would overflow; -inf for 0.

    Args:
        x, reconstruction: shapes that broadcast to [..., K].

    Example:
        >>> optimal_global_log_scale(torch.tensor([3e38, 3e38]), torch.tensor([-3e38, -3e38]))
        tensor(89.2900)
    """

    def value(x: Tensor, reconstruction: Tensor) -> Tensor:
        errors = _Errors.of(x, reconstruction)
        return torch.log(errors.unit) + torch.log(errors.factor) + torch.log(errors.mean_square) / 2

    def slopes(x: Tensor, reconstruction: Tensor) -> tuple[Tensor, Tensor]:
        errors = _Errors.of(x, reconstruction)
        form = format_of(x.dtype)
        tiny = errors.relative.abs() < math.ldexp(form.smallest_normal, form.precision)
        total = _nonzero(errors.mean_square) * x.shape[-1]
        # dividing by the unit is exact; done first it spares a tiny error two subnormal results
        slope = torch.where(tiny, errors.relative / errors.unit / total, errors.relative / total / errors.unit)
        return slope / errors.factor, -slope / errors.factor

    return with_slopes(value, slopes, x, reconstruction).squeeze(-1)


class _Errors(NamedTuple):
    """x - reconstruction as factor * unit * relative, factor and unit powers of two [..., 1]; mean of relative**2."""

    factor: Tensor
    unit: Tensor
    relative: Tensor
    mean_square: Tensor

    @classmethod
    def of(cls, x: Tensor, reconstruction: Tensor) -> Self:
        plain = x - reconstruction
        overflows = plain.isinf().any(-1, keepdim=True)
        errors = torch.where(overflows, x / 2 - reconstruction / 2, plain)
        factor = torch.ones_like(errors[..., :1]).masked_fill(overflows, 2.0)
        largest = _nonzero(errors.detach().abs().amax(-1, keepdim=True))
        unit = largest / (2 * torch.frexp(largest).mantissa)  # cancels out of the result, and of its derivatives
        relative = errors / unit
        return cls(factor, unit, relative, (relative * relative).mean(-1, keepdim=True))


def _nonzero(x: Tensor) -> Tensor:
    return x.masked_fill(x == 0, 1)


_VECTORS = (Argument("x", real, data=True, shape=(3,)), Argument("reconstruction", real, shape=(3,)))

SPECS = (
    Spec.of(optimal_global_scale, definition.optimal_global_scale, _VECTORS, stable, "dehaene2021, eq. 4"),
    Spec.of(optimal_global_log_scale, definition.optimal_global_log_scale, _VECTORS, stable, "dehaene2021, eq. 4"),
)
