"""Attacks on intervals: every listed kernel against its bound, and every function against balls and mpmath.

    python -m stabkit.suites.intervals --points 2000000          # the elementary functions
    python -m stabkit.suites.intervals --quantities zoo:gaussian --points 20000

A kernel that is further off than its bound, or a truth that escapes its interval, makes the exit code 1.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import flint
import torch
from flint import arb
from torch import Generator, Tensor

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.arithmetic.batch import enclose
from stabkit.arithmetic.bounds import Enclosures
from stabkit.arithmetic.evaluate import Truth, evaluate
from stabkit.arithmetic.interval import Interval, point
from stabkit.arithmetic.interval_system import IntervalSystem
from stabkit.arithmetic.kernels import LARGEST, Kernel, listed, this_build
from stabkit.arithmetic.mp import MpSystem
from stabkit.floats import FORMATS, from_ordinals, neighbours, ordinals
from stabkit.program import sample_of
from stabkit.search.points import draw
from stabkit.spec import definitions_of
from stabkit.target import resolve
from stabkit.zoo import find

BITS = 160  # of balls and of mpmath
CANCELLING, MOST_BITS = ("expm1mx", "log1pmx"), 2500  # x**2/2 beside 1, at any double x
LANDMARKS = (
    *(0.0, 1e-300, 1e-16, 1 / 64, 1 / 16, 0.28, 0.41, 0.5, math.log(2), 0.625, 0.84375, 1.0, 1.25, 1.4616, 2.0),
    *(math.e, 3.0, 6.0, 10.0, 19.0, 26.0, 37.0, 88.7, 709.0, 1e5, 1e300),
)
RANGES = {"sqrt": (0.0, LARGEST), "expm1mx": (-LARGEST, 700.0), "log1pmx": (-1 + 2.0**-53, LARGEST)}
FUNCTIONS = ("exp", "log", "expm1", "log1p", "tanh", "erf", "erfc", "lgamma", *RANGES)
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
}


@dataclass
class Attack:
    """What an attack on one function came to.

    Attributes:
        ulps: the worst error of its kernel, in ulps of the truth; 0 where it has none of its own.
        bound: what is stated of that.
        escaped: truths outside their interval.
        disagreed: points where mpmath and the ball differ.
    """

    name: str
    points: int = 0
    ulps: float = 0.0
    bound: float = math.inf
    escaped: int = 0
    disagreed: int = 0

    @property
    def is_repelled(self) -> bool:
        """Whether every statement about the function held."""
        return not self.escaped and not self.disagreed and self.ulps <= self.bound


def candidates(low: float, high: float, count: int, generator: Generator) -> Tensor:
    """Doubles in [low, high]: landmarks and their neighbours, uniform in ordinals, and uniform where within +-40."""
    marks = torch.tensor([m * s for m in (*LANDMARKS, low, high) for s in (1, -1)], dtype=torch.float64)
    around = torch.cat([neighbours(marks, k) for k in range(-8, 9)])
    first, last = (float(r) for r in ordinals(torch.tensor([low, high], dtype=torch.float64)))
    ranks = first + torch.rand(count // 2, generator=generator, dtype=torch.float64) * (last - first)
    least, most = max(low, -40.0), min(high, 40.0)
    spread = least + torch.rand(count // 2, generator=generator, dtype=torch.float64) * (most - least)
    drawn = torch.cat([around, from_ordinals(ranks.to(torch.int64), FORMATS["float64"]), spread])
    return drawn[(drawn >= low) & (drawn <= high)][: max(count, len(around))]


def attack(name: str, kernels: dict[str, Kernel], count: int, seed: int = 0) -> Attack:
    """Compares one function's intervals, and its kernel, with balls and mpmath at `count` points."""
    kernel = kernels.get(name)
    low, high = RANGES[name] if kernel is None else (kernel.low, kernel.high)
    x = candidates(low, high, count, Generator().manual_seed(seed))
    found: Interval = getattr(IntervalSystem(kernels), name)(point(x))
    computed = x if kernel is None else kernel.apply(x)
    result = Attack(name, bound=math.inf if kernel is None else kernel.ulps)
    mp = MpSystem(MOST_BITS if name in CANCELLING else BITS)
    ball, mpmath = getattr(BallSystem, name), getattr(mp, name)
    with flint.ctx.workprec(BITS):
        for v, lo, hi, c in zip(x.tolist(), found.lo.tolist(), found.hi.tolist(), computed.tolist(), strict=True):
            truth = _climbed(ball, v)
            result.points += 1
            result.escaped += bool(truth < lo) or bool(truth > hi)
            result.disagreed += not _agree(mpmath(mp.number(v)), truth)
            if kernel is not None:
                result.ulps = max(result.ulps, _ulps(c, truth))
    return result


def _climbed(function: Callable[[Ball], Ball], x: float) -> arb:
    """The ball of a function at x, precise even where its definition cancels."""
    for bits in (BITS, MOST_BITS):
        with flint.ctx.workprec(bits):
            truth = function(Ball(arb(x))).x
        if truth.rel_accuracy_bits() >= BITS - 30 or truth.is_zero():
            break
    return truth


def _agree(value: Any, truth: arb) -> bool:
    """Whether an mpmath number is the ball's."""
    return bool(abs(arb(value) - truth) <= abs(truth) * arb(2) ** (40 - BITS)) or not math.isfinite(float(value))


