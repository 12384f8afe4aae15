"""Who says what is true: a written definition, a user's mpmath function, or the program itself in float64."""

from __future__ import annotations

import inspect
import itertools
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from flint import arb

from stabkit.arithmetic import NumberSystem
from stabkit.arithmetic.enclosure import UNRESOLVED, Enclosure
from stabkit.arithmetic.evaluate import Truth, evaluate, flatten
from stabkit.arithmetic.plain import evaluate_plain
from stabkit.domain import Argument, Fixed, Interval
from stabkit.errors import DefinitionError, StabkitError
from stabkit.finding import Oracle as OracleName
from stabkit.floats import Format
from stabkit.program import Program, points_of
from stabkit.target import Target, load_module

SECONDS_A_POINT, LEAST_SECONDS = 1.0, 0.3

Sample = Mapping[str, Any]


class Oracle(Protocol):
    """Answers with the truth at one sample."""

    @property
    def name(self) -> OracleName:
        """As findings state it."""

    @property
    def certified(self) -> bool:
        """Whether the answer is settled by precision rather than plausible."""

    @property
    def thrifty(self) -> bool:
        """Whether a point costs milliseconds, so that fewer are judged."""

    def truth(self, sample: Sample, form: Format, gradient_of: Sequence[str]) -> Truth:
        """Values, and derivatives by the named arguments, of the summed components."""


@dataclass(frozen=True)
class Reading:
    """A written definition and how a target's arguments are read into it.

    Attributes:
        label: how the user named it.
        parameters: argument of the target -> parameter of the definition.
        constants: further keyword arguments of the definition.
        arguments: of the target, with their domains.
        deadline: on the monotonic clock; past it hard points are given up at once.
    """

    label: str
    function: Callable[..., Any]
    parameters: Mapping[str, str]
    constants: Mapping[str, Any]
    arguments: tuple[Argument, ...] = ()
    deadline: float = math.inf

    def room(self, parameter: str, x: float) -> tuple[bool, bool]:
        """Whether the domain goes on below and above a value of one of the definition's parameters."""
        domain = next(a.domain for a in self.arguments if self.parameters[a.name] == parameter)
        return (x > domain.low, x < domain.high) if isinstance(domain, Interval) else (True, True)

    def call(self, *ctx: NumberSystem, **inputs: Any) -> Any:
        """The definition at one sample; a mistake of its own is told as such."""
        try:
            return self.function(*ctx, **inputs, **self.constants)
        except (ArithmeticError, ValueError, StabkitError):
            raise  # undecided or undefined there, or told already
        except Exception as error:
            raise DefinitionError(
                f"reference {self.label!r}",
                f"raises {type(error).__name__}: {error}",
                "mend it, or try it on one sample first",
            ) from error

    def inputs(self, sample: Sample) -> Sample:
        """The sample under the definition's names."""
        return {self.parameters[n]: v for n, v in sample.items()}

    def truth(self, found: Truth) -> Truth:
        """A truth under the target's names again."""
        back = {p: n for n, p in self.parameters.items()}
        return replace(found, gradient={back[p]: row for p, row in found.gradient.items()})

    def seconds(self) -> float:
        """To spend on one point: the usual ones, fewer next to the deadline."""
        return min(SECONDS_A_POINT, max(self.deadline - time.monotonic(), LEAST_SECONDS))


@dataclass(frozen=True)
class Definition:
    """A written definition.

    Attributes:
        certified: it is a function of a number system and runs on balls; else it is plain mpmath code, settled by
            agreement of precisions and of steps, which is no proof.
    """

    reading: Reading
    certified: bool
    name: OracleName = "reference"

    @property
    def thrifty(self) -> bool:
        """Plain mpmath takes milliseconds a point."""
        return not self.certified

    def truth(self, sample: Sample, form: Format, gradient_of: Sequence[str]) -> Truth:
        r = self.reading
        compute = evaluate if self.certified else evaluate_plain
        names = [r.parameters[n] for n in gradient_of]
        return r.truth(compute(r.call, r.inputs(sample), form, names, seconds=r.seconds(), room=r.room))


@dataclass(frozen=True)
class WiderProgram:
    """The same program in float64: plausible, uncertified. Where it is not finite it settles nothing."""

    program: Program
    name: OracleName = "program"
    certified: bool = False
    thrifty: bool = False

    def truth(self, sample: Sample, form: Format, gradient_of: Sequence[str]) -> Truth:
        wide = self.program.in_dtype("float64")
        outcome = wide.run(points_of(sample, wide.target.arguments, wide.form))
        gradient = {
            n: tuple(map(_plausible, outcome.gradients[n].flatten().tolist()))
            for n in gradient_of
            if n in outcome.gradients
        }
        return Truth(tuple(map(_plausible, outcome.values[0].double().tolist())), gradient, 53)


