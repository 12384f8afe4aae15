"""Intervals: every listed bound attacked, every operation against balls, and what must be left in doubt."""

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import flint
import pytest
import torch
from flint import arb, fmpz
from stabkit.suites.intervals import BINARY, FUNCTIONS, Attack, attack, attack_pairs, contradictions

from stabkit.arithmetic import VOCABULARY, Number, NumberSystem
from stabkit.arithmetic import kernels as kernels_module
from stabkit.arithmetic.batch import IntervalDuals, enclose
from stabkit.arithmetic.bounds import Bounds, Enclosures
from stabkit.arithmetic.evaluate import evaluate
from stabkit.arithmetic.interval import Diverged, Interval, of_floats, point
from stabkit.arithmetic.interval_system import IntervalSystem
from stabkit.arithmetic.kernels import LARGEST, LISTED, Build, Kernel, listed, this_build
from stabkit.floats import FORMATS
from stabkit.zoo import find

KERNELS = LISTED[Build("cpu", "2.13", "AVX512")]
SINGLE = FORMATS["float32"]
pytestmark = pytest.mark.skipif(listed() is None, reason="the kernels of this build of torch are not listed")


def doubles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def span(lo: float, hi: float) -> Interval:
    return Interval(doubles(lo), doubles(hi))


def ends(x: Interval) -> tuple[float, float]:
    return float(x.lo), float(x.hi)


@pytest.fixture
def system() -> IntervalSystem:
    found = listed()
    assert found is not None
    return IntervalSystem(found)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_withstand_an_attack(name: str) -> None:
    found = attack(name, dict(listed() or {}), 600)
    assert found.points >= 500
    assert found.is_repelled, found


@pytest.mark.parametrize("name", BINARY)
def test_operations_on_wide_and_narrow_intervals_contain_the_truth(name: str) -> None:
    found = attack_pairs(name, 600)
    assert found.points >= 300
    assert found.is_repelled, found


def test_an_attack_notices_a_kernel_that_is_further_off_than_stated() -> None:
    def off(x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x) * (1 + 2.0**-49)

    found = attack("exp", {"exp": replace(KERNELS["exp"], apply=off)}, 600)
    assert not found.is_repelled
    assert found.ulps > 7
    assert found.escaped > 0


def test_an_attack_that_counts_a_disagreement_is_not_repelled() -> None:
    assert Attack("f", disagreed=1).is_repelled is False


def test_the_system_has_the_whole_vocabulary(system: IntervalSystem) -> None:
    assert all(callable(getattr(system, name)) for name in VOCABULARY)
    lo, hi = ends(system.pi)
    with flint.ctx.workprec(200):
        assert arb(lo) < arb.pi() < arb(hi)


@pytest.mark.parametrize("name", ["sin", "cos", "digamma"])
def test_what_is_not_listed_is_in_doubt(system: IntervalSystem, name: str) -> None:
    result = getattr(system, name)(span(1.0, 1.0))
    assert result.doubt is not None
    assert bool(result.doubt.all())


@pytest.mark.parametrize("capability", ["AVX512", "AVX2", "DEFAULT"])
def test_every_listed_build_lists_the_same_functions(capability: str) -> None:
    assert set(LISTED[Build("cpu", "2.13", capability)]) == set(KERNELS)


def test_a_build_that_is_not_listed_encloses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels_module, "this_build", lambda: Build("cpu", "1.0", "ALTIVEC"))
    assert listed() is None
    assert enclose([lambda ctx, x: ctx.exp(x)], {"x": doubles(1.0)}) is None
    assert this_build().device == "cpu"


def test_nothing_is_enclosed_while_subnormals_are_flushed() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this machine cannot flush subnormals")
    try:
        assert listed() is None
    finally:
        torch.set_flush_denormal(False)
    assert listed() is not None