def _ulps(computed: float, truth: arb) -> float:
    if not math.isfinite(computed):
        return math.inf
    spacing = math.ulp(abs(float(truth.mid())))
    return float(abs(arb(computed) - truth) / spacing)


def attack_pairs(name: str, count: int, seed: int = 0) -> Attack:
    """Compares one arithmetic operation on wide and narrow intervals with balls at points inside them."""
    generator = Generator().manual_seed(seed)
    x, y = (candidates(-LARGEST, LARGEST, count, generator) for _ in range(2))
    y = y[torch.randperm(len(y), generator=generator)]
    wide = [_widened(v, generator) for v in (x, y)]
    found: Interval = BINARY[name](*wide)
    result = Attack(name)
    doubt = torch.zeros(len(x), dtype=torch.bool) if found.doubt is None else found.doubt
    rows = zip(x.tolist(), y.tolist(), found.lo.tolist(), found.hi.tolist(), doubt.tolist(), strict=True)
    with flint.ctx.workprec(BITS):
        for a, b, lo, hi, unknown in rows:
            if unknown:
                continue
            truth = BINARY[name](arb(a), arb(b))
            result.points += 1
            result.escaped += bool(truth < lo) or bool(truth > hi)
    return result


def _widened(x: Tensor, generator: Generator) -> Interval:
    """Intervals that contain x: the point itself, a few ulps around it, or anything up to zero or twice it."""
    kind = torch.rand(x.shape, generator=generator)
    up, down = neighbours(x, 3), neighbours(x, -3)
    lo = torch.where(kind < 0.3, x, torch.where(kind < 0.6, down, torch.minimum(x, torch.zeros_like(x))))
    hi = torch.where(kind < 0.3, x, torch.where(kind < 0.6, up, torch.maximum(x * 2, x)))
    return Interval(lo, hi)


def contradictions(name: str, dtype: str, count: int, seed: int = 0) -> tuple[int, int, float]:
    """(samples, numbers outside their bounds, share of samples decided by intervals) of one zoo quantity."""
    form, target = FORMATS[dtype], resolve(f"zoo:{name}", [])
    assert target.definition is not None
    calls = [_with_constants(d, target.constants) for d in definitions_of(target.definition)]
    names = {a.name: p for a, p in zip(target.arguments, _inputs(target.definition), strict=False)}
    drawn = draw(target.arguments, form, count, Generator().manual_seed(seed))
    points = {names[n]: x.double() if x.is_floating_point() else x for n, x in drawn.items()}
    by = [names[a.name] for a in target.arguments if a.is_differentiable]
    found = enclose(calls, points, by)
    if found is None:
        return count, 0, 0.0
    outside = 0
    for row in range(count):
        for call in calls:
            outside += _outside(found, evaluate(call, sample_of(points, row), form, by), row)
    return count, outside, float(found.decided(form).double().mean())


def _with_constants(definition: Callable[..., Any], constants: Any) -> Callable[..., Any]:
    return lambda *ctx, **inputs: definition(*ctx, **inputs, **constants)


def _inputs(definition: Callable[..., Any]) -> list[str]:
    return [n for n in definition.__code__.co_varnames[: definition.__code__.co_argcount] if n != "ctx"]


def _outside(found: Enclosures, truth: Truth, row: int) -> int:
    """How many certain numbers of one sample lie outside their bounds."""
    wrong = 0
    rows = [truth.values, *(truth.gradient[n] for n in found.gradient)]
    for bounds, enclosures in zip(found.all, rows, strict=True):
        for lo, hi, e in zip(bounds.lo[row].tolist(), bounds.hi[row].tolist(), enclosures, strict=False):
            if e.is_finite and not e.kink:
                wrong += bool(e.ball < lo) or bool(e.ball > hi)
    return wrong


def report(points: int) -> Iterator[tuple[Attack, str]]:
    """Each attack with its line, as it ends."""
    kernels = dict(listed() or {})
    for name in FUNCTIONS:
        a = attack(name, kernels, points)
        bound = f"worst {a.ulps:.3f} of {a.bound} ulps" if name in kernels else "no kernel of its own"
        yield a, f"{name:8s} {a.points:8d} points, {bound}, escaped {a.escaped}, mpmath disagreed {a.disagreed}"
    for name in BINARY:
        a = attack_pairs(name, points)
        yield a, f"{name:8s} {a.points:8d} pairs of intervals, escaped {a.escaped}"


def main() -> None:
    """Prints a line for each function, or for each quantity and dtype."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--quantities", metavar="zoo[:NAME]", help="compare whole definitions instead")
    options = parser.parse_args()
    print(f"{this_build()}: {'listed' if listed() else 'not listed, all truth comes from balls'}")  # noqa: T201
    failed = False
    if options.quantities:
        for spec in find(options.quantities):
            for dtype in ("float32", "bfloat16", "float16"):
                count, outside, share = contradictions(spec.name, dtype, options.points)
                failed |= outside > 0
                print(f"{spec.name:32s} {dtype:9s} {count} points, {share:8.3%} by intervals, {outside} contradictions")  # noqa: T201
    else:
        for a, line in report(options.points) if listed() else ():
            failed |= not a.is_repelled
            print(line, flush=True)  # noqa: T201
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
