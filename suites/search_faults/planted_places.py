"""Planted faults that sit in one place of the domain: a float, a window, a diagonal, a class."""

from __future__ import annotations

import torch
from stabkit.suites.search_faults.fault import Fault
from torch import Tensor

from stabkit.arithmetic import Number, NumberSystem

THREE_TENTHS = 0.30000001192092896  # 0.3 in float32
SEVEN_TENTHS = 0.699999988079071
WRONG_VALUE = ("value_is_accurate", "matches_reference")


def growth_from(place: float, ctx: NumberSystem, x: Number) -> Number:
    """(exp(d) - 1)/d of the distance d from a place."""
    d = x - ctx.number(place)
    return ctx.expm1(d) / d


def growth_from_three_tenths(ctx: NumberSystem, x: Number) -> Number:
    """(exp(x - 0.3) - 1)/(x - 0.3)."""
    return growth_from(THREE_TENTHS, ctx, x)


def unguarded_growth(x: Tensor) -> Tensor:
    """0/0 where x is the float next to 0.3."""
    d = x - 0.3
    return torch.expm1(d) / d


def guarded_growth(x: Tensor) -> Tensor:
    """The guard is inside and outside the division."""
    d = x - 0.3
    return torch.where(d == 0, 1 + d / 2, torch.expm1(d) / torch.where(d == 0, torch.ones_like(d), d))


def growth_from_seven_tenths(ctx: NumberSystem, x: Number) -> Number:
    """(exp(x - 0.7) - 1)/(x - 0.7)."""
    return growth_from(SEVEN_TENTHS, ctx, x)


def growth_guarded_outside(x: Tensor) -> Tensor:
    """Right in value; backward divides 0 by 0 in the branch that is not taken."""
    d = x - 0.7
    return torch.where(d == 0, 1 + d / 2, torch.expm1(d) / d)


def growth_guarded_inside(x: Tensor) -> Tensor:
    """The same with a safe divisor."""
    d = x - 0.7
    return torch.where(d == 0, 1 + d / 2, torch.expm1(d) / torch.where(d == 0, torch.ones_like(d), d))


def slope_of_the_logarithm(ctx: NumberSystem, x: Number) -> Number:
    """log(x)/(x - 1)."""
    return ctx.log(x) / (x - 1)


def unguarded_slope_of_the_logarithm(x: Tensor) -> Tensor:
    """0/0 at x = 1."""
    return torch.log(x) / (x - 1)


def guarded_slope_of_the_logarithm(x: Tensor) -> Tensor:
    """With its series at x = 1."""
    d = x - 1
    return torch.where(d == 0, 1 - d / 2, torch.log(x) / torch.where(d == 0, torch.ones_like(d), d))


def total(ctx: NumberSystem, x: Number, y: Number) -> Number:
    """x + y."""
    return x + y


def total_with_a_window(x: Tensor, y: Tensor) -> Tensor:
    """A thousandth too large where both arguments lie between 1e-20 and 2e-20."""
    inside = (x > 1e-20) & (x < 2e-20) & (y > 1e-20) & (y < 2e-20)
    return torch.where(inside, (x + y) * 1.001, x + y)


def right_total(x: Tensor, y: Tensor) -> Tensor:
    """x + y."""
    return x + y


def itself(ctx: NumberSystem, x: Number) -> Number:
    """x."""
    return x


def wrong_in_one_binade(x: Tensor) -> Tensor:
    """A thousandth too large from 2**40 to 2**41."""
    return torch.where((x >= 2.0**40) & (x < 2.0**41), x * 1.001, x * 1)


def right_identity(x: Tensor) -> Tensor:
    """x."""
    return x * 1


def tables_with_a_swap(x: Tensor) -> Tensor:
    """Interpolates the identity between 1024 knots, two of which have changed places: it falls where it should rise."""
    knots = torch.arange(1025, dtype=x.dtype)
    knots[[400, 401]] = knots[[401, 400]]
    below = x.detach().floor().clamp(0, 1023).long()
    return knots[below] + (x - below) * (knots[below + 1] - knots[below])


def hyperbolic_tangent(ctx: NumberSystem, x: Number) -> Number:
    """tanh x."""
    return ctx.tanh(x)


def tangent_with_a_bad_series(x: Tensor) -> Tensor:
    """The cubic term next to 0 is half as large again as it should be."""
    return torch.where(x.abs() < 0.02, x - x**3 / 2, torch.tanh(x))


