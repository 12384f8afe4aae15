"""Facts about the float lattice, checked against NumPy, torch.finfo and exact arithmetic."""

import math

import flint
import mpmath
import numpy as np
import pytest
import torch
from flint import arb
from hypothesis import given
from hypothesis import strategies as st

from stabkit.floats import (
    DTYPES,
    FORMATS,
    Format,
    excess_bits,
    flushes_subnormals,
    format_of,
    from_ordinals,
    landmarks,
    nearest,
    neighbours,
    ordinals,
    shortest,
    thresholds,
    ulp,
    ulp_error,
)

every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
sixteen_bits = pytest.mark.parametrize("form", [FORMATS["float16"], FORMATS["bfloat16"]], ids=["float16", "bfloat16"])


def all_floats(form: Format) -> torch.Tensor:
    """Every bit pattern of a 16-bit format."""
    return torch.arange(-(2**15), 2**15).to(torch.int16).view(form.dtype)


@every_format
def test_limits_are_those_torch_states(form: Format) -> None:
    info = torch.finfo(form.dtype)
    assert form.largest == info.max
    assert form.smallest_normal == info.smallest_normal
    assert form.smallest_subnormal == info.smallest_normal * info.eps
    assert 2 * form.unit_roundoff == info.eps


@sixteen_bits
def test_ordinals_and_back_is_the_identity_on_every_bit_pattern(form: Format) -> None:
    bits = all_floats(form)
    assert torch.equal(from_ordinals(ordinals(bits), form).view(torch.int16), bits.view(torch.int16))


@sixteen_bits
def test_ordinals_are_consecutive_in_the_order_of_the_floats(form: Format) -> None:
    ordered = torch.cat([all_floats(form)]).double()
    finite = ordered[ordered.isfinite()]
    ranks, _ = ordinals(finite.to(form.dtype)).sort()
    assert torch.equal(ranks, torch.arange(int(ranks[0]), int(ranks[-1]) + 1))
    in_order = from_ordinals(ranks, form).double()
    assert bool((in_order[1:] >= in_order[:-1]).all())


@given(st.floats(allow_nan=False, width=32))
def test_neighbours_in_float32_are_those_of_numpy(x: float) -> None:
    value = torch.tensor([x], dtype=torch.float32)
    for steps, towards in ((1, np.inf), (-1, -np.inf)):
        expected = np.nextafter(np.float32(x), np.float32(towards))
        assert neighbours(value, steps).item() == expected


@given(st.floats(allow_nan=False))
def test_neighbours_in_float64_are_those_of_the_standard_library(x: float) -> None:
    value = torch.tensor([x], dtype=torch.float64)
    assert neighbours(value).item() == math.nextafter(x, math.inf)
    assert neighbours(value, -1).item() == math.nextafter(x, -math.inf)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_ulp_in_float64_is_that_of_the_standard_library(x: float) -> None:
    assert ulp(torch.tensor([x], dtype=torch.float64)).item() == math.ulp(x)


@every_format
def test_thresholds_are_the_last_floats_on_the_safe_side(form: Format) -> None:
    t = thresholds(form)
    mp = mpmath.MPContext()
    mp.prec = 300

    def step(x: float, steps: int) -> mpmath.mpf:
        return mp.mpf(neighbours(torch.tensor(x, dtype=form.dtype), steps).item())

    overflow = mp.mpf(form.largest) + mp.ldexp(1, form.emax - form.precision)
    vanish = mp.ldexp(1, form.emin - form.precision)
    assert mp.exp(t.exp_overflow) < overflow <= mp.exp(step(t.exp_overflow, 1))
    assert mp.exp(t.exp_underflow) > vanish >= mp.exp(step(t.exp_underflow, -1))
    assert mp.mpf(t.square_overflow) ** 2 < overflow <= step(t.square_overflow, 1) ** 2
    assert mp.mpf(t.square_underflow) ** 2 > vanish >= step(t.square_underflow, -1) ** 2
    assert mp.exp(t.exp_normal) >= mp.ldexp(1, form.emin) > mp.exp(step(t.exp_normal, -1))
    assert mp.mpf(t.square_normal) ** 2 >= mp.ldexp(1, form.emin) > step(t.square_normal, -1) ** 2
    assert t.log_least == torch.log(torch.tensor(form.smallest_subnormal, dtype=form.dtype)).item()
    assert 1 / mp.mpf(t.reciprocal_overflow) < overflow <= 1 / step(t.reciprocal_overflow, -1)


