"""Who says what is true: a written definition, a user's mpmath function, or the program itself in float64."""

from __future__ import annotations

import contextlib
import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import flint
from flint import arb

from stabkit.arithmetic import NumberSystem, Undecided
from stabkit.arithmetic.batch import enclose
from stabkit.arithmetic.bounds import Enclosures
from stabkit.arithmetic.enclosure import UNRESOLVED, Enclosure
from stabkit.arithmetic.evaluate import Truth, climb, evaluate_any, open_truth
from stabkit.arithmetic.plain import evaluate_plain
from stabkit.dependence import Room, room_around
from stabkit.domain import Argument, Fixed
from stabkit.errors import DefinitionError, StabkitError, printable
from stabkit.exact.guards import guards_removed
from stabkit.exact.playback import play
from stabkit.exact.tensor import UnsupportedOperationError, noted_departures
from stabkit.exact.ties import on_both_sides
from stabkit.finding import Oracle as OracleName
from stabkit.floats import Format
from stabkit.program import Points, Program, count_of, points_of, sample_of
from stabkit.search.points import probe_points
from stabkit.spec import definitions_of
from stabkit.target import Target, load_module

SECONDS_A_POINT, LEAST_SECONDS = 1.0, 0.3
PROBES = 3

Sample = Mapping[str, Any]
T = TypeVar("T")


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

    def enclosures(self, points: Points, form: Format, gradient_of: Sequence[str]) -> Enclosures | None:
        """Certified bounds of the truth at many samples at once, where there is a fast way to them."""

    def truth(self, sample: Sample, form: Format, gradient_of: Sequence[str]) -> Truth:
        """Values, and derivatives by the named arguments, of the summed components."""


def _seconds_for_a_point(deadline: float) -> float:
    """The usual ones, fewer next to the deadline."""
    return min(SECONDS_A_POINT, max(deadline - time.monotonic(), LEAST_SECONDS))


@dataclass(frozen=True)
class Reading:
    """A written definition and how a target's arguments are read into it.

    Attributes:
        label: how the user named it.
        functions: the definitions of the one quantity, the source's own first.
        parameters: argument of the target -> parameter of the definition.
        constants: further keyword arguments of the definition.
        arguments: of the target, with their domains.
        deadline: on the monotonic clock; past it hard points are given up at once.
    """

    label: str
    functions: tuple[Callable[..., Any], ...]
    parameters: Mapping[str, str]
    constants: Mapping[str, Any]
    arguments: tuple[Argument, ...] = ()
    deadline: float = math.inf

    def room(self, sample: Sample) -> Room:
        """Whether the domains go on below and above the values of the definition's parameters at one sample."""
        around = room_around(self.arguments, sample)
        back = {p: n for n, p in self.parameters.items()}
        return lambda parameter, x: around(back[parameter], x)

    @property
    def calls(self) -> list[Callable[..., Any]]:
        """The definitions, each a function of the number system and the inputs."""
        return [partial(self._call, function) for function in self.functions]

    def _call(self, function: Callable[..., Any], *ctx: NumberSystem, **inputs: Any) -> Any:
        """A definition at one sample; a mistake of its own is told as such."""
        try:
            return function(*ctx, **inputs, **self.constants)
        except (ArithmeticError, ValueError, StabkitError):
            raise  # undecided or undefined there, or told already
        except Exception as error:
            raise DefinitionError(
                f"reference {self.label!r}",
                f"raises {type(error).__name__}: {error}",
                "mend it, or try it on one sample first",
            ) from error

    def inputs(self, sample: Mapping[str, T]) -> dict[str, T]:
        """A sample or many under the definition's names."""
        return {self.parameters[n]: v for n, v in sample.items()}

    def named(self, gradient: Mapping[str, T]) -> dict[str, T]:
        """What is known of slopes, under the target's names again."""
        back = {p: n for n, p in self.parameters.items()}
        return {back[p]: row for p, row in gradient.items()}


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

    def enclosures(self, points: Points, form: Format, gradient_of: Sequence[str]) -> Enclosures | None:
        r = self.reading
        if not self.certified:
            return None
        narrow = None if form.name == "float64" else form  # in float64 intervals decide nothing
        found = enclose(r.calls, r.inputs(points), [r.parameters[n] for n in gradient_of], narrow)
        return None if found is None else Enclosures(found.values, r.named(found.gradient))

    def truth(self, sample: Sample, form: Format, gradient_of: Sequence[str]) -> Truth:
        r = self.reading
        names, inputs = [r.parameters[n] for n in gradient_of], r.inputs(sample)
        seconds, room = _seconds_for_a_point(r.deadline), r.room(sample)
        if self.certified:
            found = evaluate_any(r.calls, inputs, form, names, seconds, room)
        else:
            found = evaluate_plain(r.calls[0], inputs, form, names, room=room, seconds=seconds)
        return replace(found, gradient=r.named(found.gradient))