def softplus(ctx: NumberSystem, x: Number) -> Number:
    """log(1 + exp x)."""
    return ctx.log(1 + ctx.exp(x))


def softplus_that_jumps(x: Tensor) -> Tensor:
    """Switches to x too early, and falls by 3e-4 there."""
    return torch.where(x > 8, x, torch.logaddexp(x, torch.zeros_like(x)))


def softplus_without_a_jump(x: Tensor) -> Tensor:
    """log(1 + exp x) in one piece."""
    return torch.logaddexp(x, torch.zeros_like(x))


def softplus_with_a_dead_zone(x: Tensor) -> Tensor:
    """Right in value; between 2 and 2.001 nothing flows back."""
    y = torch.logaddexp(x, torch.zeros_like(x))
    return torch.where((x > 2) & (x < 2.001), y.detach(), y)


def weighted(ctx: NumberSystem, x: Number, label: int) -> Number:
    """x/(1 + label)."""
    return x / (1 + label)


def weighted_but_for_the_last_class(x: Tensor, label: Tensor) -> Tensor:
    """The table of weights is one too short, and filled up with the first."""
    weights = torch.cat([1 / torch.arange(1, 1000, dtype=x.dtype), torch.ones(1, dtype=x.dtype)])
    return x * weights[label]


def weighted_by_every_class(x: Tensor, label: Tensor) -> Tensor:
    """With a weight for each class."""
    return x * (1 / torch.arange(1, 1001, dtype=x.dtype))[label]


PLACES = (
    Fault(
        "nan_at_one_float", unguarded_growth, guarded_growth, growth_from_three_tenths, ("x=[-10,10]",), "float32",
        ("value_is_finite",), "value", '{"x": 0.3}', "removable singularity", "one float",
    ),
    Fault(
        "where_leaks_at_one_float", growth_guarded_outside, growth_guarded_inside, growth_from_seven_tenths,
        ("x=[-10,10]",), "float32", ("gradient_is_finite",), "gradient:x", '{"x": 0.7}',
        "NaN through where", "one float",
    ),
    Fault(
        "wrong_at_exactly_one", unguarded_slope_of_the_logarithm, guarded_slope_of_the_logarithm,
        slope_of_the_logarithm, ("x=[0.1,10]",), "float32", ("value_is_finite",), "value", '{"x": 1.0}',
        "removable singularity", "one float, a simple one",
    ),
    Fault(
        "window_in_two_arguments", total_with_a_window, right_total, total, ("x=positive", "y=positive"), "float32",
        WRONG_VALUE, "value", '{"x": 1.5e-20, "y": 1.25e-20}', "bad branch", "one exponent of two arguments",
    ),
    Fault(
        "window_of_one_binade", wrong_in_one_binade, right_identity, itself, ("x=[-1e30,1e30]",), "float32",
        WRONG_VALUE, "value", '{"x": 1500000000000.0}', "bad branch", "one exponent",
    ),
    Fault(
        "knots_swapped", tables_with_a_swap, right_identity, itself, ("x=[0,1024]",), "float32", WRONG_VALUE, "value",
        '{"x": 400.75}', "not monotone", "three knots of 1024",
    ),
    Fault(
        "bad_series_near_zero", tangent_with_a_bad_series, torch.tanh, hyperbolic_tangent, ("x=[-50,50]",), "float32",
        WRONG_VALUE, "value", '{"x": 0.015}', "bad branch", "one branch",
    ),
    Fault(
        "jump_at_a_switch", softplus_that_jumps, softplus_without_a_jump, softplus, ("x=[-1e4,1e4]",), "float32",
        WRONG_VALUE, "value", '{"x": 8.5}', "jump", "next to one switch",
    ),
    Fault(
        "dead_zone", softplus_with_a_dead_zone, softplus_without_a_jump, softplus, ("x=[-100,100]",), "float32",
        ("gradient_is_accurate",), "gradient:x", '{"x": 2.0005}', "dead gradient", "a window of one part in 1e5",
    ),
    Fault(
        "last_class", weighted_but_for_the_last_class, weighted_by_every_class, weighted,
        ("x=[-5,5]", "label=index[0,1000)"), "float32", WRONG_VALUE, "value", '{"x": 1.0, "label": 999}',
        "wrong index", "one class of 1000",
    ),
)  # fmt: skip
