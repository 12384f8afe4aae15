"""Number systems against each other, against SciPy and the standard library, and where each must say "undecided"."""

import math
import random

import flint
import mpmath
import pytest
import scipy.special
from flint import arb

from stabkit.arithmetic import VOCABULARY, NumberSystem, Undecided
from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.arithmetic.dual import Dual, DualSystem
from stabkit.arithmetic.enclosure import State
from stabkit.arithmetic.evaluate import LAST_PRECISION, evaluate
from stabkit.arithmetic.mp import MpSystem
from stabkit.arithmetic.plain import evaluate_plain, global_precision
from stabkit.errors import DefinitionError
from stabkit.floats import FORMATS

SINGLE, DOUBLE = FORMATS["float32"], FORMATS["float64"]
UNARY = ("exp", "log", "expm1", "log1p", "sqrt", "sin", "cos", "tanh", "erf", "erfc", "lgamma", "digamma")
SCIPY = {
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "lgamma": scipy.special.gammaln,
    "digamma": scipy.special.digamma,
}
points = [random.Random(7).uniform(0.05, 6) for _ in range(20)]


@pytest.mark.parametrize("system", [MpSystem(100), BallSystem(), DualSystem(BallSystem())], ids=["mp", "ball", "dual"])
def test_every_system_has_the_whole_vocabulary(system: NumberSystem) -> None:
    assert all(callable(getattr(system, name)) for name in VOCABULARY)
    assert system.pi is not None


@pytest.mark.parametrize("name", UNARY)
def test_balls_contain_what_mpmath_computes_with_more_digits(name: str) -> None:
    wide = MpSystem(400)
    with flint.ctx.workprec(150):
        for x in points:
            ball = getattr(BallSystem, name)(Ball(arb(x)))
            other = getattr(wide, name)(wide.number(x))
            assert ball.x.overlaps(arb(mpmath.nstr(other, 60)))
            assert ball.x.rel_accuracy_bits() > 100


@pytest.mark.parametrize("name", UNARY)
def test_functions_agree_with_the_standard_library_or_scipy(name: str) -> None:
    other = SCIPY.get(name) or getattr(math, name)
    for x in points:
        assert float(getattr(BallSystem, name)(Ball(arb(x))).x) == pytest.approx(float(other(x)), rel=1e-13, abs=1e-14)


@pytest.mark.parametrize("name", [n for n in UNARY if n != "digamma"])
def test_dual_slopes_agree_with_central_differences_in_mpmath(name: str) -> None:
    duals = DualSystem(MpSystem(200))
    with mpmath.workdps(60):
        for x in points:
            slope = getattr(duals, name)(Dual(duals.base.number(x), {0: duals.base.number(1)})).tangents[0]
            step = mpmath.mpf(10) ** -20
            f = getattr(MpSystem(400), name)
            central = (f(mpmath.mpf(x) + step) - f(mpmath.mpf(x) - step)) / (2 * step)
            assert abs(slope - central) < 1e-30 * (1 + abs(central))


def test_dual_operators_obey_the_rules_of_calculus() -> None:
    duals = DualSystem(MpSystem(100))
    x, y = (Dual(duals.base.number(v), {i: duals.base.number(1)}) for i, v in enumerate((3, 5)))
    assert (x * y).tangents == {0: 5, 1: 3}
    assert (x / y).tangents[1] == pytest.approx(-3 / 25)
    assert (2 / x).tangents[0] == pytest.approx(-2 / 9)
    assert (1 - x**3).tangents[0] == -27
    assert (x - y).tangents == {0: 1, 1: -1}
    assert (y**0).tangents == {}


def test_a_slope_at_a_tie_is_the_hull_of_both_sides() -> None:
    truth = evaluate(lambda ctx, x: ctx.absolute(x), {"x": 0.0}, SINGLE, ["x"])
    slope = truth.gradient["x"][0]
    assert slope.kink
    assert slope.ball.contains(arb(-1))
    assert slope.ball.contains(arb(1))


def test_exact_infinities_are_states_not_accidents() -> None:
    ctx = BallSystem()
    minus = ctx.log(ctx.number(0))
    assert minus.x == arb.neg_inf()
    assert ctx.exp(minus).x.is_zero()
    assert ctx.log(ctx.number(-1)).x.is_nan()
    assert (minus - minus).x.is_nan()
    assert evaluate(lambda ctx, x: ctx.log(x), {"x": 0.0}, SINGLE).values[0].state is State.MINUS_INFINITY
    assert evaluate(lambda ctx, x: ctx.log(x), {"x": -1.0}, SINGLE).values[0].state is State.UNDEFINED
    assert (minus + ctx.pi).x == arb.neg_inf()
    assert ctx.erf(-minus).x == 1
    assert ctx.erfc(minus).x == 2
    assert ctx.maximum(0, ctx.log(ctx.number(-1))).x.is_nan()
    assert DualSystem(ctx).maximum(1, Dual(ctx.log(ctx.number(-1)), {})).value.x.is_nan()


