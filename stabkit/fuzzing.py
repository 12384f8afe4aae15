"""A loss under Hypothesis: samples from its domains, each judged number by number by the error rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import hypothesis
import torch
from hypothesis import strategies as st

from stabkit.judge import Judgement, Kind
from stabkit.notation import parse_parameter
from stabkit.oracle import WiderProgram, oracle_for
from stabkit.program import Program, confirm_batching, draws_random_numbers, points_of, sample_of
from stabkit.search.points import probe_points
from stabkit.spec import Spec
from stabkit.strategies import aim_at_excess_bits, samples_of
from stabkit.strategies.scalars import format_named
from stabkit.target import target_for
from stabkit.verification import Examiner, Sample

PROBES = 5
UNDECIDED = (Kind.UNDEFINED, Kind.UNRESOLVED)

FailOn = Literal["error", "warning"]


@dataclass(frozen=True)
class Fuzzed:
    """A loss, its domains and who says what is true. Nothing is looked up before it is asked for.

    Attributes:
        target: a spec of the zoo, a function, an `nn.Module`, or a name as on the command line.
        arguments: domains by argument name, as after `--arg NAME=`; others are the spec's, or guessed from the names.
        reference: what is true for one sample, a function or its name; without one the loss is its own, on exact
            numbers.

    Example:
        >>> from hypothesis import given, settings
        >>> fuzzed = Fuzzed(lambda x: torch.log(1 + torch.exp(x)), {"x": "[-2,80]"})
        >>> @settings(derandomize=True, database=None, max_examples=10, deadline=None)
        ... @given(fuzzed.samples("float32"))
        ... def is_right(sample):
        ...     fuzzed.check(sample, "float32")
        >>> is_right()
    """

    target: Spec | Callable[..., Any] | str
    arguments: Mapping[str, str] | None = None
    reference: Callable[..., Any] | str | None = None
    _examiners: dict[str, Examiner] = field(default_factory=dict, compare=False, repr=False)

    def samples(self, dtype: str | torch.dtype = "float32") -> st.SearchStrategy[Sample]:
        """Samples inside the domains, as `stabkit.strategies.samples_of` draws them.

        Raises:
            StabkitError: when drawn from, for a target or domain that cannot be used.
        """
        return st.deferred(lambda: samples_of(self.target, self.arguments, dtype=dtype))

    def judged(self, sample: Sample, dtype: str | torch.dtype = "float32") -> list[Judgement]:
        """Every number that the loss gives at one sample, value and slopes, judged.

        Args:
            sample: numbers or nested lists by argument name, rounded to the dtype.

        Raises:
            AssertionError: where the loss raises.
            StabkitError: for a target, domain or reference that cannot be used.
        """
        examiner = self.examiner(dtype)
        program = examiner.program
        points = points_of(sample, program.target.arguments, program.form)
        outcome = program.run(points)
        if bool(outcome.raised[0]):
            raise AssertionError(f"raises {outcome.complaint} at {_written(sample)} in {program.form.name}")
        return examiner.judge_row(sample_of(points, 0), outcome, 0, 0)

    def check(self, sample: Sample, dtype: str | torch.dtype = "float32", fail_on: FailOn = "error") -> list[Judgement]:
        """Asserts that no number at one sample fails, and leads Hypothesis to where most bits are lost.

        A sample at which nothing can be decided is rejected, so that a property that decides nothing does not pass.

        Args:
            fail_on: `warning` fails what is off by more than rounding explains, `error` only what matters.

        Raises:
            AssertionError: naming each number that fails.
            StabkitError: for a target, domain or reference that cannot be used.
        """
        judgements, form = self.judged(sample, dtype), format_named(dtype)
        if hypothesis.currently_in_test_context():
            aim_at_excess_bits(judgements, form, f"excess bits in {form.name}")
            hypothesis.assume(not all(j.kind in UNDECIDED for j in judgements))
        failing = [j for j in judgements if j.kind.is_failure and fail_on in ("warning", j.severity)]
        if failing:
            raise AssertionError(f"{'; '.join(map(words, failing))} at {_written(sample)} in {form.name}")
        return judgements

    def examiner(self, dtype: str | torch.dtype) -> Examiner:
        """The loss in one dtype, and who judges it."""
        form = format_named(dtype)
        if form.name not in self._examiners:
            program = Program(self._target(), form)
            probes = probe_points(program, PROBES)
            program, _ = confirm_batching(program, probes)
            oracle = oracle_for(program.target, self.reference if isinstance(self.reference, str) else None, program)
            if isinstance(oracle, WiderProgram) and draws_random_numbers(program, probes):
                oracle = None  # another dtype draws other numbers
            self._examiners[form.name] = Examiner(program, oracle)
        return self._examiners[form.name]

    def _target(self) -> Any:
        declared = [parse_parameter(f"{name}={domain}") for name, domain in (self.arguments or {}).items()]
        target = target_for(self.target, declared)
        return replace(target, definition=self.reference) if callable(self.reference) else target


def words(judgement: Judgement) -> str:
    """A number, what is true, and how many bits are lost: `value = inf, true 89`."""
    got, true = judgement.got, judgement.truth.as_double()
    digits = next((d for d in range(6, 17) if f"{got:.{d}g}" != f"{true:.{d}g}"), 17)
    lost = "" if judgement.excess is None else f", {judgement.excess:.1f} bits lost"
    return f"{judgement.of} = {got:.{digits}g}, true {true:.{digits}g}{lost}"


def _written(sample: Sample) -> str:
    return ", ".join(f"{name}={value}" for name, value in sample.items())


def undecided(judgements: Sequence[Judgement]) -> int:
    """How many numbers have a truth that could not be settled."""
    return sum(j.kind is Kind.UNRESOLVED for j in judgements)
