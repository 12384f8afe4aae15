"""Facts about Normal divergences and densities that hold whatever the implementation."""

import math

import flint
import mpmath
import pytest
import scipy.stats
import torch
from flint import arb
from hypothesis import given
from hypothesis import strategies as st
from stabkit.reference import gaussian as definition

from stabkit.arithmetic.evaluate import evaluate
from stabkit.floats import DTYPES, FORMATS
from stabkit.losses import gaussian

reals = st.floats(-30, 30)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def doubles(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(v, dtype=torch.float64) for v in values]


@every_dtype
@given(values=st.tuples(reals, reals, reals, reals))
def test_divergence_is_never_negative(dtype: torch.dtype, values: tuple[float, ...]) -> None:
    assert gaussian.kl_of_log_scales(*(torch.tensor(v).to(dtype) for v in values)) >= 0


@every_dtype
@given(mean=reals, log_scale=st.floats(-300, 300))
def test_divergence_from_itself_is_exactly_zero(dtype: torch.dtype, mean: float, log_scale: float) -> None:
    m, s = torch.tensor(mean).to(dtype), torch.tensor(log_scale).to(dtype)
    assert gaussian.kl_of_log_scales(m, s, m, s).item() == 0


def test_divergence_agrees_with_numerical_integration() -> None:
    mean1, scale1, mean2, scale2 = 0.3, 0.7, -1.1, 2.0
    with mpmath.workdps(30):
        integral = mpmath.quad(
            lambda z: (
                mpmath.npdf(z, mean1, scale1)
                * mpmath.log(mpmath.npdf(z, mean1, scale1) / mpmath.npdf(z, mean2, scale2))
            ),
            [-mpmath.inf, mean1, mpmath.inf],
        )
    value = gaussian.kl_of_log_scales(*doubles(mean1, math.log(scale1), mean2, math.log(scale2)))
    assert float(value) == pytest.approx(float(integral), rel=1e-14)


@given(values=st.tuples(reals, st.floats(-5, 5), reals, st.floats(-5, 5)))
def test_all_five_forms_agree_at_everyday_inputs(values: tuple[float, ...]) -> None:
    mean1, log1, mean2, log2 = doubles(*values)
    forms = [
        gaussian.kl_of_log_scales(mean1, log1, mean2, log2),
        gaussian.kl_log_difference(mean1, log1, mean2, log2),
        gaussian.kl_exp(mean1, log1, mean2, log2),
        gaussian.kl_textbook(mean1, log1.exp(), mean2, log2.exp()),
        gaussian.kl_squared_ratio(mean1, log1.exp(), mean2, log2.exp()),
    ]
    assert all(float(f) == pytest.approx(float(forms[0]), rel=1e-11, abs=1e-11) for f in forms)


@given(x=reals, mean=reals, log_scale=st.floats(-4, 4))
def test_densities_agree_with_scipy(x: float, mean: float, log_scale: float) -> None:
    scale = math.exp(log_scale)
    expected = -scipy.stats.norm.logpdf(x, mean, scale)
    assert float(gaussian.nll(*doubles(x, mean, scale))) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert float(gaussian.nll_of_log_scale(*doubles(x, mean, log_scale))) == pytest.approx(
        expected, rel=1e-11, abs=1e-11
    )


def test_definitions_of_the_divergence_agree_with_each_other() -> None:
    double = FORMATS["float64"]
    names = ("mean1", "mean2")
    on_scales = {"mean1": 0.5, "scale1": 0.25, "mean2": -2.0, "scale2": 4.0}
    with flint.ctx.workprec(400):
        logs = {"log_scale1": arb(0.25).log().mid(), "log_scale2": arb(4).log().mid()}
        first = evaluate(definition.kl, on_scales, double, names)
        second = evaluate(definition.kl_of_log_scales, {"mean1": 0.5, "mean2": -2.0, **logs}, double, names)
    assert first.values[0].as_double() == pytest.approx(second.values[0].as_double(), rel=1e-15)
    assert first.gradient["mean1"][0].as_double() == pytest.approx(second.gradient["mean1"][0].as_double(), rel=1e-15)