@dataclass(frozen=True)
class WiderProgram:
    """The same program in float64: plausible, uncertified. Where it is not finite it settles nothing.

    Attributes:
        why: it is not replayed on exact numbers.
    """

    program: Program
    why: str = ""
    name: OracleName = "program"
    certified: bool = False
    thrifty: bool = False

    def enclosures(self, points: Points, form: Format, gradient_of: Sequence[str]) -> None:
        """None: float64 encloses nothing."""

    def truth(self, sample: Sample, form: Format, gradient_of: Sequence[str]) -> Truth:
        wide = self.program.in_dtype("float64")
        outcome = wide.run(points_of(sample, wide.target.arguments, wide.form))
        gradient = {
            n: tuple(map(_plausible, outcome.gradients[n].flatten().tolist()))
            for n in gradient_of
            if n in outcome.gradients
        }
        return Truth(tuple(map(_plausible, outcome.values[0].double().tolist())), gradient, 53)


@dataclass(frozen=True)
class ExactProgram:
    """The program itself on exact real numbers, and all that a program without a reference is judged by.

    Attributes:
        deadline: on the monotonic clock; past it hard points are given up at once.
        departures: how and where the program took numbers out of the exact world, as far as it has been run.
        guarded: run it as it is, rather than without its clamps and eps.
    """

    program: Program
    deadline: float = math.inf
    departures: list[str] = field(default_factory=list, compare=False)
    guarded: bool = True
    name: OracleName = "program"
    thrifty: bool = True

    @property
    def certified(self) -> bool:
        """Unless numbers left the exact world: what comes back is rounded to doubles."""
        return not self.departures

    @property
    def why(self) -> str:
        """How the exact world was left, if it was."""
        return f"not everything is replayed on exact numbers: {self.departures[0]}" if self.departures else ""

    def reading(self) -> AbstractContextManager[Any]:
        """Inside it, programs run on exact numbers are read as this one is."""
        return nullcontext() if self.guarded else guards_removed()

    def enclosures(self, points: Points, form: Format, gradient_of: Sequence[str]) -> None:
        """None: one sample at a time."""

    def truth(self, sample: Sample, form: Format, gradient_of: Sequence[str]) -> Truth:
        room = room_around(self.program.target.arguments, sample)
        seconds = _seconds_for_a_point(self.deadline)
        way = on_both_sides(partial(play, self.program))
        try:
            with noted_departures() as left, self.reading():
                found = climb([way], sample, form, gradient_of, seconds, room)
        except UnsupportedOperationError as error:  # on a branch that no probe took
            self.departures.append(str(error))
            return open_truth(sample, gradient_of)
        except StabkitError:
            raise
        except Exception:  # the program's own: arguments that were moved may leave what it accepts
            return open_truth(sample, gradient_of)
        self.departures.extend(left[:1])
        return found


def exact_program(program: Program, probes: Points, deadline: float) -> tuple[ExactProgram | None, str]:
    """The program as its own exact oracle, and why it is none: the operation that has no exact counterpart."""
    names = [a.name for a in program.target.arguments if a.is_differentiable]
    try:
        with noted_departures() as left:
            for row in range(count_of(probes)):
                with flint.ctx.workprec(256), contextlib.suppress(Undecided):  # more precision tells
                    play(program, sample_of(probes, row), names)
    except UnsupportedOperationError as error:
        return None, f"judged in float64, uncertified: {error}"
    except Exception as error:  # whatever a program does with tensors that are not what they seem
        return None, f"judged in float64, uncertified: {type(error).__name__}: {printable(str(error))}"[:160]
    return ExactProgram(program, deadline, left[:1]), ""


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
        return _of_program(program, deadline)
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
    reading = Reading(reference or target.name, definitions_of(function), names, constants, target.arguments, deadline)
    return Definition(reading, certified=in_system)


def _of_program(program: Program, deadline: float) -> Oracle | None:
    """The program on exact numbers, else in float64; None for float64 itself."""
    exact, why = exact_program(program, probe_points(program, PROBES), deadline)
    if exact is not None:
        return exact
    return None if program.form.name == "float64" else WiderProgram(program, why)


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
