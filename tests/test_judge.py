"""The error rule: what passes, what warns, what fails, and what is no fault at all."""

import math
from dataclasses import replace

import flint
import pytest
import torch
from flint import arb

from stabkit.arithmetic import Number, NumberSystem
from stabkit.arithmetic.enclosure import UNDEFINED, UNRESOLVED, Enclosure
from stabkit.floats import FORMATS, neighbours
from stabkit.judge import Kind, harmless_slope, judge, largest_difference, slope_scale
from stabkit.notation import parse_parameter
from stabkit.oracle import oracle_for
from stabkit.program import Program
from stabkit.proof import prove
from stabkit.search.points import draw
from stabkit.spec import Tolerance
from stabkit.target import Target, with_tolerance
from stabkit.verification import Examiner

SINGLE, HALF = FORMATS["float32"], FORMATS["float16"]
U = SINGLE.unit_roundoff


def verdict(got: float, truth: arb | float, conditioning: float = 0.0, scale: float = 1.0) -> tuple[Kind, str | None]:
    with flint.ctx.workprec(256):
        found = judge(0, "value", got, Enclosure.of(arb(truth)), SINGLE, lambda: arb(conditioning), scale)
    return found.kind, found.severity


def test_up_to_four_bits_pass_and_more_warn() -> None:
    assert verdict(1 + 30 * U, 1.0)[0] is Kind.INACCURATE
    assert verdict(1 + 16 * U, 1.0)[0] is Kind.RIGHT
    assert verdict(1 + 30 * U, 1.0) == (Kind.INACCURATE, "warning")


def test_half_the_significand_beyond_the_natural_scale_is_an_error() -> None:
    assert verdict(1 + 2**13 * U * 2, 1.0) == (Kind.INACCURATE, "error")
    assert verdict(1e-9, 2e-9) == (Kind.INACCURATE, "warning")  # far below 1 nat
    assert verdict(1e-9, 2e-9, scale=1e-9) == (Kind.INACCURATE, "error")


def test_conditioning_excuses_what_rounding_the_inputs_explains() -> None:
    assert verdict(1 + 2**14 * U, 1.0, conditioning=2.0**14)[0] is Kind.RIGHT


def test_nan_and_infinity_fail_only_where_the_truth_is_representable() -> None:
    assert verdict(math.nan, 3.0) == (Kind.NOT_FINITE, "error")
    assert verdict(math.inf, 54.7) == (Kind.NOT_FINITE, "error")
    assert verdict(math.nan, 1e39)[0] is Kind.RANGE_LIMIT
    assert verdict(math.inf, 1e39)[0] is Kind.RANGE_LIMIT
    assert verdict(-math.inf, 1e39) == (Kind.NOT_FINITE, "error")


def test_an_overflow_one_rounding_early_is_no_fault_and_a_clear_one_is() -> None:
    assert verdict(math.inf, SINGLE.largest)[0] is Kind.RIGHT
    assert verdict(math.inf, SINGLE.largest / 2)[0] is Kind.NOT_FINITE
    assert verdict(SINGLE.largest, 1e39)[0] is Kind.RIGHT
    assert verdict(7.0, 1e39)[0] is Kind.INACCURATE


def test_a_zero_is_compared_with_the_smallest_subnormal() -> None:
    tiny = SINGLE.smallest_subnormal
    assert verdict(0.0, tiny * 16)[0] is Kind.RIGHT
    assert verdict(0.0, tiny * 17) == (Kind.VANISHED, "warning")
    assert verdict(0.0, 1e-3, scale=1e-3) == (Kind.INACCURATE, "error")  # cancelled, not underflowed


def test_unknown_truth_is_never_a_failure() -> None:
    for truth, kind in ((UNRESOLVED, Kind.UNRESOLVED), (UNDEFINED, Kind.UNDEFINED)):
        assert judge(0, "value", math.nan, truth, SINGLE, lambda: arb(0), 1.0).kind is kind
    pole = Enclosure.of(arb.neg_inf())
    assert judge(0, "value", -100.0, pole, SINGLE, lambda: arb(0), 1.0).kind is Kind.RANGE_LIMIT


def test_at_a_kink_any_value_between_the_sides_passes_and_nan_fails() -> None:
    hull = Enclosure.of(arb(0).union(arb(-1)), kink=True)
    for got, kind in (
        (20.0, Kind.INACCURATE),
        (-1.0, Kind.RIGHT),
        (-0.5, Kind.RIGHT),
        (0.0, Kind.RIGHT),
        (0.5, Kind.INACCURATE),
        (math.nan, Kind.NOT_FINITE),
    ):
        assert judge(0, "gradient:x", got, hull, SINGLE, lambda: arb(1e30), 1.0).kind is kind


