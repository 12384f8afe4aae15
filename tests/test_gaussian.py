"""Facts about Normal divergences and densities that hold whatever the implementation."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import flint
import mpmath
import pytest
import scipy.stats
import torch
from flint import arb
from hypothesis import given
from hypothesis import strategies as st
from stabkit.reference import gaussian as definition
from torch.distributions import Normal

from stabkit.arithmetic.evaluate import evaluate
from stabkit.arithmetic.mp import MpSystem
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
    scale = s.exp().clamp(torch.finfo(dtype).smallest_normal, torch.finfo(dtype).max)
    assert gaussian.kl_of_log_scales(m, s, m, s).item() == 0
    assert gaussian.kl(m, scale, m, scale).item() == 0


@every_dtype
@given(values=st.tuples(reals, st.floats(1e-30, 1e30), reals, st.floats(1e-30, 1e30)))
def test_divergence_on_scales_is_never_negative(dtype: torch.dtype, values: tuple[float, ...]) -> None:
    tiny, huge = torch.finfo(dtype).smallest_normal, torch.finfo(dtype).max
    mean1, scale1, mean2, scale2 = (torch.tensor(v).to(dtype) for v in values)
    assert gaussian.kl(mean1, scale1.clamp(tiny, huge), mean2, scale2.clamp(tiny, huge)) >= 0


def test_divergence_of_neighbouring_scales_keeps_its_digits() -> None:
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    scale = torch.nextafter(one, torch.tensor(2.0))
    assert gaussian.kl(zero, scale, zero, one).item() == pytest.approx(2.0**-46, rel=1e-6)
    assert gaussian.kl_textbook(zero, scale, zero, one).item() == 0


def log_density(z: Any, mean: float, scale: float) -> Any:
    """log N(z; mean, scale) in mpmath, written apart from the definitions."""
    return -(((z - mpmath.mpf(mean)) / mpmath.mpf(scale)) ** 2 + mpmath.log(2 * mpmath.pi * mpmath.mpf(scale) ** 2)) / 2


@pytest.mark.parametrize(
    ("mean1", "scale1", "mean2", "scale2"), [(0.3, 0.7, -1.1, 2.0), (0.0, 1.0, 0.0, 1.0625), (5.0, 3.0, -1.0, 0.5)]
)
def test_divergence_is_the_integral_of_the_log_ratio_of_densities(
    mean1: float, scale1: float, mean2: float, scale2: float
) -> None:
    with mpmath.workdps(50):
        integral = mpmath.quad(
            lambda z: (
                mpmath.exp(log_density(z, mean1, scale1))
                * (log_density(z, mean1, scale1) - log_density(z, mean2, scale2))
            ),
            [-mpmath.inf, mean1 - 4 * scale1, mean1, mean1 + 4 * scale1, mpmath.inf],
        )
    inputs = doubles(mean1, scale1, mean2, scale2)
    logs = doubles(mean1, math.log(scale1), mean2, math.log(scale2))
    residual = doubles(mean1 - mean2, math.log(scale1 / scale2), math.log(scale2))
    expected = pytest.approx(float(integral), rel=1e-14, abs=1e-15)
    assert float(gaussian.kl(*inputs)) == expected
    assert float(gaussian.kl_of_log_scales(*logs)) == expected
    assert float(gaussian.residual_kl(*residual)) == expected


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (-3.0, 0.25), (100.0, 40.0)])
def test_densities_integrate_to_one(mean: float, scale: float) -> None:
    ctx = MpSystem(180)
    forms = [
        lambda x: definition.nll(ctx, x, ctx.number(mean), ctx.number(scale)),
        lambda x: definition.nll_of_log_scale(ctx, x, ctx.number(mean), ctx.log(ctx.number(scale))),
        lambda x: definition.nll_of_variance(ctx, x, ctx.number(mean), ctx.number(scale) ** 2),
    ]
    with mpmath.workdps(50):
        bounds = [-mpmath.inf, mean - 4 * scale, mean, mean + 4 * scale, mpmath.inf]
        for nll in forms:
            assert abs(mpmath.quad(lambda x, nll=nll: mpmath.exp(-nll(ctx.number(x))), bounds) - 1) < 1e-40


@given(values=st.tuples(reals, st.floats(-20, 20), reals, st.floats(-20, 20)))
def test_divergence_agrees_with_torch_distributions(values: tuple[float, ...]) -> None:
    mean1, log1, mean2, log2 = doubles(*values)
    p, q = Normal(mean1, log1.exp()), Normal(mean2, log2.exp())
    expected = torch.distributions.kl_divergence(p, q)
    assert float(gaussian.kl_of_normals(p, q)) == pytest.approx(float(expected), rel=1e-11, abs=1e-11)


@given(values=st.tuples(reals, st.floats(-5, 5), reals, st.floats(-5, 5)))
def test_all_forms_agree_at_everyday_inputs(values: tuple[float, ...]) -> None:
    mean1, log1, mean2, log2 = doubles(*values)
    forms = [
        gaussian.kl_of_log_scales(mean1, log1, mean2, log2),
        gaussian.kl_log_difference(mean1, log1, mean2, log2),
        gaussian.kl_exp(mean1, log1, mean2, log2),
        gaussian.kl(mean1, log1.exp(), mean2, log2.exp()),
        gaussian.residual_kl(mean1 - mean2, log1 - log2, log2),
        gaussian.residual_kl_as_printed(mean1 - mean2, (log1 - log2).exp(), log2.exp()),
        gaussian.kl_textbook(mean1, log1.exp(), mean2, log2.exp()),
        gaussian.kl_difference_of_logs(mean1, log1.exp(), mean2, log2.exp()),
        gaussian.kl_squared_ratio(mean1, log1.exp(), mean2, log2.exp()),
    ]
    assert all(float(f) == pytest.approx(float(forms[0]), rel=1e-11, abs=1e-11) for f in forms)


@given(x=reals, mean=reals, log_scale=st.floats(-4, 4))
def test_densities_agree_with_scipy(x: float, mean: float, log_scale: float) -> None:
    scale = math.exp(log_scale)
    expected = -scipy.stats.norm.logpdf(x, mean, scale)
    assert float(gaussian.nll(*doubles(x, mean, scale))) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert float(gaussian.nll_of_variance(*doubles(x, mean, scale**2))) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert float(gaussian.nll_of_log_scale(*doubles(x, mean, log_scale))) == pytest.approx(
        expected, rel=1e-11, abs=1e-11
    )


@pytest.mark.parametrize(
    ("values", "definitions"),
    [
        ((0.5, 0.25, -2.0, 4.0), (definition.kl, definition.kl_of_log_scales)),
        ((2.5, 0.0625, 4.0), (definition.residual_kl, definition.residual_kl_of_log_scales)),
        ((0.5, -2.0, 4.0), (definition.nll, definition.nll_of_log_scale)),
    ],
)
def test_definitions_on_scales_and_on_their_logarithms_agree(
    values: tuple[float, ...], definitions: tuple[Callable[..., Any], Callable[..., Any]]
) -> None:
    on_scales, on_logs = definitions
    names = list(inspect.signature(on_scales).parameters)[1:]
    with flint.ctx.workprec(400):
        logs = {f"log_{n}": arb(x).log().mid() for n, x in zip(names, values, strict=True) if "scale" in n}
        logs = {n.replace("log_delta", "delta_log").replace("log_prior", "prior_log"): x for n, x in logs.items()}
        plain = {n: x for n, x in zip(names, values, strict=True) if "scale" not in n}
        first = evaluate(on_scales, dict(zip(names, values, strict=True)), FORMATS["float64"], list(plain))
        second = evaluate(on_logs, {**plain, **logs}, FORMATS["float64"], list(plain))
    assert first.values[0].as_double() == pytest.approx(second.values[0].as_double(), rel=1e-15)
    for name in plain:
        slopes = first.gradient[name][0].as_double(), second.gradient[name][0].as_double()
        assert slopes[0] == pytest.approx(slopes[1], rel=1e-15)


def test_density_on_the_variance_is_that_on_the_scale_at_its_square() -> None:
    ctx = MpSystem(400)
    x, mean, scale = map(ctx.number, (0.5, -2.0, 4.0))
    assert abs(definition.nll_of_variance(ctx, x, mean, scale**2) - definition.nll(ctx, x, mean, scale)) < 1e-100


def test_residual_divergence_is_the_divergence_of_the_residual_normal_from_its_prior() -> None:
    ctx = MpSystem(400)
    mean, scale, delta_mean, delta_scale = map(ctx.number, (-3.0, 0.5, 0.75, 2.0))
    whole = definition.kl(ctx, mean + delta_mean, scale * delta_scale, mean, scale)
    assert abs(definition.residual_kl(ctx, delta_mean, delta_scale, scale) - whole) < 1e-100


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


def test_divergence_is_finite_at_every_scale_that_a_float_can_hold() -> None:
    smallest, largest, zero = torch.tensor(2.0**-149), torch.tensor(3e38), torch.tensor(0.0)
    assert gaussian.kl(zero, smallest, zero, largest).item() == pytest.approx(149 * math.log(2) + math.log(3e38) - 0.5)
    assert gaussian.kl(zero, smallest, zero, smallest).item() == 0
    assert gaussian.kl(zero, largest, zero, smallest).item() == math.inf  # the truth is beyond the largest float
    assert gaussian.kl_difference_of_logs(zero, smallest, zero, smallest).isnan()
    assert gaussian.residual_kl_as_printed(zero, smallest, largest).isinf()


def test_an_infinitely_distant_mean_costs_infinitely_much() -> None:
    one, zero, infinite = torch.tensor(1.0), torch.tensor(0.0), torch.tensor(math.inf)
    assert gaussian.kl(infinite, one, zero, one).item() == math.inf
    assert gaussian.nll(infinite, zero, one).item() == math.inf
    assert gaussian.nll_of_variance(infinite, zero, one).item() == math.inf
    assert gaussian.nll_of_log_scale(infinite, zero, zero).item() == math.inf
    assert gaussian.nll_of_log_scale(one, zero, infinite).item() == math.inf


def test_density_on_the_variance_has_no_clamp() -> None:
    variance = torch.tensor(1e-12, requires_grad=True)
    zero = torch.tensor(0.0)
    (slope,) = torch.autograd.grad(gaussian.nll_of_variance(zero, zero, variance), [variance])
    assert slope.item() == pytest.approx(0.5e12)
    clamped = torch.nn.functional.gaussian_nll_loss(zero, zero, variance, full=True)
    assert clamped.item() > gaussian.nll_of_variance(zero, zero, variance).item() + 6


def test_free_bits_stop_the_gradient_below_the_floor_and_pass_it_at_and_above() -> None:
    kl = torch.tensor([0.0, 0.25, 0.5, 3.0], requires_grad=True)
    loss = gaussian.free_bits(kl, floor=0.5)
    (slope,) = torch.autograd.grad(loss.sum(), [kl])
    assert loss.tolist() == [0.5, 0.5, 0.5, 3.0]
    assert slope.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("dtype", "inputs"),
    [
        (torch.float32, (-2.39431993301812e-38, 1.401298464324817e-45, 1.401298464324817e-45, 1.1754937903029018e-38)),
        (torch.float64, (5.11900552113814e-309, 5.11830582247e-312, 0.0, 5.1183058224714e-309)),
    ],
)
def test_gradient_by_the_scale_is_finite_where_its_summands_would_not_be(
    dtype: torch.dtype, inputs: tuple[float, ...]
) -> None:
    leaves = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in inputs]
    *_, slope = torch.autograd.grad(gaussian.kl(*leaves), leaves)
    assert slope.isfinite()
    assert slope < -1e38
