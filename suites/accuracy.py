"""How accurate the zoo's stable forms are, value and gradient, against certified truth.

A number is within bounds if it is off by at most 4 ulps, or has at most 2 excess bits where summands cancel.

    python -m stabkit.suites.accuracy --points 20000
    python -m stabkit.suites.accuracy --write README.md
"""

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import flint
import torch
from flint import arb

from stabkit.arithmetic.enclosure import Enclosure, State
from stabkit.arithmetic.evaluate import Truth
from stabkit.conditioning import conditioning
from stabkit.floats import FORMATS, Format, as_finite, excess_bits, ulp_error
from stabkit.judge import largest_difference
from stabkit.oracle import Oracle, oracle_for
from stabkit.program import Program, sample_of
from stabkit.proof import prove
from stabkit.search.points import draw
from stabkit.spec import Spec
from stabkit.target import resolve
from stabkit.verification import WORKING_BITS, numbers_of
from stabkit.zoo import find

MOST_ULPS, MOST_EXCESS = 4.0, 2.0
BEGIN, END = "<!-- accuracy: begin -->", "<!-- accuracy: end -->"


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

    def __str__(self) -> str:
        """`0.52`, or `0.52 (1.3)` where the numbers beyond 4 ulps have 1.3 excess bits at most."""
        bits = f" ({max(self.excess, 0.0):.1f})" if math.isfinite(self.excess) else ""
        return f"{self.ulps:.2f}{bits}" + (f" **{self.outside} outside**" if self.outside else "")


def measure(spec: Spec, form: Format, points: int, seed: int = 0) -> list[Row]:
    """The rows of one spec in one dtype, over `points` samples of its whole domain."""
    program = Program(resolve(f"zoo:{spec.name}", []), form, batched=True)
    oracle = oracle_for(program.target, None, program)
    assert oracle is not None
    drawn = draw(program.target.arguments, form, points, torch.Generator().manual_seed(seed))
    outcome = program.run(drawn)
    proof = prove(program, oracle, drawn, outcome)
    rows: dict[str, Row] = {}
    with flint.ctx.workprec(WORKING_BITS):
        for i in range(points):
            sample = sample_of(drawn, i)
            truth = (proof.truth_of(i) if proof else None) or oracle.truth(sample, form, list(outcome.gradients))
            for of, got in numbers_of(program, outcome, i).items():
                true = _pick(truth, of)
                row = rows.setdefault(of, Row(spec.name, of, form.name))
                row.take(*_errors(got, true, of, sample, program, oracle))
    return list(rows.values())


def _pick(truth: Truth, of: str) -> Enclosure:
    name, _, place = of.partition("[")
    k = int(place.rstrip("]") or 0)
    return truth.values[k] if name == "value" else truth.gradient[name.removeprefix("gradient:")][k]


def _errors(
    got: float, true: Enclosure, of: str, sample: dict[str, float], program: Program, oracle: Oracle
) -> tuple[float, float]:
    form, arguments = program.form, program.target.arguments
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
    names = [] if of.startswith("value") else [of.removeprefix("gradient:").partition("[")[0]]
    moved = [_pick(t, of) for t in conditioning(oracle, sample, form, names, arguments)]
    return ulps, excess_bits(as_finite(got, form) - true.ball, true.ball, largest_difference(moved, true, form), form)


def worst(rows: Sequence[Row]) -> Row:
    """Several rows as one."""
    return Row(
        rows[0].quantity,
        rows[0].number.partition(":")[0],
        rows[0].dtype,
        sum(r.count for r in rows),
        max(r.ulps for r in rows),
        max(r.excess for r in rows),
        sum(r.outside for r in rows),
    )


def table(points: int, names: Sequence[str]) -> Iterator[str]:
    """The lines of the Markdown table, as they are measured: `value / gradient` of each stable form, by dtype."""
    yield f"| quantity | {' | '.join(FORMATS)} |"
    yield "|---|" + "---|" * len(FORMATS)
    for spec in {s.name: s for n in names for s in find(n) if not s.status.is_fault}.values():
        cells = [_cell(measure(spec, form, points)) for form in FORMATS.values()]
        yield f"| {spec.name} | {' | '.join(cells)} |"


def _cell(rows: Sequence[Row]) -> str:
    by_number = ([r for r in rows if r.number.startswith(number)] for number in ("value", "gradient"))
    return " / ".join(str(worst(part)) for part in by_number if part)


def written_into(text: str, lines: Iterable[str]) -> str:
    """A document with the lines between its two markers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, *lines, END + after])


def main() -> None:
    """Prints the table, or writes it into a document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=4000, help="samples a quantity and dtype")
    parser.add_argument("--write", type=Path, metavar="FILE", help=f"put it between {BEGIN} and {END} there")
    parser.add_argument("names", nargs="*", default=["zoo"], help="zoo names or families")
    options = parser.parse_args()
    if options.write:
        options.write.write_text(written_into(options.write.read_text(), table(options.points, options.names)))
        return
    for line in table(options.points, options.names):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
