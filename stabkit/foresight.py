"""Truths of several samples by one exact replay: an operation of torch costs far more than the balls under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import flint

from stabkit.arithmetic.evaluate import Truth
from stabkit.conditioning import neighbourhood
from stabkit.domain import Argument, Built, Parameter
from stabkit.errors import StabkitError
from stabkit.exact.playback import play
from stabkit.exact.tensor import noted_departures
from stabkit.floats import Format
from stabkit.oracle import ExactProgram, Oracle, Sample
from stabkit.program import Program
from stabkit.target import Target

PRECISIONS = (128, 512)  # bits; what they leave open is settled sample by sample
MOST_HALVINGS = 3  # of a batch in which a sample is undecided


@dataclass(frozen=True, eq=False)
class Foresight:
    """Samples that are replayed together when the first of them is asked for; it reads as a proof does.

    Attributes:
        samples: by row.
        names: the arguments to differentiate by.
    """

    oracle: ExactProgram
    form: Format
    samples: Mapping[int, Sample]
    names: Sequence[str]

    def truth_of(self, row: int) -> Truth | None:
        """The truth at one sample, if it was settled together with others."""
        return self._truths[row] if len(self.samples) > 1 else None

    def moved_of(self, row: int) -> list[Truth]:
        """The truths at the inputs of one sample moved by a unit roundoff, as `conditioning` moves them."""
        return [
            truth or self.oracle.truth(sample, self.form, self.names)
            for sample, truth in zip(self._neighbours[row], self._moved[row], strict=True)
        ]

    @cached_property
    def _truths(self) -> dict[int, Truth | None]:
        found = self._together(list(self.samples.values()))
        return dict(zip(self.samples, found, strict=True))

    @cached_property
    def _neighbours(self) -> dict[int, list[Sample]]:
        arguments = self.oracle.program.target.arguments
        return {row: neighbourhood(s, self.form, arguments) for row, s in self.samples.items()}

    @cached_property
    def _moved(self) -> dict[int, list[Truth | None]]:
        everything = [s for group in self._neighbours.values() for s in group]
        found = iter(self._together(everything))
        return {row: [next(found) for _ in group] for row, group in self._neighbours.items()}

    def _together(self, samples: Sequence[Sample]) -> list[Truth | None]:
        with noted_departures() as left, self.oracle.reading():
            found = together(self.oracle.program, samples, self.names, self.form)
        self.oracle.departures.extend(left[:1])
        return found


def foresee(
    oracle: Oracle | None, form: Format, samples: Mapping[int, Sample], names: Sequence[str]
) -> Foresight | None:
    """The samples' truths by common replays; None where the oracle is another, or samples cannot run together."""
    if not isinstance(oracle, ExactProgram) or not oracle.program.batched:
        return None
    return Foresight(oracle, form, samples, names)


def together(program: Program, samples: Sequence[Sample], names: Sequence[str], form: Format) -> list[Truth | None]:
    """The truth at each sample where a low precision settles it and no limit is needed, else None.

    Example:
        >>> from stabkit.notation import parse_parameter
        >>> from stabkit.floats import FORMATS
        >>> target = Target("square", lambda x: x * x, (parse_parameter("x=real"),))
        >>> single = FORMATS["float32"]
        >>> found = together(Program(target, single, batched=True), [{"x": 3.0}, {"x": 0.5}], ["x"], single)
        >>> [(t.values[0].as_double(), t.gradient["x"][0].as_double()) for t in found]
        [(9.0, 6.0), (0.25, 1.0)]
    """
    found: list[Truth | None] = [None] * len(samples)
    for precision in PRECISIONS:
        waiting = [i for i, truth in enumerate(found) if truth is None]
        with flint.ctx.workprec(precision):
            for i, truth in zip(waiting, _played(program, [samples[i] for i in waiting], names), strict=True):
                if truth is not None and _is_settled(truth, form):
                    found[i] = replace(truth, precision=precision)
    return found


def _is_settled(truth: Truth, form: Format) -> bool:
    numbers = [*truth.values, *(e for row in truth.gradient.values() for e in row)]
    return truth.is_decided(form) and not any(e.kink or not e.is_finite for e in numbers)


def _played(
    program: Program, samples: Sequence[Sample], names: Sequence[str], halvings: int = MOST_HALVINGS
) -> Sequence[Truth | None]:
    """One replay; where a sample leaves it undecided, one of each half."""
    if not samples:
        return []
    try:
        return _at_once(program, samples, names)
    except StabkitError:
        raise
    except Exception:  # undecided, or of the program's own, at one of the samples
        if halvings == 0 or len(samples) == 1:
            return [None] * len(samples)
        half = len(samples) // 2
        parts = (samples[:half], samples[half:])
        return [truth for part in parts for truth in _played(program, part, names, halvings - 1)]


def _at_once(program: Program, samples: Sequence[Sample], names: Sequence[str]) -> list[Truth]:
    """Several samples replayed as one whose tensors have a dimension more."""
    count = len(samples)
    wide = replace(program, target=_of_many(program.target, count))
    whole = play(wide, {n: [s[n] for s in samples] for n in samples[0]}, names)
    values = _in_rows(whole.values, count)
    gradient = {n: _in_rows(row, count) for n, row in whole.gradient.items()}
    return [Truth(values[i], {n: rows[i] for n, rows in gradient.items()}, 0) for i in range(count)]


def _in_rows(numbers: Sequence[Any], count: int) -> list[tuple[Any, ...]]:
    size = len(numbers) // count
    return [tuple(numbers[i * size : (i + 1) * size]) for i in range(count)]


def _of_many(target: Target, count: int) -> Target:
    def widened(argument: Argument) -> Argument:
        return replace(argument, shape=(count, *argument.shape), batch=False)

    def of_many(parameter: Parameter) -> Parameter:
        if isinstance(parameter, Built):
            return replace(parameter, arguments=tuple(map(widened, parameter.arguments)))
        return widened(parameter) if isinstance(parameter, Argument) else parameter

    return replace(target, parameters=tuple(map(of_many, target.parameters)))