def _plausible(value: float) -> Enclosure:
    return Enclosure.of(arb(value)) if math.isfinite(value) else UNRESOLVED


def oracle_for(target: Target, reference: str | None, program: Program, deadline: float = math.inf) -> Oracle | None:
    """The best oracle there is; None where float64 itself is audited without a reference.

    Past the deadline (on the monotonic clock) it gives up on hard points at once.

    Raises:
        DefinitionError: where the reference cannot be found or does not fit the target's arguments.
    """
    function = _load(reference) if reference else target.definition
    if function is None:
        return None if program.form.name == "float64" else WiderProgram(program)
    takes = _parameters(function, reference or target.name)
    in_system = bool(takes) and takes[0] == "ctx"
    names = _matched(target, takes[1:] if in_system else takes, reference or target.name)
    literals = {p.name: p.domain.value for p in target.parameters if isinstance(p, Fixed) and p.name in takes}
    constants = {**target.constants, **literals}
    missing = [n for n in _required(function) if n not in (*names.values(), *constants, "ctx")]
    if missing:
        raise DefinitionError(
            f"reference {reference or target.name!r}",
            f"also needs {', '.join(missing)}",
            "give it the target's arguments only",
        )
    reading = Reading(reference or target.name, function, names, constants, target.arguments, deadline)
    return Definition(reading, certified=in_system)


def _load(reference: str) -> Callable[..., Any]:
    place, colon, name = reference.rpartition(":")
    if not colon:
        raise DefinitionError(
            f"reference {reference!r}", "does not read PLACE:FUNCTION", "write module:function or file.py:function"
        )
    function = getattr(load_module(place), name, None)
    if not callable(function):
        raise DefinitionError(f"reference {reference!r}", f"is not a function of {place}", "check its name")
    return function  # type: ignore[no-any-return]


def _parameters(function: Callable[..., Any], label: str) -> list[str]:
    try:
        return [
            n
            for n, p in inspect.signature(function).parameters.items()
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        ]
    except (ValueError, TypeError):
        raise DefinitionError(
            f"reference {label!r}", "does not tell its parameters", "wrap it in a Python function"
        ) from None


def _required(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters
    return [
        n for n, p in parameters.items() if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]


def _matched(target: Target, takes: Sequence[str], label: str) -> dict[str, str]:
    """Arguments to parameters: by name where all names fit, else in order."""
    names = [a.name for a in target.arguments]
    if all(n in takes for n in names):
        return {n: n for n in names}
    if len(takes) < len(names):
        raise DefinitionError(
            f"reference {label!r}",
            f"takes {len(takes)} inputs, the target {len(names)} ({', '.join(names)})",
            "give it one parameter for each",
        )
    return dict(zip(names, takes, strict=False))


def conditioning(oracle: Oracle, sample: Sample, form: Format, gradient_of: Sequence[str]) -> list[Truth]:
    """The truths at inputs moved by one unit roundoff each, along a few sign vectors.

    The largest |difference| from the truth itself, over u, is the conditioning C of a number. The vectors are
    Walsh functions on random signs, so that any two inputs move together in some and apart in others; one comes
    with its opposite, so that a jump next to the sample is crossed.
    """
    count = sum(len(flatten(v)) for v in sample.values())
    masks = (0, *(1 << bit for bit in range(max(count - 1, 1).bit_length())))  # any two indices differ in a bit
    vectors = [(0, -1), *((mask, 1) for mask in masks)]
    return [oracle.truth(_nudged(sample, form, mask, way), form, gradient_of) for mask, way in vectors]


def _nudged(sample: Sample, form: Format, mask: int, way: int) -> Sample:
    signs = random.Random(0)
    position = itertools.count()

    def move(value: Any) -> Any:
        if isinstance(value, list):
            return [move(v) for v in value]
        sign = way * signs.choice((-1, 1)) * (-1) ** (next(position) & mask).bit_count()
        if isinstance(value, int) or not math.isfinite(value) or value == 0:
            return value
        step = sign * form.unit_roundoff
        return value * (1 + step) if form.precision < 50 else arb(value) * (1 + arb(step))  # exact either way

    return {name: move(value) for name, value in sample.items()}