def test_squared_ratio_form_is_infinite_where_the_paper_says() -> None:
    one, zero = torch.ones(()), torch.zeros(())
    # dehaene2021, Table 1: -51 is the last usable step of p in float32
    assert gaussian.kl_squared_ratio(zero, torch.exp(torch.tensor(-51.0)), zero, one).isfinite()
    assert gaussian.kl_squared_ratio(zero, torch.exp(torch.tensor(-52.0)), zero, one).isinf()


@every_dtype
def test_log_scale_forms_broadcast_and_keep_the_dtype(dtype: torch.dtype) -> None:
    mean, log_scale = torch.zeros(3, 1, dtype=dtype), torch.zeros(4, dtype=dtype)
    assert gaussian.kl_of_log_scales(mean, log_scale, mean, log_scale).shape == (3, 4)
    assert gaussian.nll(mean, mean, log_scale + 1).dtype is dtype
    assert gaussian.nll_of_log_scale(mean, mean, log_scale).dtype is dtype


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_closed_gradients_pass_gradcheck_twice(scale: float) -> None:
    inputs = [t.requires_grad_() for t in doubles(0.3, 0.2, -0.4, 0.9)]
    assert torch.autograd.gradcheck(gaussian.kl_of_log_scales, inputs)
    assert torch.autograd.gradgradcheck(gaussian.kl_of_log_scales, inputs)
    three = [t.requires_grad_() for t in doubles(0.3 * scale, -0.1 * scale, scale)]
    assert torch.autograd.gradcheck(gaussian.nll, three, eps=1e-6 * scale)
    assert torch.autograd.gradgradcheck(gaussian.nll, three, eps=1e-6 * scale)
    assert torch.autograd.gradcheck(gaussian.nll_of_log_scale, inputs[:3])
    assert torch.autograd.gradgradcheck(gaussian.nll_of_log_scale, inputs[:3])


def test_second_derivatives_survive_where_the_means_are_equal() -> None:
    one, zero = doubles(1.0, 0.0)
    hessian = torch.autograd.functional.hessian
    rows = hessian(gaussian.nll_of_log_scale, (one, one, zero))
    assert [[float(x) for x in row] for row in rows] == [[1, -1, 0], [-1, 1, 0], [0, 0, 0]]
    rows = hessian(gaussian.kl_of_log_scales, (one, zero, one, zero))
    assert [[float(x) for x in row] for row in rows] == [[1, 0, -1, 0], [0, 2, 0, -2], [-1, 0, 1, 0], [0, -2, 0, 2]]


def test_mixed_dtypes_are_computed_in_the_widest() -> None:
    single, brain, half = (torch.tensor(0.001, dtype=d) for d in (torch.float32, torch.bfloat16, torch.float16))
    value = gaussian.nll_of_log_scale(torch.tensor(1.0), brain, torch.zeros((), dtype=torch.bfloat16))
    expected = -scipy.stats.norm.logpdf(1.0, float(brain), 1.0)
    assert value.dtype is torch.float32
    assert float(value) == pytest.approx(expected, rel=1e-6)
    assert gaussian.kl_of_log_scales(single, half, single, torch.tensor(0)).dtype is torch.float32


def test_a_difference_of_log_scales_that_overflows_gives_infinity() -> None:
    zero, huge = torch.tensor(0.0), torch.tensor(3.4e38)
    assert gaussian.kl_of_log_scales(zero, huge, zero, -huge).item() == math.inf
    assert gaussian.kl_of_log_scales(zero, -huge, zero, huge).item() == math.inf


def test_gradient_survives_where_the_squared_distance_would_overflow() -> None:
    x, mean, scale = (torch.tensor(v, requires_grad=True) for v in (6e38 / 2, 0.0, 1e15))
    loss = gaussian.nll(x, mean, scale)
    (slope,) = torch.autograd.grad(loss, [scale])
    assert slope.item() == pytest.approx(-(3e38**2) / 1e15**3, rel=1e-5)
