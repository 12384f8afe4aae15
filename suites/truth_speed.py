"""Certified points a second: intervals with balls behind them, against a plain mpmath loop, on the same points.

Values and gradients. The loop (50 digits, `mpmath.diff`) certifies nothing; it is what one would write by hand.

    python -m stabkit.suites.truth_speed --points 200000 --loop 300
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mpmath
import torch
from stabkit.reference import gaussian, parameterizations

from stabkit.arithmetic import Number, NumberSystem
from stabkit.arithmetic.truths import evaluate_many
from stabkit.domain import Argument, Interval, positive, real
from stabkit.floats import FORMATS, Format
from stabkit.program import Points, sample_of
from stabkit.search.points import draw
from stabkit.spec import also, definitions_of

DIGITS = 50
HALF_BIN = 1 / 255
PIXELS = Interval(-1.0, 1.0, True, True)


def discretized_logistic_closed(ctx: NumberSystem, x: Number, mean: Number, scale: Number) -> Number:
    """The interior bin without a difference of sigmoids: -softplus(-a) - softplus(b) + log1mexp(2h/s)."""
    half = ctx.number(HALF_BIN)
    a, b = (x - mean + half) / scale, (x - mean - half) / scale
    width = 2 * half / scale
    log1mexp = ctx.log1p(-ctx.exp(-width)) if width > 1 else ctx.log(-ctx.expm1(-width))
    return -_softplus(ctx, -a) - _softplus(ctx, b) + log1mexp


def discretized_logistic_symmetric(ctx: NumberSystem, x: Number, mean: Number, scale: Number) -> Number:
    """The same as log(sinh v/(cosh u + cosh v)), u = (x - mean)/s and v = h/s: its slope vanishes with u exactly."""
    u, v = (x - mean) / scale, ctx.number(HALF_BIN) / scale
    total = 1 + _sinh(ctx, u / 2) ** 2 + _sinh(ctx, v / 2) ** 2
    return ctx.log(_sinh(ctx, v) / (2 * total))


def _sinh(ctx: NumberSystem, x: Number) -> Number:
    small = ctx.expm1(x)
    return (small + small / (1 + small)) / 2


def _softplus(ctx: NumberSystem, x: Number) -> Number:
    return ctx.maximum(x, 0) + ctx.log1p(ctx.exp(-ctx.absolute(x)))


@also(discretized_logistic_closed, discretized_logistic_symmetric)
def discretized_logistic(ctx: NumberSystem, x: Number, mean: Number, scale: Number) -> Number:
    """log of the probability of an interior bin of 2/255 under a logistic distribution: log(sigma(a) - sigma(b))."""
    half = ctx.number(HALF_BIN)
    a, b = (x - mean + half) / scale, (x - mean - half) / scale
    return ctx.log(1 / (1 + ctx.exp(-a)) - 1 / (1 + ctx.exp(-b)))


@dataclass(frozen=True)
class Quantity:
    """A definition with its inputs."""

    name: str
    definition: Callable[..., Any]
    arguments: tuple[Argument, ...]


def _arguments(**domains: Any) -> tuple[Argument, ...]:
    return tuple(Argument(name, domain) for name, domain in domains.items())


QUANTITIES = (
    Quantity("normal KL", gaussian.kl, _arguments(mean1=real, scale1=positive, mean2=real, scale2=positive)),
    Quantity("normal NLL on log scales", gaussian.nll_of_log_scale, _arguments(x=real, mean=real, log_scale=real)),
    Quantity("ExpLin log scale", parameterizations.exp_lin_log_scale, _arguments(p=real)),
    Quantity("discretized logistic", discretized_logistic, _arguments(x=PIXELS, mean=PIXELS, scale=positive)),
)


@dataclass(frozen=True)
class Timing:
    """One quantity in one dtype.

    Attributes:
        seconds, loop_seconds: a point, certified and by the mpmath loop.
        by_interval, by_ball, unresolved: shares of the points.
    """

    seconds: float
    loop_seconds: float
    by_interval: float
    by_ball: float
    unresolved: float


def measure(quantity: Quantity, form: Format, points: int, loop: int) -> Timing:
    """Both ways on samples of the whole domain: the loop on the first `loop` of them, before and after the rest."""
    drawn = draw(quantity.arguments, form, points, torch.Generator().manual_seed(0))
    names = list(drawn)
    started = time.perf_counter()
    _run_loop(quantity, drawn, loop)
    middle = time.perf_counter()
    truths = evaluate_many(definitions_of(quantity.definition), drawn, form, names)
    ended = time.perf_counter()
    _run_loop(quantity, drawn, loop)
    looped = (time.perf_counter() - ended + middle - started) / (2 * loop)
    open_share = truths.unresolved(form) / points
    ball_share = len(truths.by_ball) / points - open_share
    return Timing((ended - middle) / points, looped, float(truths.by_interval.double().mean()), ball_share, open_share)


def _run_loop(quantity: Quantity, drawn: Points, count: int) -> None:
    for row in range(count):
        loop_truth(quantity.definition, sample_of(drawn, row))


def loop_truth(definition: Callable[..., Any], sample: dict[str, float]) -> list[Any]:
    """Value and slopes at 50 digits; NaN where mpmath raises."""
    point = tuple(map(mpmath.mpf, sample.values()))
    orders = [tuple(int(i == j) for j in range(len(point))) for i in range(len(point))]

    def function(*values: Any) -> Any:
        return definition(_Plain, *values)

    with mpmath.workdps(DIGITS):
        try:
            return [function(*point), *(mpmath.diff(function, point, n) for n in orders)]
        except (ArithmeticError, ValueError):
            return [mpmath.nan] * (1 + len(point))


class _Plain:
    """mpmath's global functions under the names of a number system, with no layer in between."""

    number, pi = mpmath.mpf, mpmath.pi
    exp, log, expm1, log1p = mpmath.exp, mpmath.log, mpmath.expm1, mpmath.log1p
    absolute, maximum, minimum = abs, max, min


def lines(points: int, loop: int) -> Iterator[str]:
    """The table, a line as it is measured."""
    yield "| quantity | dtype | certified points a second | mpmath loop | ratio | intervals | balls | unresolved |"
    yield "|---|---|---|---|---|---|---|---|"
    for quantity in QUANTITIES:
        for dtype in ("float32", "bfloat16", "float16"):
            t = measure(quantity, FORMATS[dtype], points, loop)
            shares = f"{t.by_interval:.2%} | {t.by_ball:.3%} | {t.unresolved:.3%}"
            rates = f"{1 / t.seconds:,.0f} | {1 / t.loop_seconds:,.0f} | {t.loop_seconds / t.seconds:,.0f}"
            yield f"| {quantity.name} | {dtype} | {rates} | {shares} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--loop", type=int, default=300, help="samples for the mpmath loop")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in the workers of an audit
    for line in lines(options.points, options.loop):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