def test_exact_zeros_stay_exact() -> None:
    zero, tiny, wide = span(0, 0), span(5e-324, 5e-324), span(-math.inf, math.inf)
    assert ends(zero * wide) == ends(wide * zero) == (0, 0)
    assert ends(zero / span(2, 3)) == ends(zero + zero) == ends(zero**2) == (0, 0)
    assert ends(span(0.1, 0.1) - span(0.1, 0.1)) == (0, 0)
    assert ends(tiny * tiny) == (0, 5e-324)  # not zero, and not negative
    assert ends(tiny * -tiny) == (-5e-324, 0)


@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh", "erf", "sqrt", "expm1mx", "log1pmx"])
def test_functions_that_vanish_at_zero_do_so_exactly(system: IntervalSystem, name: str) -> None:
    assert ends(getattr(system, name)(span(0, 0))) == (0, 0)


def test_unbounded_ends_are_not_numbers() -> None:
    unbounded = span(1, math.inf)
    assert ends(span(0, 2) * unbounded) == (0, math.inf)
    assert ends(unbounded / unbounded) == (0, math.inf)
    assert ends(unbounded - unbounded) == (-math.inf, math.inf)
    lo, hi = ends(span(1e308, 1e308) * 10)
    assert (lo, hi) == (LARGEST, math.inf)


def test_a_reciprocal_through_zero_is_in_doubt() -> None:
    for through in (span(-1, 1), span(0, 1), span(-1, 0), span(0, 0)):
        assert (1 / through).doubt is not None
    assert ends(1 / span(2, 4)) == (math.nextafter(0.25, 0), math.nextafter(0.5, 1))


@pytest.mark.parametrize(("name", "x"), [("log", 0.0), ("log", -1.0), ("log1p", -1.0), ("sqrt", -1.0), ("lgamma", 0.0)])
def test_operands_outside_a_domain_are_in_doubt(system: IntervalSystem, name: str, x: float) -> None:
    result = getattr(system, name)(Interval(doubles(x, 1.0), doubles(x, 1.5)))
    assert result.doubt is not None
    assert result.doubt.tolist() == [True, False]


def test_inputs_that_are_not_finite_are_in_doubt_and_stay_so() -> None:
    x = of_floats(doubles(math.nan, math.inf, 1.0))
    for result in (x + 1, x * 0, -x, 2 - x, x**3, abs_of(x)):
        assert result.doubt is not None
        assert result.doubt.tolist() == [True, True, False]


def abs_of(x: Interval) -> Interval:
    return IntervalSystem.absolute(x)


def test_beyond_the_range_of_a_kernel_its_floor_and_ceiling_hold(system: IntervalSystem) -> None:
    assert ends(system.exp(span(-1e300, -1e300)))[0] == 0
    assert ends(system.exp(span(-1e300, -1e300)))[1] < 1e-300
    assert ends(system.exp(span(1e300, 1e300)))[1] == math.inf
    assert ends(system.exp(span(1e300, 1e300)))[0] > 1e307
    assert ends(system.erfc(span(1e10, 1e10)))[0] == 0
    assert ends(system.lgamma(span(1, 3)))[0] < -0.121486


def test_even_powers_of_intervals_around_zero_are_not_negative() -> None:
    assert ends(span(-2, 3) ** 2) == (0, math.nextafter(9, 10))
    assert ends(span(-2, 1) ** 4)[0] == 0
    lo, hi = ends(span(2, 2) ** -2)
    assert lo < 0.25 < hi


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq])
def test_comparisons_answer_for_all_or_part(compare: Callable[[Any, Any], bool]) -> None:
    assert compare(point(doubles(1.0, 2.0)), 3.0) is compare(1.0, 3.0)
    assert compare(point(doubles(5.0, 4.0)), 3.0) is compare(5.0, 3.0)
    with pytest.raises(Diverged) as parting:
        compare(Interval(doubles(1.0, 5.0, 2.5), doubles(1.0, 5.0, 3.5)), 3.0)
    assert parting.value.holds.tolist() == [compare(1.0, 3.0), compare(5.0, 3.0), False]
    assert not (parting.value.holds | parting.value.fails)[2]


