"""The smallest scale that a divergence can still be trained with: Table 1 of dehaene2021, computed.

KL(N(0, sigma1) || N(0, sigma2)) with sigma2 = 1 and sigma1 a parameterization of one raw output p: how far can p
go, on the way from 0 along which sigma1 falls, before the loss or its gradient by p is no longer finite? The
paper walks in whole steps; here the last usable float of each dtype stands beside the last usable step. What the
paper calls Global is NaiveExp with one p for all positions, and has the rows of NaiveExp.

Source: dehaene2021, Dehaene & Brossard, "Re-parameterizing VAEs for stability", Table 1.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

import torch
from stabkit.suites.usable_range import Limit, limit_of
from torch import Tensor

from stabkit.arithmetic.mp import MpSystem
from stabkit.floats import FORMATS, Format
from stabkit.losses import gaussian
from stabkit.program import require_device
from stabkit.spec import Spec
from stabkit.zoo import find

SIGMA_BITS, SIGMA_DIGITS = 200, 17


@dataclass(frozen=True)
class Parameterization:
    """A scale of one raw output, by the zoo names of sigma and of log sigma."""

    label: str
    scale: str
    log_scale: str


@dataclass(frozen=True)
class Form:
    """A way to write the divergence.

    Attributes:
        function: of mean1, scale1, mean2, scale2, or of log scales.
        of_log_scales: whether it takes log sigma.
        formula: what becomes of the scales.
        only: the one parameterization that it is written for.
    """

    label: str
    function: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    of_log_scales: bool
    formula: str
    only: str | None = None


@dataclass(frozen=True)
class Sigma:
    """sigma1 at one p: in real arithmetic, as a decimal, and the float that it is in the dtype."""

    true: str
    stored: float


@dataclass(frozen=True)
class Reach:
    """How far p can go, and sigma1 at the last float and at the last whole step.

    Where nothing fails both are the end of the lattice, with None for a sigma1 that has vanished there.
    """

    limit: Limit
    at_last: Sigma | None
    at_step: Sigma | None


@dataclass(frozen=True)
class Row:
    """How far one parameterization goes with one form: until the loss, or until loss and slope are not finite."""

    parameterization: str
    form: str
    dtype: str
    device: str
    value: Reach
    gradient: Reach


PARAMETERIZATIONS = (
    Parameterization("NaiveExp", "exp_scale", "naive_exp_log_scale"),
    Parameterization("Exp", "exp_scale", "exp_log_scale"),
    Parameterization("ExpLin", "exp_lin_scale", "exp_lin_log_scale"),
    Parameterization("UpBounded(1)", "up_bounded_scale", "up_bounded_log_scale"),
    Parameterization("DownBounded(1/sqrt 12)", "down_bounded_scale", "down_bounded_log_scale"),
    Parameterization("Bounded(1/(256 sqrt 12), 1)", "bounded_scale", "bounded_log_scale"),
    Parameterization("ScaledTanh(5)", "scaled_tanh_scale", "scaled_tanh_log_scale"),
    Parameterization("ScaledSigmoid(7)", "scaled_sigmoid_scale", "scaled_sigmoid_log_scale"),
    Parameterization("SoftplusInverse", "softplus_inverse_scale", "softplus_inverse_log_scale"),
)
FORMS = (
    Form("quotient", gaussian.kl_textbook, False, "log(s2/s1), eq. 6 as printed"),
    Form("difference", gaussian.kl_difference_of_logs, False, "log s2 - log s1"),
    Form("squared", gaussian.kl_squared_ratio, False, "log((s1/s2)^2)/2, as torch.distributions"),
    Form("accurate", gaussian.kl, False, "t + t^2/2 - log(1 + t) with t = (s1 - s2)/s2"),
    Form("eq. 8", gaussian.kl_log_difference, True, "on log sigma, with exp(log s1)^2"),
    Form("eq. 10", gaussian.kl_exp, True, "exp(2 p1) exp(-2 p2), for Exp alone", only="Exp"),
    Form("accurate, log", gaussian.kl_of_log_scales, True, "expm1(2d)/2 - d with d = log s1 - log s2"),
)


def rows(dtypes: Sequence[str], device: str = "cpu") -> Iterator[Row]:
    """The rows of the table, dtype by dtype and parameterization by parameterization.

    Raises:
        StabkitError: for a device that is not there.

    Example:
        >>> first = next(rows(["float32"]))
        >>> first.parameterization, first.form, first.value.limit.step
        ('NaiveExp', 'quotient', -88)
    """
    require_device(device)
    for dtype in dtypes:
        for parameterization in PARAMETERIZATIONS:
            for form in FORMS:
                if form.only in (None, parameterization.label):
                    yield row(parameterization, form, FORMATS[dtype], device)


def row(parameterization: Parameterization, form: Form, dtype: Format, device: str = "cpu") -> Row:
    """One row: a search for the value, one for value and gradient, and sigma1 where they end."""
    ((scale,), (log_scale,)) = (find(f"zoo:{name}") for name in (parameterization.scale, parameterization.log_scale))
    loss = _loss(form, log_scale if form.of_log_scales else scale)

    def value_is_finite(p: Tensor) -> Tensor:
        with torch.no_grad():
            return loss(p.to(device)).isfinite().cpu()

    def gradient_is_finite(p: Tensor) -> Tensor:
        leaf = p.to(device).requires_grad_()
        value = loss(leaf)
        (slope,) = torch.autograd.grad(value, leaf, torch.ones_like(value))
        return (value.isfinite() & slope.isfinite()).cpu()

    with _one_thread():
        value, gradient = (_reach(u, scale, dtype, device) for u in (value_is_finite, gradient_is_finite))
    return Row(parameterization.label, form.label, dtype.name, device, value, gradient)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: for so few numbers several are slower, and many times so where the cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _loss(form: Form, spec: Spec) -> Callable[[Tensor], Tensor]:
    """The divergence as a function of p alone: equal means, and a second scale of 1."""

    def loss(p: Tensor) -> Tensor:
        zero, one = p.new_zeros(()), p.new_ones(())
        return form.function(zero, spec.function(p, **spec.constants), zero, zero if form.of_log_scales else one)

    return loss


def _reach(usable: Callable[[Tensor], Tensor], scale: Spec, form: Format, device: str) -> Reach:
    at = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    below, above = scale.function(at, **scale.constants).tolist()
    limit = limit_of(usable, form, direction=-1 if below < above else 1)
    if limit.last is None:
        return Reach(limit, None, None)
    at_last = _sigma(scale, limit.last, form, device)
    return Reach(limit, at_last, at_last if limit.step is None else _sigma(scale, limit.step, form, device))


def _sigma(scale: Spec, p: float, form: Format, device: str) -> Sigma | None:
    """sigma at p, which is a float of the format; None where nothing of it is left."""
    stored = scale.function(torch.tensor([p], dtype=form.dtype, device=device), **scale.constants).item()
    if stored == 0:
        return None
    ctx = MpSystem(SIGMA_BITS)
    true = ctx.to_string(scale.definition(ctx, ctx.number(p), **scale.constants), SIGMA_DIGITS)
    return Sigma(f"{Decimal(true):.{SIGMA_DIGITS - 1}e}", stored)