def test_conditioning_is_the_largest_move_over_u_and_ignores_what_is_not_finite() -> None:
    truth = Enclosure.of(arb(1))
    moved = [Enclosure.of(arb(1) + arb(3 * U)), Enclosure.of(arb(1) - arb(5 * U)), UNRESOLVED]
    with flint.ctx.workprec(256):
        assert float(largest_difference(moved, truth, SINGLE)) == pytest.approx(5)


def test_a_slope_counts_by_what_moving_its_input_by_its_own_size_does() -> None:
    assert float(slope_scale(Enclosure.of(arb(8)), 2.0)) == 4.0
    assert float(slope_scale(Enclosure.of(arb(0.5)), 4.0)) == 0.25
    assert slope_scale(Enclosure.of(arb(1)), 0.0) == arb.pos_inf()  # moving 0 by its own size moves nothing


def test_an_enclosure_too_wide_for_one_dtype_may_settle_another() -> None:
    ball = Enclosure.of(arb(1, 2.0**-20))
    assert ball.is_decided(HALF)
    assert not ball.is_decided(SINGLE)


def test_tolerance_and_natural_scale_of_a_target_move_both_limits() -> None:
    def judged(bits: float, natural: float) -> tuple[str | None, str | None]:
        target = Target("f", lambda x: x * (1 + 2**-18), (parse_parameter("x=real"),), definition=lambda ctx, x: x)
        p = Program(with_tolerance(target, bits, natural), SINGLE, batched=True)
        found = Examiner(p, oracle_for(p.target, None, p)).judge_alone({"x": 1e-8}, "value")
        coarse = replace(p, target=replace(p.target, function=lambda x: x * 2))
        halved = Examiner(coarse, oracle_for(p.target, None, coarse)).judge_alone({"x": 1e-8}, "value")
        assert found is not None
        assert halved is not None
        return found[1].severity, halved[1].severity

    assert judged(4.0, 1.0) == ("warning", "warning")
    assert judged(6.0, 1.0) == (None, "warning")
    assert judged(4.0, 1e-9) == ("warning", "error")
    assert with_tolerance(Target("f", abs, ()), None, None).tolerance == Tolerance(4.0, 1.0)


def test_a_tolerance_reaches_enclosures_too() -> None:
    target = Target("f", lambda x: x * (1 + 2**-18), (parse_parameter("x=[1,2]"),), definition=lambda ctx, x: x)
    for bits, settled in ((4.0, 0), (6.0, 40)):
        p = Program(with_tolerance(target, bits, None), SINGLE, batched=True)
        oracle = oracle_for(p.target, None, p)
        assert oracle is not None
        points = draw(p.target.arguments, SINGLE, 40, torch.Generator().manual_seed(0))
        proof = prove(p, oracle, points, p.run(points))
        assert proof is not None
        assert int(proof.settled.value.sum()) == settled


@pytest.mark.parametrize(("shift", "kind"), [(3, Kind.RIGHT), (200, Kind.INACCURATE)])
def test_a_slope_beside_a_kink_may_be_that_of_the_other_side(shift: int, kind: Kind) -> None:
    knee = torch.tensor(2.302585)
    switch = neighbours(knee, shift)

    def ramp(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > switch, x - knee, torch.zeros_like(x))

    def true_ramp(ctx: NumberSystem, x: Number) -> Number:
        return ctx.maximum(x - ctx.number(knee.item()), ctx.number(0))

    target = Target("ramp", ramp, (parse_parameter("x=real"),), definition=true_ramp)
    examiner = Examiner(program := Program(target, SINGLE), oracle_for(target, None, program))
    found = examiner.judge_alone({"x": switch.item()}, "gradient:x")
    assert found is not None
    assert found[1].kind is kind


@pytest.mark.parametrize(("error", "severity"), [(0.9, "note"), (40, "warning"), (1 / U, "error")])
def test_a_slope_that_is_off_by_less_than_the_value_shows_is_a_note(error: float, severity: str) -> None:
    truth, harmless = Enclosure.of(arb("1e-12")), harmless_slope(0.5)
    found = judge(0, "gradient:x", 1e-12 + error * U, truth, SINGLE, lambda: arb(0), 1.0, harmless=harmless)
    assert found.severity == severity


def test_what_a_slope_may_be_off_shrinks_with_the_size_of_what_moves() -> None:
    assert [float(harmless_slope(x)) for x in (0.0, -1.0, 100.0)] == pytest.approx([1, 1, 0.01])


def test_an_infinity_of_the_wrong_sign_is_no_limit_of_the_range() -> None:
    pole = Enclosure.of(arb.pos_inf())
    assert judge(0, "value", -math.inf, pole, SINGLE, lambda: arb(0), 1.0).kind is Kind.NOT_FINITE
    assert judge(0, "value", math.inf, pole, SINGLE, lambda: arb(0), 1.0).kind is Kind.RANGE_LIMIT
