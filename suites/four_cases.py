"""The jump of the usual discretized logistic loss, measured: where its four cases switch, and by how much it steps.

The interior of the loss is -log(sigmoid((c + h)/s) - sigmoid((c - h)/s)) with bins of width 2h = 2/255; usual code
takes the density at the centre times the width instead where that mass is below 1e-5. In real arithmetic it switches
at |c| = s arccosh(sinh(h/s)/1e-5 - cosh(h/s)), and what is taken instead is larger by log(sinh(h/s)/(h/s)) there. In
floats the comparison flips back and forth around that place. Source: pixelcnn-post, Figures 4 and 5.

python -m stabkit.suites.four_cases --dtype float32
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import flint
import mpmath
import torch
import torch.nn.functional as F  # noqa: N812
from flint import arb
from torch import Tensor

from stabkit.arithmetic import Number, NumberSystem
from stabkit.continuity.crossover import band, crossover
from stabkit.continuity.jumps import crossing_at
from stabkit.floats import FORMATS, Format
from stabkit.notation import parse_parameter
from stabkit.oracle import Oracle, oracle_for
from stabkit.program import Program
from stabkit.search.boundaries import Boundary, boundaries, grid_of
from stabkit.search.lines import Lines, Spot, at_value_ranks
from stabkit.target import Target
from stabkit.verification import WORKING_BITS

HALF_BIN, LEAST_MASS = 1 / 255, 1e-5
INVERSE_SCALES = tuple(k / 4 for k in range(1, 31))  # log(1/s)
ARGUMENTS = ("x=point{0}", "mean=[-40,40]", "log_scale=[-8,1]")


def four_case_loss(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """-log of the mass of x's bin on [-1, 1] in nats, as PixelCNN++ and most code after it compute it."""
    centred, inverse = x - mean, torch.exp(-log_scale)
    above, below = inverse * (centred + HALF_BIN), inverse * (centred - HALF_BIN)
    mass = torch.sigmoid(above) - torch.sigmoid(below)
    middle = inverse * centred
    density = middle - log_scale - 2 * F.softplus(middle)
    interior = torch.where(mass > LEAST_MASS, torch.log(mass.clamp(min=1e-12)), density - math.log(127.5))
    last = torch.where(x > 0.999, -F.softplus(below), interior)
    return -torch.where(x < -0.999, above - F.softplus(above), last)


def mass_loss(ctx: NumberSystem, x: Number, mean: Number, log_scale: Number) -> Number:
    """-log(sigmoid((c + h)/s) - sigmoid((c - h)/s)) with c = x - mean, of bins that are not at an edge."""
    scale, centred, half = ctx.exp(log_scale), x - mean, 1 / ctx.number(255)
    masses = [1 / (1 + ctx.exp(-(centred + side * half) / scale)) for side in (1, -1)]
    return -ctx.log(masses[0] - masses[1])


@dataclass(frozen=True)
class Switching:
    """One scale and sign.

    Attributes:
        inverse_scale: log(1/s).
        side: the sign of c.
        low, high: the floats around all flips, of |c|.
        flips: how often the comparison flips natively.
        analytic: |c| by the formula above.
        size: of the step towards the exceptional case, beyond that of the truth.
        expected: log(sinh(h/s)/(h/s)).
        is_jump: the step is more than rounding explains.
    """

    inverse_scale: float
    side: int
    low: float
    high: float
    flips: int
    analytic: float
    size: float
    expected: float
    is_jump: bool

    @property
    def is_inside(self) -> bool:
        """Whether the band contains the analytic crossover."""
        return self.low <= self.analytic <= self.high


def analytic_crossover(inverse_scale: float) -> float:
    """|c| at which the mass of a bin is 1e-5."""
    with mpmath.workdps(40):
        scale = mpmath.exp(-inverse_scale)
        k = mpmath.mpf(1) / 255 / scale
        return float(scale * mpmath.acosh(mpmath.sinh(k) / mpmath.mpf("1e-5") - mpmath.cosh(k)))


def expected_size(inverse_scale: float) -> float:
    """By how much the exceptional case is the larger one in the tail."""
    with mpmath.workdps(40):
        k = mpmath.exp(inverse_scale) / 255
        return float(mpmath.log(mpmath.sinh(k) / k))


def measure(form: Format, inverse_scales: Sequence[float] = INVERSE_SCALES) -> Iterator[Switching]:
    """What is found at each scale, on both sides."""
    parameters = tuple(map(parse_parameter, ARGUMENTS))
    target = Target("four_case_loss", four_case_loss, parameters, definition=mass_loss)
    program = Program(target, form, batched=True)
    scales = torch.tensor([-v for v in inverse_scales], dtype=form.dtype)
    points = {"x": torch.zeros_like(scales), "mean": torch.zeros_like(scales), "log_scale": scales}
    lines = Lines(program, points, [Spot(target.arguments[1])] * len(scales))
    oracle = oracle_for(target, None, program)
    assert oracle is not None  # it has a definition
    for boundary in sorted(_switches(lines), key=lambda b: (b.line, -b.below)):
        yield _switching(lines, boundary, oracle, inverse_scales[boundary.line])


def _switches(lines: Lines) -> list[Boundary]:
    """Where the comparison of the mass flips: of all that an `x > y` decides, the one that depends on the mean."""
    grid = grid_of(lines, gradients=False)
    switch = next(b.switch for b in boundaries(lines, grid) if b.switch and b.switch.operation == "gt")
    return boundaries(lines, grid, switch)


def _switching(lines: Lines, boundary: Boundary, oracle: Oracle, inverse_scale: float) -> Switching:
    crossing = crossing_at(lines, boundary, oracle)
    mean = at_value_ranks(torch.tensor([boundary.below]), lines.form).double().item()
    ends = sorted(map(abs, band(crossing, crossover(crossing))))
    with flint.ctx.workprec(WORKING_BITS):
        below, above = crossing.pair
        step = arb(above.got[0]) - arb(below.got[0]) - (above.truth.values[0].ball - below.truth.values[0].ball)
        outwards = float(step.mid()) * math.copysign(1.0, mean)
        return Switching(
            inverse_scale=inverse_scale,
            side=-1 if mean > 0 else 1,
            low=ends[0],
            high=ends[1],
            flips=crossing.around.flips,
            analytic=analytic_crossover(inverse_scale),
            size=abs(outwards) if crossing.around.flips > 1 else outwards,
            expected=expected_size(inverse_scale),
            is_jump=any(j.index == 0 for j in crossing.jumps()),
        )


def table(rows: Sequence[Switching]) -> Iterator[str]:
    """The rows as aligned text."""
    yield f"{'log 1/s':>7} {'c':>2} {'analytic |c|':>14} {'band of |c|':>31} {'flips':>5} {'step':>11} {'expected':>11}"
    for r in rows:
        ends = f"{r.low:.9g} to {r.high:.9g}"
        marks = ("" if r.is_inside else " outside") + (" jump" if r.is_jump else "")
        sign = "+" if r.side > 0 else "-"
        yield (
            f"{r.inverse_scale:7.2f} {sign:>2} {r.analytic:14.9g} {ends:>31} {r.flips:5d} "
            f"{r.size:11.4g} {r.expected:11.4g}{marks}"
        )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=list(FORMATS), default="float32")
    options = parser.parse_args()
    rows = list(measure(FORMATS[options.dtype]))
    for line in table(rows):
        print(line)  # noqa: T201
    inside = sum(r.is_inside for r in rows)
    print(f"the band contains the analytic crossover in {inside} of {len(rows)} cases")  # noqa: T201


if __name__ == "__main__":
    main()