def piecewise(ctx: NumberSystem, x: Number, k: int) -> Number:
    if x > 1:
        return ctx.exp(x) if x > 2 else x * k
    return ctx.maximum(x, -x)


def test_branches_run_apart_and_come_together_again() -> None:
    x, k = doubles(-3.0, 0.0, 0.5, 1.0, 1.5, 3.0, math.nan), torch.tensor([1, 1, 1, 2, 2, 3, 1])
    found = enclose([piecewise], {"x": x, "k": k}, ["x"])
    assert found is not None
    middle = (found.values.lo + found.values.hi)[:, 0] / 2
    assert middle[:6].tolist() == pytest.approx([3, 0, 0.5, 1, 3, math.exp(3)], rel=1e-15)
    assert middle[6].isnan()
    slopes = found.gradient["x"].lo[:, 0].tolist()
    assert slopes[0] == -1
    assert math.isnan(slopes[1])  # a tie: balls look at both sides
    assert math.isnan(slopes[3])  # where a branch begins, likewise
    assert (slopes[2], slopes[4]) == (1, 2)


def test_vectors_reach_the_definition_as_lists() -> None:
    def total(ctx: NumberSystem, x: list[Number]) -> Number:
        return sum((ctx.exp(v) for v in x), start=ctx.number(0))

    x = doubles(0.0, 1.0, 2.0, 3.0).reshape(2, 2)
    found = enclose([total], {"x": x}, ["x"])
    assert found is not None
    assert found.values.hi[:, 0].tolist() == pytest.approx(x.exp().sum(1).tolist(), rel=1e-14)
    assert found.gradient["x"].lo.flatten().tolist() == pytest.approx(x.exp().flatten().tolist(), rel=1e-14)


def test_definitions_are_intersected_and_a_contradiction_leaves_nothing() -> None:
    narrow, wide, other = (Bounds(doubles(a)[None], doubles(b)[None]) for a, b in ((1, 2), (0, 3), (5, 6)))
    assert float(narrow.meet(wide).lo) == 1
    assert float(wide.meet(narrow).hi) == 2
    assert narrow.meet(other).lo.isnan().all()
    nothing = Bounds.unknown(1, 1)
    assert float(narrow.meet(nothing).lo) == float(nothing.meet(narrow).lo) == 1


def test_a_definition_that_does_not_run_on_intervals_encloses_nothing() -> None:
    def stubborn(ctx: NumberSystem, x: Number) -> Number:
        raise ArithmeticError("not for intervals")

    assert enclose([stubborn], {"x": doubles(1.0)}) is None
    found = enclose([stubborn, lambda ctx, x: ctx.exp(x)], {"x": doubles(0.0)})
    assert found is not None
    assert not found.values.lo.isnan().any()


def test_an_enclosure_is_decided_when_narrow_or_zero_or_overflow() -> None:
    lo = doubles(1.0, 1.0, 0.0, 1e39, 1e39, math.nan, -1e-16, 0.0, 0.0, -1e39)[None]
    hi = doubles(1.0 + 2e-10, 1.0 + 1e-8, 1e-46, math.inf, 1e39, math.nan, 1e-16, 1e-16, 0.0, 1e39)[None]
    expected = [True, False, True, True, True, False, False, False, True, False]
    assert Bounds(lo, hi).decided(SINGLE).tolist() == [expected]
    rows = Enclosures(Bounds(lo.T, hi.T), {})
    assert rows.decided(SINGLE).tolist() == expected
    assert rows.ready(SINGLE).tolist() == [True, False, True, False, True, False, False, False, True, False]


def families() -> list[str]:
    """One spec for each definition of the zoo."""
    return list({s.definition: s.name for s in find("zoo")}.values())


