"""Facts about scale parameterizations from the paper, and the three versions of its ExpLin."""

import math

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stabkit import parameterizations as par
from stabkit.floats import DTYPES

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@given(st.floats(-80, 80))
def test_logarithm_of_the_scale_is_the_log_scale(p: float) -> None:
    x = torch.tensor(p, dtype=torch.float64)
    pairs = [
        (par.exp_scale(x), par.exp_log_scale(x)),
        (par.exp_lin_scale(x), par.exp_lin_log_scale(x)),
        (par.up_bounded_scale(x, 256.0), par.up_bounded_log_scale(x, 256.0)),
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