def inward(name: str, x: float) -> tuple[bool, bool]:
    """Room in a domain [0, inf)."""
    return x > 0, True


def test_what_is_undefined_at_a_point_has_the_truth_of_its_limits() -> None:
    removable = evaluate(lambda ctx, x: x / x, {"x": 0.0}, SINGLE, ["x"])
    assert removable.values[0].as_double() == 1
    entropy = evaluate(lambda ctx, x: x * ctx.log(x), {"x": 0.0}, SINGLE, ["x"], room=inward)
    assert entropy.values[0].is_zero(SINGLE)
    assert entropy.gradient["x"][0].state is State.PLUS_INFINITY  # grows like a logarithm: a pole
    assert evaluate(lambda ctx, x: 1 / x, {"x": 0.0}, SINGLE).values[0].state is State.PLUS_INFINITY
    sign = evaluate(lambda ctx, x: x / ctx.absolute(x), {"x": 0.0}, SINGLE).values[0]
    assert sign.kink
    assert sign.ball.contains(arb(-1))
    assert sign.ball.contains(arb(1))
    assert evaluate_plain(lambda x: x * mpmath.log(x), {"x": 0.0}, SINGLE, room=inward).values[0].is_zero(SINGLE)


def test_ties_that_cancel_leave_a_smooth_slope_and_others_are_not_touched() -> None:
    def identity(ctx: NumberSystem, x: Ball) -> Ball:
        return ctx.maximum(x, 0) - ctx.maximum(-x, 0)

    assert evaluate(identity, {"x": 0.0}, SINGLE, ["x"]).gradient["x"][0].as_double() == 1
    both = evaluate(lambda ctx, x, y: ctx.absolute(x) + 1e38 * ctx.tanh(y), {"x": 0.0, "y": 50.0}, SINGLE, ["x", "y"])
    assert both.gradient["x"][0].kink
    assert not both.gradient["y"][0].kink
    assert both.gradient["y"][0].as_double() == pytest.approx(1e38 / math.cosh(50) ** 2, rel=1e-12)


def test_plain_references_are_run_with_bits_enough_for_their_inputs() -> None:
    truth = evaluate_plain(lambda x: 1 + (1 - mpmath.cos(x)) / x**2, {"x": 1e-40}, SINGLE)
    assert truth.values[0].as_double() == 1.5
    assert evaluate_plain(lambda x: 1 + (mpmath.exp(x) - 1) / x, {"x": 1e-100}, DOUBLE).values[0].as_double() == 2


def test_a_reference_that_leaves_mpmath_is_told() -> None:
    for rude in (lambda x: math.exp(x) * 1.1, lambda x: "much", lambda x: None):
        with pytest.raises(DefinitionError):
            evaluate_plain(rude, {"x": 1.0}, SINGLE)
    with pytest.raises(DefinitionError, match="ctx's functions"):
        evaluate(lambda ctx, x: None, {"x": 1.0}, SINGLE)
    assert evaluate_plain(lambda x: 0.5, {"x": 1.0}, SINGLE).values[0].as_double() == 0.5


def test_what_precision_cannot_tell_is_undecided_not_undefined() -> None:
    unsharp = Ball(arb(0, 1e-30))
    with pytest.raises(Undecided):
        BallSystem.log(unsharp)
    with pytest.raises(Undecided):
        _ = 1 / unsharp
    with pytest.raises(Undecided):
        _ = unsharp < 0
    with pytest.raises(Undecided):
        _ = unsharp == 0
    assert (unsharp * unsharp + 1 > 0) is True
    assert (unsharp**2).x.is_finite()


def test_the_climb_resolves_what_fixed_precision_calls_minus_infinity() -> None:
    # sigma(a) - sigma(b) at x - mean = 80, s = 0.03: 0 in mpmath at every precision up to 3392 bits.
    def log_prob(ctx: NumberSystem, x: Ball) -> Ball:
        step, scale = ctx.number(1) / 255, ctx.number(3) / 100
        a, b = (x + step) / scale, (x - step) / scale
        return ctx.log(1 / (1 + ctx.exp(-a)) - 1 / (1 + ctx.exp(-b)))

    truth = evaluate(log_prob, {"x": 80.0}, SINGLE)
    a, b = (80 + 1 / 255) / 0.03, (80 - 1 / 255) / 0.03
    closed = -b + math.log1p(-math.exp(-(a - b)))  # both exponentials are tiny
    assert truth.values[0].as_double() == pytest.approx(closed, rel=1e-6)
    assert truth.precision > 3392


