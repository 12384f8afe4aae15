"""Facts about scale parameterizations: what the papers say of them, their bounds, and their faulty versions."""

import math
from collections.abc import Callable
from functools import partial

import mpmath
import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st

from stabkit import parameterizations as par
from stabkit.floats import DTYPES
from stabkit.losses import gaussian

LOG_8 = torch.tensor(8.0, dtype=torch.float64).log()
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@given(st.floats(-80, 80))
def test_logarithm_of_the_scale_is_the_log_scale(p: float) -> None:
    x = torch.tensor(p, dtype=torch.float64)
    pairs = [
        (par.exp_scale(x), par.exp_log_scale(x)),
        (par.exp_lin_scale(x), par.exp_lin_log_scale(x)),
        (par.up_bounded_scale(x, 256.0), par.up_bounded_log_scale(x, 256.0)),
        (par.down_bounded_scale(x, 0.75), par.down_bounded_log_scale(x, 0.75)),
        (par.bounded_scale(x, 0.25, 3.0), par.bounded_log_scale(x, 0.25, 3.0)),
        (par.constant_scale(x), par.constant_log_scale(x)),
        (par.global_scale(x), par.global_log_scale(x)),
        (par.residual_scale(x, x.new_tensor(0.5)), par.residual_log_scale(x, x.new_tensor(0.5).log())),
        (par.floor_of_global_scale(x.exp(), x.new_tensor(8.0), 4.0), par.floor_of_global_log_scale(x, LOG_8, 4.0)),
        (par.scaled_tanh_scale(x), par.scaled_tanh_log_scale(x)),
        (par.scaled_sigmoid_scale(x), par.scaled_sigmoid_log_scale(x)),
        (par.softplus_inverse_scale(x), par.softplus_inverse_log_scale(x)),
    ]
    assert all(float(s.log()) == pytest.approx(float(log), rel=1e-13, abs=1e-13) for s, log in pairs)


def test_up_bounded_stays_below_its_bound_and_reaches_it() -> None:
    p = torch.linspace(-50, 50, 1001, dtype=torch.float64)
    scale = par.up_bounded_scale(p, 256.0)
    assert bool((scale > 0).all())
    assert bool((scale <= 256).all())
    assert float(scale[-1]) == pytest.approx(256)


