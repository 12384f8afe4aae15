"""How accurate the zoo's stable forms are, value and gradient, against certified truth.

A number is within bounds if it is off by at most 4 ulps, or has at most 2 excess bits where summands cancel.

    python -m stabkit.suites.accuracy --points 20000
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

import flint
import torch
from flint import arb

from stabkit.arithmetic.enclosure import Enclosure, State
from stabkit.arithmetic.evaluate import Truth
from stabkit.floats import FORMATS, Format, as_finite, excess_bits, ulp_error
from stabkit.judge import largest_difference
from stabkit.oracle import Oracle, conditioning, oracle_for
from stabkit.program import Program, sample_of
from stabkit.search.points import draw
from stabkit.spec import Spec
from stabkit.target import resolve
from stabkit.verification import WORKING_BITS, numbers_of
from stabkit.zoo import find

MOST_ULPS, MOST_EXCESS = 4.0, 2.0


@dataclass
class Row:
    """The worst of one number of one quantity in one dtype.

    Attributes:
        ulps: the largest error among numbers that are off by at most 4 ulps.
        excess: most excess bits among the others, where summands cancel or inputs are badly conditioned.
        outside: how many are beyond both bounds.
    """

    quantity: str
    number: str
    dtype: str
    count: int = 0
    ulps: float = 0.0
    excess: float = -math.inf
    outside: int = 0

    def take(self, ulps: float, excess: float) -> None:
        """Counts one number in; `excess` is -inf where the error is within 4 ulps."""
        self.count += 1
        if abs(ulps) <= MOST_ULPS:
            self.ulps = max(self.ulps, abs(ulps))
        else:
            self.excess = max(self.excess, excess)
            self.outside += excess > MOST_EXCESS


def measure(spec: Spec, form: Format, points: int, seed: int = 0) -> list[Row]:
    """The rows of one spec in one dtype, over `points` samples of its whole domain."""
    program = Program(resolve(f"zoo:{spec.name}", []), form, batched=True)
    oracle = oracle_for(program.target, None, program)
    assert oracle is not None
    drawn = draw(program.target.arguments, form, points, torch.Generator().manual_seed(seed))
    outcome = program.run(drawn)
    rows: dict[str, Row] = {}
    with flint.ctx.workprec(WORKING_BITS):
        for i in range(points):
            sample = sample_of(drawn, i)
            truth = oracle.truth(sample, form, list(outcome.gradients))
            for of, got in numbers_of(program, outcome, i).items():
                true = _pick(truth, of)
                row = rows.setdefault(of, Row(spec.name, of, form.name))
                row.take(*_errors(got, true, of, sample, form, oracle))
    return list(rows.values())


def _pick(truth: Truth, of: str) -> Enclosure:
    return truth.values[0] if of == "value" else truth.gradient[of.removeprefix("gradient:")][0]


def _errors(
    got: float, true: Enclosure, of: str, sample: dict[str, float], form: Format, oracle: Oracle
) -> tuple[float, float]:
    if true.state is State.UNRESOLVED or math.isnan(got):
        return math.inf, math.inf
    if not true.is_finite:
        return 0.0, -math.inf  # a pole or a point outside the domain
    if true.overflows(form):
        agrees = math.isinf(got) and (got > 0) == bool(true.ball > 0)
        return 0.0 if agrees else ulp_error(got, arb(math.copysign(form.largest, float(true.ball))), form), -math.inf
    ulps = ulp_error(got, true.ball, form)
    if abs(ulps) <= MOST_ULPS:
        return ulps, -math.inf
    names = [] if of == "value" else [of.removeprefix("gradient:")]
    moved = [_pick(t, of) for t in conditioning(oracle, sample, form, names)]
    return ulps, excess_bits(as_finite(got, form) - true.ball, true.ball, largest_difference(moved, true, form), form)


def table(points: int, names: list[str]) -> Iterator[str]:
    """The lines of the Markdown table, as they are measured."""
    yield "| quantity | number | dtype | numbers | worst ulps up to 4 | worst excess bits beyond | outside |"
    yield "|---|---|---|---|---|---|---|"
    for spec in (s for n in names for s in find(n)):
        for form in FORMATS.values() if not spec.status.is_fault else ():
            for r in measure(spec, form, points):
                excess = f"{r.excess:.2f}" if math.isfinite(r.excess) else "–"
                yield f"| {r.quantity} | {r.number} | {r.dtype} | {r.count} | {r.ulps:.2f} | {excess} | {r.outside} |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=4000, help="samples a quantity and dtype")
    parser.add_argument("names", nargs="*", default=["zoo"], help="zoo names or families")
    options = parser.parse_args()
    for line in table(options.points, options.names):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