def test_thresholds_agree_with_the_paper_in_float32() -> None:
    # dehaene2021, Table 1: log 2**-150 = -103.97 is where exp vanishes, 2.6e-23 where a square does.
    t = thresholds(FORMATS["float32"])
    assert t.exp_underflow == pytest.approx(-103.972, abs=1e-3)
    assert t.square_underflow == pytest.approx(2.6e-23, rel=0.03)


@every_format
def test_torch_itself_crosses_the_thresholds(form: Format) -> None:
    t = thresholds(form)
    edge = torch.tensor([t.exp_overflow, t.exp_underflow], dtype=form.dtype)
    assert bool(torch.exp(edge).isfinite().all())
    assert bool((torch.exp(edge) > 0).all())
    assert torch.exp(neighbours(edge[:1])).isinf().item()
    assert torch.exp(neighbours(edge[1:], -1)).item() == 0


@every_format
def test_landmarks_are_floats_of_the_format_with_both_signs(form: Format) -> None:
    values = landmarks(form)
    assert all(nearest(v, form) == v for v in values)
    assert {-v for v in values} == set(values)
    assert {form.largest, form.smallest_subnormal, 1.0, 0.0} <= set(values)


@every_format
def test_subnormals_survive_on_the_cpu(form: Format) -> None:
    assert not flushes_subnormals(form)


@sixteen_bits
def test_shortest_decimals_round_trip_for_every_float(form: Format) -> None:
    floats = all_floats(form).double()
    for x in floats[floats.isfinite()][::97].tolist():
        assert nearest(shortest(x, form), form) == x
        assert len(repr(shortest(x, form))) <= len(repr(x))


def test_ulp_error_is_signed_fractional_and_against_the_unrounded_truth() -> None:
    single = FORMATS["float32"]
    third = arb(1) / 3
    got = torch.tensor(1 / 3, dtype=torch.float32).item()
    exact = (got - mpmath.mpf(1) / 3) / mpmath.mpf(2) ** -25
    assert ulp_error(got, third, single) == pytest.approx(float(exact), abs=1e-6)
    assert ulp_error(-got, -third, single) == -ulp_error(got, third, single)
    assert ulp_error(math.inf, arb(single.largest), single) == 1.0
    with pytest.raises(ValueError, match="NaN"):
        ulp_error(math.nan, third, single)


def test_an_ulp_just_below_a_power_of_two_is_the_small_one() -> None:
    with flint.ctx.workprec(200):
        assert ulp_error(1 - 2.0**-52, arb(1) - arb(2) ** -53, FORMATS["float64"]) == -1.0


def test_rounding_to_a_half_is_done_once() -> None:
    assert nearest(1 + 2.0**-11 + 2.0**-40, FORMATS["float16"]) == 1 + 2.0**-10
    assert nearest(1 + 2.0**-11, FORMATS["float16"]) == 1.0
    assert nearest(1 + 3 * 2.0**-11, FORMATS["float16"]) == 1 + 2.0**-9
    assert nearest(1e9, FORMATS["float16"]) == math.inf


def test_ulp_error_below_the_normal_range_counts_subnormal_steps() -> None:
    half = FORMATS["float16"]
    assert ulp_error(0.0, arb(3 * half.smallest_subnormal), half) == -3.0


def test_excess_bits_follow_the_definition() -> None:
    single = FORMATS["float32"]
    u = single.unit_roundoff
    with flint.ctx.workprec(200):
        one = arb(1)
        assert excess_bits(arb(8 * u), one, arb(0), single) == pytest.approx(3)
        assert excess_bits(arb(8 * u), one, arb(7), single) == pytest.approx(0)  # conditioning explains it
        assert excess_bits(arb(8 * u), one, arb(0), single, 7.0) == pytest.approx(0)  # so does the natural scale
        assert excess_bits(arb(4 * single.smallest_subnormal), arb(0), arb(0), single) == pytest.approx(2)
        assert excess_bits(arb(0), one, arb(0), single) == -math.inf


def test_the_four_dtypes_know_their_formats() -> None:
    assert [format_of(d).dtype for d in DTYPES] == list(DTYPES)
    with pytest.raises(KeyError):
        format_of(torch.int32)