@every_dtype
def test_repaired_exp_lin_is_finite_with_its_gradient_over_the_whole_range(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    p = torch.tensor([-largest, -100.0, -1.0, 0.0, 1.0, 100.0, largest], dtype=dtype, requires_grad=True)
    for form in (par.exp_lin_scale, par.exp_lin_log_scale):
        value = form(p)
        (slope,) = torch.autograd.grad(value.sum(), [p])
        assert bool(value.isfinite().all())
        assert bool(slope.isfinite().all())


def test_unclipped_exp_lin_is_nan_and_the_printed_one_is_off_by_one() -> None:
    assert par.exp_lin_scale_unclipped(torch.tensor(1000.0)).isnan()
    assert par.exp_lin_log_scale_unclipped(torch.tensor(-2.0)).isnan()
    assert par.exp_lin_scale_as_printed(torch.tensor(1.0)).item() == 3.0
    assert par.exp_lin_scale(torch.tensor(1.0)).item() == 2.0


def test_eq_12_as_written_cancels_where_ours_does_not() -> None:
    p = torch.tensor(12.0)
    truth = float(mpmath.log(2 - mpmath.exp(-12)) - mpmath.log(2))
    assert par.up_bounded_log_scale(p).item() == pytest.approx(truth, rel=1e-6)
    assert par.up_bounded_log_scale_as_written(p).item() == pytest.approx(-3.0994e-6, rel=1e-3)


@given(p=st.floats(1e-3, 30), omega=st.sampled_from([1.0, 1.5, 2.0, 2.5, 256.0]))
def test_log_scale_is_accurate_for_bounds_around_two(p: float, omega: float) -> None:
    with mpmath.workdps(40):
        truth = float(mpmath.log(2 - mpmath.exp(-mpmath.mpf(p))) + mpmath.log(mpmath.mpf(omega) / 2))
    got = float(par.up_bounded_log_scale(torch.tensor(p, dtype=torch.float64), omega))
    assert math.isclose(got, truth, rel_tol=1e-14, abs_tol=1e-15)


@every_dtype
@pytest.mark.parametrize("end", ["largest", "infinite"])
@pytest.mark.parametrize(
    ("scale", "low", "high"),
    [
        (lambda p: par.down_bounded_scale(p, 0.25), 0.25, math.inf),
        (lambda p: par.bounded_scale(p, 0.25, 3.0), 0.25, 3.0),
        (lambda p: par.scaled_tanh_scale(p, 2.0), math.exp(-2.0), math.exp(2.0)),
        (lambda p: par.scaled_sigmoid_scale(p, 2.0), math.exp(-2.0), 1.0),
        (par.softplus_inverse_scale, 0.0, 1.0),
        (par.constant_scale, 1.0, 1.0),
    ],
)
def test_bounded_scales_reach_their_bounds_and_never_leave_them(
    dtype: torch.dtype, end: str, scale: Callable[[torch.Tensor], torch.Tensor], low: float, high: float
) -> None:
    largest = torch.finfo(dtype).max if end == "largest" else math.inf
    p = torch.tensor([-largest, *torch.linspace(-20, 20, 101).tolist(), largest], dtype=dtype, requires_grad=True)
    value = scale(p)
    (slope,) = torch.autograd.grad(value.sum(), [p])
    unit = torch.finfo(dtype).eps
    value = value.detach()
    assert slope[0] == 0
    assert slope[-1] == (0 if high < math.inf else math.inf)
    ends = sorted(float(value[i]) for i in (0, -1))
    assert ends == pytest.approx([low, high], rel=2 * unit, abs=0)
    inner = value[1:-1].double()
    assert bool(((inner >= low * (1 - 2 * unit)) & (inner <= high * (1 + 2 * unit))).all())


@given(st.floats(-700, 700))
def test_squashed_forms_agree_with_scipy(p: float) -> None:
    x, close = torch.tensor(p, dtype=torch.float64), partial(pytest.approx, rel=1e-12, abs=1e-300)
    assert float(par.softplus_inverse_scale(x)) == close(scipy.special.expit(-p))
    assert float(par.softplus_inverse_log_scale(x)) == close(scipy.special.log_expit(-p))
    assert float(par.scaled_sigmoid_log_scale(x, 7.0)) == close(-7 * scipy.special.expit(p))
    assert float(par.scaled_tanh_log_scale(x, 5.0)) == close(5 * np.tanh(p))
    assert float(par.bounded_scale(x, 0.125, 2.0)) == close(0.125 + 1.875 * scipy.special.expit(p))
    assert float(par.down_bounded_log_scale(x, 0.125)) == pytest.approx(
        np.logaddexp(math.log(0.125), p), rel=1e-12, abs=1e-15
    )


@given(p=st.floats(-40, 40), alpha=st.floats(0.001, 4.0), width=st.floats(0.01, 300))
def test_log_scales_are_accurate_whatever_the_bounds(p: float, alpha: float, width: float) -> None:
    omega = alpha + width
    with mpmath.workdps(60):
        sigmoid = 1 / (1 + mpmath.exp(-mpmath.mpf(p)))
        bounded = float(mpmath.log(alpha + (mpmath.mpf(omega) - alpha) * sigmoid))
        above = float(mpmath.log(alpha + mpmath.exp(mpmath.mpf(p))))
    x = torch.tensor(p, dtype=torch.float64)
    tolerance = 4 * torch.finfo(torch.float64).eps
    assert math.isclose(float(par.bounded_log_scale(x, alpha, omega)), bounded, rel_tol=4e-15, abs_tol=tolerance)
    assert math.isclose(float(par.down_bounded_log_scale(x, alpha)), above, rel_tol=4e-15, abs_tol=tolerance)


def test_slopes_do_not_vanish_before_the_truth_does() -> None:
    p = torch.tensor(-720.0, dtype=torch.float64, requires_grad=True)
    expected = pytest.approx(math.exp(-720.0), rel=1e-3)
    for form, sign in ((par.scaled_sigmoid_log_scale, -7), (par.softplus_inverse_log_scale, -1)):
        (slope,) = torch.autograd.grad(form(p), [p])
        assert slope.item() / sign == expected
    assert torch.sigmoid(p).item() == 0


def test_a_global_scale_is_one_number_at_all_positions_and_collects_their_gradients() -> None:
    p = torch.tensor(-200.0, requires_grad=True)
    shared = par.global_log_scale(p, (2, 3))
    (slope,) = torch.autograd.grad(shared.sum(), [p])
    assert torch.equal(shared, torch.full((2, 3), -200.0))
    assert slope.item() == 6
    assert par.global_log_scale_as_published(p, (2, 3)).isinf().all()
    assert par.global_scale(torch.zeros(5, 1), (4,)).shape == (5, 1, 4)


def test_a_constant_scale_has_a_zero_gradient_even_at_infinity() -> None:
    p = torch.tensor([-math.inf, 0.0, math.inf], requires_grad=True)
    (slope,) = torch.autograd.grad(par.constant_scale(p).sum() + par.constant_log_scale(p).sum(), [p])
    assert slope.tolist() == [0, 0, 0]


def test_a_residual_of_zero_is_the_prior() -> None:
    prior = torch.tensor([1e-45, 1.0, 3e38])
    assert torch.equal(par.residual_scale(torch.zeros(3), prior), prior)
    assert torch.equal(par.residual_mean(torch.zeros(3), prior), prior)


def test_a_residual_scale_is_in_range_although_its_factors_are_not() -> None:
    delta, prior = torch.tensor([180.0, -180.0]), torch.tensor([2.0**-149, 3e38])
    expected = [float(mpmath.mpf(2) ** -149 * mpmath.exp(180)), float(3e38 * mpmath.exp(-180))]
    assert par.residual_scale(delta, prior).tolist() == pytest.approx(expected, rel=1e-6)


def test_the_floor_of_the_global_scale_passes_the_gradient_to_the_one_that_is_larger() -> None:
    scale = torch.tensor([0.01, 1.0], requires_grad=True)
    whole = torch.tensor(2.0, requires_grad=True)
    floored = par.floor_of_global_scale(scale, whole, alpha=10.0)
    slopes = torch.autograd.grad(floored.sum(), [scale, whole])
    assert floored.tolist() == pytest.approx([0.2, 1.0])
    assert slopes[0].tolist() == [0, 1]
    assert slopes[1].item() == pytest.approx(0.1)


@given(errors=st.lists(st.floats(-1e3, 1e3).filter(lambda e: abs(e) > 1e-3), min_size=1, max_size=6))
def test_the_optimal_global_scale_minimizes_the_density_over_all_scales(errors: list[float]) -> None:
    x = torch.tensor(errors, dtype=torch.float64)
    log_scale = par.optimal_global_log_scale(x, torch.zeros_like(x)).requires_grad_()
    loss = gaussian.nll_of_log_scale(x, torch.zeros_like(x), log_scale, reduction="mean")
    (slope,) = torch.autograd.grad(loss, [log_scale])
    assert slope.item() == pytest.approx(0, abs=1e-12)
    assert float(par.optimal_global_scale(x, torch.zeros_like(x))) == pytest.approx(float(x.square().mean().sqrt()))


@every_dtype
def test_the_optimal_global_scale_of_errors_whose_squares_leave_the_range(dtype: torch.dtype) -> None:
    form = torch.finfo(dtype)
    for size in (form.smallest_normal, form.max / 2):
        x = torch.tensor([size, -size], dtype=dtype)
        reconstruction = torch.zeros(2, dtype=dtype, requires_grad=True)
        value = par.optimal_global_scale(x, reconstruction)
        (slope,) = torch.autograd.grad(value, [reconstruction])
        assert value.item() == x[0].item()
        assert slope.tolist() == [-0.5, 0.5]
    twice = par.optimal_global_log_scale(torch.tensor([form.max], dtype=dtype), torch.tensor([-form.max], dtype=dtype))
    assert twice.item() == pytest.approx(math.log(form.max) + math.log(2), rel=form.eps)


def test_a_perfect_reconstruction_has_scale_zero_and_no_gradient() -> None:
    x = torch.tensor([[1.0, -2.0], [0.0, 0.0]])
    reconstruction = x.clone().requires_grad_()
    value, log_value = par.optimal_global_scale(x, reconstruction), par.optimal_global_log_scale(x, reconstruction)
    slopes = torch.autograd.grad(value.sum() + log_value.sum(), [reconstruction])
    assert value.tolist() == [0, 0]
    assert log_value.tolist() == [-math.inf, -math.inf]
    assert slopes[0].tolist() == [[0, 0], [0, 0]]
