"""NaiveExp, Exp, ExpLin and Global: scales without bound in either direction; and the constant scale."""

import torch
from torch import Tensor

from stabkit.closed_gradient import with_slopes
from stabkit.domain import Argument, real
from stabkit.reference import parameterizations as definition
from stabkit.spec import Spec, fault, stable


def naive_exp_log_scale(p: Tensor) -> Tensor:
    """log(exp p), each step rounded (eq. 7): infinite as soon as exp p leaves the range of the dtype."""
    return torch.log(torch.exp(p))


def exp_scale(p: Tensor) -> Tensor:
    """exp p (eq. 9). Its range limits are those of the dtype, not faults.

    Example:
        >>> exp_scale(torch.tensor([-1.0, 0.0, 100.0]))
        tensor([0.3679, 1.0000,    inf])
    """
    return torch.exp(p)


def exp_log_scale(p: Tensor) -> Tensor:
    """p itself, the logarithm of `exp_scale` with nothing computed (eq. 9).

    Example:
        >>> exp_log_scale(torch.tensor([-200.0, 100.0]))
        tensor([-200.,  100.])
    """
    return p.clone()


def exp_lin_scale(p: Tensor) -> Tensor:
    """exp p for p <= 0, else p + 1 (eq. 11), with p clipped to each side before the branch is chosen.

    Without the clipping the branch not taken overflows, and its gradient 0 * inf is NaN.

    Example:
        >>> exp_lin_scale(torch.tensor([-1.0, 0.0, 1.0, 1e4]))
        tensor([3.6788e-01, 1.0000e+00, 2.0000e+00, 1.0001e+04])
    """
    return torch.where(p <= 0, torch.exp(p.clamp(max=0)), p.clamp(min=0) + 1)


def exp_lin_log_scale(p: Tensor) -> Tensor:
    """The logarithm of `exp_lin_scale`: p for p <= 0, else log1p(p) (eq. 11).

    Example:
        >>> exp_lin_log_scale(torch.tensor([-200.0, 0.0, 1.0]))
        tensor([-200.0000,    0.0000,    0.6931])
    """
    return torch.where(p <= 0, p, torch.log1p(p.clamp(min=0)))


def exp_lin_scale_unclipped(p: Tensor) -> Tensor:
    """ExpLin as a sum of masked branches (eq. 16): inf * 0 is NaN once exp p overflows."""
    return torch.exp(p) * (p <= 0) + (p + 1) * (p > 0)


def exp_lin_log_scale_unclipped(p: Tensor) -> Tensor:
    """The logarithm of ExpLin as a sum of masked branches (eq. 16): NaN for p < -1."""
    return p * (p <= 0) + torch.log(p + 1) * (p > 0)


def exp_lin_scale_as_printed(p: Tensor) -> Tensor:
    """ExpLin with the masks of eq. 18, which test the clipped p: the first is always on, so sigma(1) is 3, not 2."""
    below, above = p.clamp(max=0), p.clamp(min=0)
    return torch.exp(below) * (below <= 0) + (above + 1) * (above > 0)


def global_log_scale_as_published(p: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
    """One learned scalar through NaiveExp, shared by all positions (dehaene2021, section 7.2), as log(exp p).

    Infinite at all positions at once as soon as exp p leaves the range of the dtype.
    """
    return _shared(torch.log(torch.exp(p)), shape)


def global_scale(p: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
    """exp p, one learned scale shared by all positions.

    Args:
        p: [...], often [].
        shape: of the positions that share a scale.

    Returns:
        Tensor [..., *shape], a view that takes no memory; the gradient of p is the sum over positions.

    Example:
        >>> global_scale(torch.tensor(0.0), (3,))
        tensor([1., 1., 1.])
    """
    return _shared(torch.exp(p), shape)


def global_log_scale(p: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
    """p itself, the logarithm of `global_scale`: the form to use in place of NaiveExp's.

    Example:
        >>> global_log_scale(torch.tensor(-200.0), (3,))
        tensor([-200., -200., -200.])
    """
    return _shared(p.clone(), shape)


def _shared(scale: Tensor, shape: tuple[int, ...]) -> Tensor:
    return scale.reshape(scale.shape + (1,) * len(shape)).expand(scale.shape + shape)


def constant_scale(p: Tensor) -> Tensor:
    """1 whatever p ("Cst1", Table 4); p receives the gradient 0, so that it may stay in an optimizer.

    Example:
        >>> constant_scale(torch.tensor([-3.0, 1e30]))
        tensor([1., 1.])
    """
    return with_slopes(torch.ones_like, lambda p: (torch.zeros_like(p),), p)


def constant_log_scale(p: Tensor) -> Tensor:
    """0 whatever p, the logarithm of `constant_scale`.

    Example:
        >>> constant_log_scale(torch.tensor([-3.0, 1e30]))
        tensor([0., 0.])
    """
    return with_slopes(torch.zeros_like, lambda p: (torch.zeros_like(p),), p)


_P = (Argument("p", real),)
_EQ_7, _EQ_9, _EQ_11, _EQ_16, _EQ_18 = (f"dehaene2021, eq. {n}" for n in (7, 9, 11, 16, 18))
_SECTION_7 = "dehaene2021, section 7.2"

SPECS = (
    Spec.of(naive_exp_log_scale, definition.exp_log_scale, _P, fault("value_is_finite", "underflow"), _EQ_7),
    Spec.of(exp_scale, definition.exp_scale, _P, stable, _EQ_9),
    Spec.of(exp_log_scale, definition.exp_log_scale, _P, stable, _EQ_9),
    Spec.of(exp_lin_scale, definition.exp_lin_scale, _P, stable, _EQ_11),
    Spec.of(exp_lin_log_scale, definition.exp_lin_log_scale, _P, stable, _EQ_11),
    Spec.of(exp_lin_scale_unclipped, definition.exp_lin_scale, _P, fault("value_is_finite", "overflow"), _EQ_16),
    Spec.of(
        exp_lin_log_scale_unclipped, definition.exp_lin_log_scale, _P, fault("value_is_finite", "singularity"), _EQ_16
    ),
    Spec.of(
        exp_lin_scale_as_printed, definition.exp_lin_scale, _P, fault("matches_reference", "approximation"), _EQ_18
    ),
    Spec.of(
        global_log_scale_as_published,
        definition.exp_log_scale,
        _P,
        fault("value_is_finite", "underflow"),
        _SECTION_7,
    ),
    Spec.of(global_scale, definition.exp_scale, _P, stable, _SECTION_7),
    Spec.of(global_log_scale, definition.exp_log_scale, _P, stable, _SECTION_7),
    Spec.of(constant_scale, definition.constant_scale, _P, stable, "dehaene2021, Table 4"),
    Spec.of(constant_log_scale, definition.constant_log_scale, _P, stable, "dehaene2021, Table 4"),
)
