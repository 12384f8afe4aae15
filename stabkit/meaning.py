"""What a program means, beside what it would mean in float64 or without its guards: both on exact numbers.

Rounding plays no part here. Where the two differ, a constant of the program makes the difference.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from flint import arb

from stabkit.arithmetic.enclosure import Enclosure
from stabkit.conditioning import conditioning
from stabkit.exact.cause import cause_of_difference
from stabkit.exact.shadow import Pair, exact_trace
from stabkit.exact.steps import Step
from stabkit.finding import Severity
from stabkit.judge import Judgement, judge, largest_difference
from stabkit.oracle import ExactProgram
from stabkit.program import points_of, sample_of
from stabkit.sweep import Sweep
from stabkit.verification import Examiner, Sample

MOST_SAMPLES = 40
SAME = 1e-9  # relatively; results of one operation that differ by less are one number


@dataclass(frozen=True)
class Comparison(Examiner):
    """An examiner of what a program means by another way to read it.

    Attributes:
        other: the other reading.
        gravity: of what differs.
    """

    other: ExactProgram | None = None
    gravity: Severity = "note"

    def compared(self, sample: Sample, row: int = 0, known: Sequence[Enclosure] = ()) -> list[Judgement]:
        """What the program means at a sample, each component judged by the other reading.

        Args:
            known: what it means, where that has been found out already.
        """
        form, mine, other = self.program.form, cast(ExactProgram, self.oracle), cast(ExactProgram, self.other)
        allowed = self.program.target.tolerance
        meant = tuple(known) or mine.truth(sample, form, ()).values
        instead = other.truth(sample, form, ()).values

        def component(k: int, here: Enclosure, there: Enclosure) -> Judgement:
            def spread() -> arb:
                moved = conditioning(other, sample, form, (), self.program.target.arguments)
                return largest_difference([t.values[k] for t in moved], there, form)

            of = "value" if len(meant) == 1 else f"value[{k}]"
            found = judge(row, of, here.as_double(), there, form, spread, allowed.natural_scale, allowed.bits)
            return replace(found, severity=self.gravity) if found.kind.is_failure else found

        if len(meant) != len(instead):
            return []
        pairs = zip(meant, instead, strict=True)
        return [component(k, here, there) for k, (here, there) in enumerate(pairs) if here.is_finite]

    def judge_alone(self, sample: Sample, of: str) -> tuple[Sample, Judgement] | None:
        """One component at one sample, rounded to the dtype."""
        exact = sample_of(points_of(sample, self.program.target.arguments, self.program.form), 0)
        found = next((j for j in self.compared(exact) if j.of == of), None)
        return None if found is None else (exact, found)

    def doubtful(self, samples: Sequence[Sample], errors_only: bool) -> list[bool]:
        """All of them."""
        return [True] * len(samples)

    def cause(self, sample: Sample, judgement: Judgement, pairs: Sequence[Pair] | None = None) -> str:
        """Which kind of constant makes the difference."""
        step = self.blamed(sample, judgement)
        return "approximation" if step is None else cause_of_difference(step)

    def blamed(self, sample: Sample, judgement: Judgement) -> Step | None:
        """The first operation whose result differs between the readings."""
        other = cast(ExactProgram, self.other)
        mine = exact_trace(self.program, sample) or []
        with other.reading():
            theirs = exact_trace(other.program, sample) or []
        return next((a for a, b in zip(mine, theirs, strict=False) if a.name != b.name or _differ(a, b)), None)


def _differ(a: Step, b: Step) -> bool:
    pairs = itertools.zip_longest(a.output, b.output, fillvalue=0.0)
    return any(x != y and not abs(x - y) <= SAME * max(abs(x), abs(y)) for x, y in pairs)


def differences(sweep: Sweep, comparison: Comparison) -> Iterator[Judgement]:
    """The values among a sweep's samples, nearest to everyday inputs first, that the other reading changes."""
    oracle = cast(ExactProgram, comparison.oracle)
    nearest = sorted(range(len(sweep.samples)), key=sweep.remoteness)
    known: dict[int, list[Enclosure]] = {}
    for j in sweep.judgements:
        if j.of.startswith("value"):
            known.setdefault(j.row, []).append(j.truth)
    for row in nearest[:: max(len(nearest) // MOST_SAMPLES, 1)]:
        if time.monotonic() > oracle.deadline:
            return
        yield from (j for j in comparison.compared(sweep.samples[row], row, known.get(row, ())) if j.kind.is_failure)