@pytest.mark.parametrize("name", families())
def test_definitions_of_the_zoo_are_enclosed_where_balls_say(name: str) -> None:
    for dtype in ("float32", "float16"):
        count, outside, share = contradictions(name, dtype, 120)
        assert (count, outside) == (120, 0)
        assert share > 0.8


def test_a_wrong_enclosure_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x) * (1 + 1e-9)

    planted: dict[str, Kernel] = {**(listed() or {}), "exp": replace(KERNELS["exp"], apply=off)}
    monkeypatch.setattr("stabkit.arithmetic.batch.listed", lambda: planted)
    assert contradictions("exp_scale", "float32", 50)[1] > 0


def test_the_maximum_of_duals_picks_slopes_element_by_element() -> None:
    found = enclose([lambda ctx, x, y: ctx.maximum(x, y)], {"x": doubles(1, 5, 2), "y": doubles(3, 4, 2)}, ["x", "y"])
    assert found is not None
    assert found.gradient["x"].lo[:2, 0].tolist() == [0, 1]
    assert found.gradient["y"].lo[:2, 0].tolist() == [1, 0]
    assert found.gradient["x"].lo[2].isnan().all()
    assert IntervalDuals.__mro__[1].__name__ == "DualSystem"


def test_one_sample_agrees_with_its_climb_on_balls() -> None:
    def loss(ctx: NumberSystem, x: Number) -> Number:
        return ctx.log(ctx.exp(x) + 1)

    found = enclose([loss], {"x": doubles(0.7)}, ["x"])
    truth = evaluate(loss, {"x": 0.7}, SINGLE, ["x"])
    assert found is not None
    assert float(found.values.lo) <= truth.values[0].as_double() <= float(found.values.hi)
    assert float(found.gradient["x"].lo) <= truth.gradient["x"][0].as_double() <= float(found.gradient["x"].hi)


@pytest.mark.parametrize(
    ("definition", "x"),
    [
        (lambda ctx, x: ctx.expm1mx(ctx.exp(x)) * ctx.pi, 800.0),
        (lambda ctx, x: x**40 / ctx.log1pmx(x**40), 1e20),
        (lambda ctx, x: ctx.exp(x) / ctx.exp(x + 1), 1e5),
    ],
)
def test_unbounded_ends_leave_room_for_the_truth(definition: Callable[..., Any], x: float) -> None:
    found = enclose([definition], {"x": doubles(x)}, ["x"])
    assert found is not None
    truth = evaluate(definition, {"x": x}, SINGLE, ["x"])
    for bounds, (e,) in zip(found.all, (truth.values, truth.gradient["x"]), strict=True):
        lo, hi = float(bounds.lo), float(bounds.hi)
        assert math.isnan(lo) or not (bool(e.ball < lo) or bool(e.ball > hi))


def test_the_slope_of_a_maximum_is_in_doubt_where_an_operand_is() -> None:
    found = enclose([lambda ctx, t, y: ctx.maximum(ctx.sin(t), y)], {"t": doubles(-3.0), "y": doubles(-1.0)}, ["y"])
    assert found is not None
    assert found.gradient["y"].lo.isnan().all()


def test_numbers_of_other_kinds_are_left_to_balls() -> None:
    assert enclose([lambda ctx, x: x - fmpz(2**53 + 1)], {"x": doubles(2.0**53)}) is None


def test_a_branch_on_equality_has_the_slope_of_its_neighbours() -> None:
    def removable(ctx: NumberSystem, x: Number) -> Number:
        return ctx.number(1) if x == 0 else x / ctx.expm1(x)

    slope = evaluate(removable, {"x": 0.0}, SINGLE, ["x"]).gradient["x"][0]
    assert slope.as_double() == pytest.approx(-0.5, rel=1e-12)
    assert not slope.kink
    found = enclose([removable], {"x": doubles(0.0, 1.0)}, ["x"])
    assert found is not None
    assert found.gradient["x"].lo.isnan().flatten().tolist() == [True, False]