def test_truth_is_decided_to_a_fraction_of_an_ulp_or_as_zero_or_as_overflow() -> None:
    def kl(ctx: NumberSystem, p: Ball) -> Ball:
        return (ctx.exp(2 * p) - 1) / 2 - p

    near = evaluate(kl, {"p": 2.0**-500}, DOUBLE)
    assert near.values[0].as_double() == pytest.approx(2.0**-1000, rel=1e-12)
    assert evaluate(kl, {"p": 2.0**-500}, SINGLE).values[0].is_zero(SINGLE)
    assert evaluate(kl, {"p": 1e300}, DOUBLE).values[0].overflows(DOUBLE)


def test_an_endless_climb_ends_as_unresolved() -> None:
    truth = evaluate(lambda ctx, x: ctx.log(ctx.sin(x) ** 2 + ctx.cos(x) ** 2 - 1), {"x": 1.0}, SINGLE, ["x"])
    assert truth.values[0].state is State.UNRESOLVED
    assert truth.gradient["x"][0].state is State.UNRESOLVED


def test_definitions_take_vectors_as_nested_lists() -> None:
    def logsumexp(ctx: NumberSystem, x: list[Ball]) -> Ball:
        return ctx.log(sum((ctx.exp(v) for v in x), start=ctx.number(0)))

    truth = evaluate(logsumexp, {"x": [1.0, 2.0, 3.0]}, DOUBLE, ["x"])
    assert truth.values[0].as_double() == pytest.approx(scipy.special.logsumexp([1, 2, 3]), rel=1e-15)
    assert [e.as_double() for e in truth.gradient["x"]] == pytest.approx(scipy.special.softmax([1, 2, 3]), rel=1e-14)


def test_plain_mpmath_and_balls_agree_on_values_and_slopes() -> None:
    def plain(x: mpmath.mpf, s: mpmath.mpf) -> mpmath.mpf:
        return mpmath.log(s) + (x / s) ** 2 / 2

    def over(ctx: NumberSystem, x: Ball, s: Ball) -> Ball:
        return ctx.log(s) + (x / s) ** 2 / 2

    generator = random.Random(3)
    for _ in range(30):
        sample = {"x": generator.gauss(0, 1) * 10 ** generator.uniform(-20, 20), "s": 10 ** generator.uniform(-30, 30)}
        a, b = evaluate_plain(plain, sample, DOUBLE, ["x", "s"]), evaluate(over, sample, DOUBLE, ["x", "s"])
        pairs = [(a.values[0], b.values[0]), *((a.gradient[n][0], b.gradient[n][0]) for n in ("x", "s"))]
        assert all(p.as_double() == pytest.approx(q.as_double(), rel=1e-14) for p, q in pairs)


def test_plain_slopes_are_one_sided_at_a_bound_and_hulls_at_a_kink() -> None:
    def hinge(x: mpmath.mpf) -> mpmath.mpf:
        return max(mpmath.mpf(0), 1 - x)

    kink = evaluate_plain(hinge, {"x": 1.0}, SINGLE, ["x"]).gradient["x"][0]
    assert kink.kink
    assert kink.ball.contains(arb(-1))
    assert kink.ball.contains(arb(0))
    bound = evaluate_plain(hinge, {"x": 1.0}, SINGLE, ["x"], room=lambda name, x: (True, False)).gradient["x"][0]
    assert bound.as_double() == -1.0


def test_plain_zeros_and_infinities_are_settled_only_at_the_cap() -> None:
    flat = evaluate_plain(lambda x: mpmath.mpf(0) * x, {"x": 1.0}, SINGLE, ["x"])
    assert flat.precision == LAST_PRECISION
    assert flat.values[0].as_double() == 0.0
    assert evaluate_plain(mpmath.log, {"x": 0.0}, SINGLE).values[0].state is State.MINUS_INFINITY
    assert evaluate_plain(lambda x: 1 / x, {"x": 0.0}, SINGLE).values[0].state is State.PLUS_INFINITY
    assert evaluate_plain(mpmath.log, {"x": -1.0}, SINGLE).values[0].state is State.UNDEFINED


def test_a_plain_reference_that_changes_the_global_precision_is_told_and_does_no_harm() -> None:
    def rude(x: mpmath.mpf) -> mpmath.mpf:
        mpmath.mp.dps = 5
        return x * x

    before = mpmath.mp.prec
    with pytest.raises(DefinitionError, match="changes mpmath's global precision"):
        evaluate_plain(rude, {"x": 3.0}, SINGLE)
    assert mpmath.mp.prec == before
    with pytest.raises(RuntimeError, match="inside"), global_precision(99):
        raise RuntimeError("inside")
    assert mpmath.mp.prec == before
