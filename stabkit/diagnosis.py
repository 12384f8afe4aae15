"""From failed numbers to findings.

One for each cause, with the simplest witness, its onset and a command to repeat it.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from stabkit.arithmetic.enclosure import UNDEFINED
from stabkit.arithmetic.evaluate import flatten
from stabkit.checks import Claim, Failure, kind_of, symptom_of
from stabkit.domain import Argument, Built, Fixed, Parameter, Tensors, at_point
from stabkit.exact.cause import HINTS
from stabkit.exact.place import near
from stabkit.finding import SEVERITIES, Extent, Finding, Place, Severity, number
from stabkit.floats import Format, shortest
from stabkit.judge import Judgement, Kind
from stabkit.program import sample_of
from stabkit.search.extents import ROUNDS, Probe, extents
from stabkit.search.points import extremeness, probe_points
from stabkit.search.shrink import complexity, shrink
from stabkit.sweep import Sweep
from stabkit.verification import Sample, written

SAMPLED_FOR_CAUSES = 12  # failed numbers of a group whose cause is looked at
TRIES, THRIFTY_TRIES = 80, 30
EXTENTS, FEWER_EXTENTS = 40, 16  # samples judged to see how far a failure extends: an error, and others
FEWER_ROUNDS = 2


@dataclass(frozen=True)
class Diagnosis:
    """One claim on one sweep.

    Attributes:
        options: what a reproduction repeats of the command line.
        deadline: on the monotonic clock; past it nothing more is shrunk or looked into.
    """

    claim: Claim
    swept: Sweep
    options: Sequence[str]
    deadline: float

    def findings(self, failures: Sequence[Failure]) -> list[Finding]:
        """One finding for each cause, errors first."""
        found: dict[str, Finding] = {}
        for failure in failures:
            options = [*self.options, *failure.options]
            for finding in replace(self, swept=failure.swept or self.swept, options=options)._of_failure(failure):
                known = found.get(finding.id)
                found[finding.id] = finding if known is None else _merged(known, finding)
        return sorted(found.values(), key=_rank)

    def _of_failure(self, failure: Failure) -> list[Finding]:
        if not failure.judgements:
            return [self._without_witness(failure)]
        found = []
        for cause, judgements in self._by_cause(failure).items():
            finding = self._with_witness(cause, judgements, given=failure.cause is not None)
            if finding is not None:
                numbers = dict.fromkeys([*finding.numbers, *(j.of.partition("[")[0] for j in judgements)])
                found.append(
                    msgspec.structs.replace(finding, numbers=list(numbers), points=_share(failure, judgements))
                )
        return found

    def _by_cause(self, failure: Failure) -> dict[str, list[Judgement]]:
        """The nearest, gravest failed numbers of a group, by their cause."""
        if failure.cause is not None:
            return {failure.cause: self._nearest_and_simplest(failure)}
        causes: dict[str, list[Judgement]] = {}
        for j in self._nearest_and_simplest(failure):
            if causes and self._is_late():
                break
            causes.setdefault(self.swept.examiner.cause(self.swept.samples[j.row], j), []).append(j)
        return causes

    def _nearest_and_simplest(self, failure: Failure) -> list[Judgement]:
        """Failed numbers of the group, the gravest first: those at everyday inputs, and those of few digits."""
        half = SAMPLED_FOR_CAUSES // 2
        nearest = sorted(failure.judgements, key=lambda j: (_gravity(j), self.swept.remoteness(j.row)))
        simplest = sorted(failure.judgements, key=lambda j: (_gravity(j), self._length(j)))
        return list({id(j): j for j in (*nearest[:half], *simplest[:half])}.values())

    def _length(self, judgement: Judgement) -> float:
        return sum(complexity(float(x)) for v in self.swept.samples[judgement.row].values() for x in flatten(v))

    def _with_witness(self, cause: str, judgements: Sequence[Judgement], given: bool) -> Finding | None:
        """The finding at its simplest witness; None if no failed number fails again when it runs alone."""
        swept = self.swept
        onset = swept.samples[min(judgements, key=lambda j: (_gravity(j), swept.remoteness(j.row))).row]
        for first in sorted(judgements, key=lambda j: (_gravity(j), self._length(j)))[:4]:
            again = swept.examiner.judge_alone(swept.samples[first.row], first.of)
            if again is None or not _alike(again[1], first):
                if self._is_late():
                    break
                continue
            sample, judgement = self._shrunk(*again, None if given else cause)
            nearer = extremeness(sample, swept.arguments) <= extremeness(onset, swept.arguments)
            finding = self._finding(cause, judgement, sample, sample if nearer else onset)
            region, immaterial = self._extents(sample, judgement)
            details = swept.examiner.details(sample, judgement, self._is_late())
            return msgspec.structs.replace(finding, region=region, immaterial=immaterial, **details)
        return None

    def _extents(self, sample: Sample, judgement: Judgement) -> tuple[list[Extent], list[str]]:
        """How far the failure extends around its witness, and the arguments that do not matter to it."""
        examiner = self.swept.examiner

        def fails(candidate: Sample) -> bool:
            again = examiner.judge_alone(candidate, judgement.of)
            return again is not None and _alike(again[1], judgement)

        grave = judgement.severity == "error" and not self._is_thrifty
        looked, rounds = (EXTENTS, ROUNDS) if grave else (FEWER_EXTENTS, FEWER_ROUNDS)
        probe = Probe(fails, looked, self._is_late)
        return extents(sample, examiner.axes, self.swept.program.form, probe, rounds)

    def _is_late(self) -> bool:
        return time.monotonic() > self.deadline

    @property
    def _is_thrifty(self) -> bool:
        return self.swept.oracle is not None and self.swept.oracle.thrifty

    def _shrunk(self, sample: Sample, judgement: Judgement, cause: str | None) -> tuple[Sample, Judgement]:
        """The simplest sample found that fails alike, for the same cause if one is given, with its judgement."""
        state = (sample, judgement)

        def fails(candidate: Sample) -> bool:
            nonlocal state
            if self._is_late():
                return False
            again = self.swept.examiner.judge_alone(candidate, judgement.of)
            if (
                again is None
                or not _alike(again[1], judgement)
                or cause not in (None, self.swept.examiner.cause(*again))
            ):
                return False
            state = again
            return True

        def doubtful(candidates: Sequence[Sample]) -> list[bool]:
            is_error = judgement.severity == "error"
            return [False] * len(candidates) if self._is_late() else self.swept.examiner.doubtful(candidates, is_error)

        tries = THRIFTY_TRIES if self._is_thrifty else TRIES
        shrink(sample, self.swept.arguments, self.swept.program.form, fails, tries, doubtful)
        return state

    def _finding(self, cause: str, judgement: Judgement, sample: Sample, onset: Sample) -> Finding:
        swept, oracle = self.swept, self.swept.oracle
        form, guesses = swept.program.form, swept.program.target.guesses
        severity: Severity = "warning" if guesses and judgement.severity == "error" else judgement.severity or "note"
        by_property = oracle is None or (oracle.name != "reference" and not judgement.truth.is_finite)
        finding = Finding(
            id=self._identity(kind_of(judgement.of), cause),
            code=self.claim.code,
            claim=self.claim.name,
            severity=severity,
            dtype=form.name,
            device=swept.program.device,
            oracle="property" if oracle is None or by_property else oracle.name,
            certified=oracle is not None and oracle.certified,
            of=judgement.of,
            numbers=[judgement.of.partition("[")[0]],
            witness=written(sample, form),
            neighbour=None,
            onset=written(onset, form),
            extremeness=round(extremeness(onset, swept.arguments), 2),
            points=1,
            got=number(shortest(judgement.got, form)),
            truth=number(judgement.truth.as_double()),
            excess_bits=None if judgement.excess is None else number(round(judgement.excess, 2)),
            ulps=None if judgement.ulps is None else number(float(f"{judgement.ulps:.4g}")),
            where=self._where(sample, judgement),
            cause=cause,
            hint=HINTS.get(cause, "") + _how_to_confirm(guesses),
            repro=_repro(swept, sample, self.options),
        )
        return swept.examiner.enriched(finding, sample)

    def _where(self, sample: Sample, judgement: Judgement) -> Place | None:
        """The line of the program that went wrong at a witness, and its operation."""
        step = self.swept.examiner.blamed(sample, judgement)
        if step is None or step.place is None:
            return None
        return Place(near(step.place[0]), step.place[1], step.label)

    def _without_witness(self, failure: Failure) -> Finding:
        """A finding about the call as such, shown at an everyday sample if it shows everywhere."""
        sample = failure.sample or sample_of(probe_points(self.swept.program, 1), 0)
        blank = Judgement(0, failure.of, float("nan"), UNDEFINED, Kind.UNDEFINED, failure.severity)
        finding = self._finding(failure.cause or "", blank, sample, sample)
        hint = f"{failure.note}: {self.claim.remedy}"
        return msgspec.structs.replace(
            finding, severity=failure.severity, oracle="property", got=None, truth=None, hint=hint
        )

    def _identity(self, of: str, cause: str) -> str:
        """A short name that stays the same from run to run: code, target, dtype, device class, what fails, and why."""
        program = self.swept.program
        parts = (
            self.claim.code,
            program.target.name,
            program.form.name,
            program.device.partition(":")[0],
            of,
            cause,
        )
        return f"{self.claim.code}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}"


def _merged(a: Finding, b: Finding) -> Finding:
    """One finding for two groups with the same cause: the graver, then the nearer one, with the points of both."""
    numbers = list(dict.fromkeys([*a.numbers, *b.numbers]))
    return msgspec.structs.replace(min(a, b, key=_rank), numbers=numbers, points=a.points + b.points)


def _rank(finding: Finding) -> tuple[int, float]:
    return SEVERITIES.index(finding.severity), finding.extremeness


def _gravity(judgement: Judgement) -> int:
    return SEVERITIES.index(judgement.severity or "note")


def _share(failure: Failure, judgements: Sequence[Judgement]) -> int:
    """How many of the group's points a cause stands for: those whose cause was looked at speak for the rest."""
    looked = min(len(failure.judgements), SAMPLED_FOR_CAUSES)
    return max(1, round(len(failure.judgements) * len(judgements) / looked))


def _alike(a: Judgement, b: Judgement) -> bool:
    """Whether a number fails like another: the same kind and symptom, at least as gravely."""
    return (
        a.kind is b.kind
        and symptom_of(a) == symptom_of(b)
        and _gravity(a) <= _gravity(b)
        and a.well_conditioned >= b.well_conditioned
    )


def _how_to_confirm(guesses: Sequence[Argument]) -> str:
    if not guesses:
        return ""
    return "; the domain is a guess, confirm it with " + " ".join(f"--arg {shlex.quote(str(a))}" for a in guesses)


def _repro(swept: Sweep, sample: Sample, options: Sequence[str]) -> str:
    """The shell command that audits exactly the witness."""
    target, spans = swept.program.target, swept.examiner.spans(sample)
    pinned = [_pinned(p, sample, swept.program.form, spans) for p in target.parameters]
    arguments = [part for p in pinned for part in ("--arg", str(p))]
    return shlex.join(["stabkit", "audit", target.name, *arguments, "--dtype", swept.program.form.name, *options])


def _pinned(parameter: Parameter, sample: Sample, form: Format, spans: Mapping[str, Tensors]) -> Parameter:
    if isinstance(parameter, Fixed):
        return parameter
    if isinstance(parameter, Built):
        return replace(
            parameter, arguments=tuple(_pinned_argument(a, sample, form, spans) for a in parameter.arguments)
        )
    return _pinned_argument(parameter, sample, form, spans)


def _pinned_argument(argument: Argument, sample: Sample, form: Format, spans: Mapping[str, Tensors]) -> Argument:
    if argument.name in spans:
        return replace(argument, domain=spans[argument.name], guessed=False)

    def short(value: Any) -> Any:
        return (
            [short(v) for v in value]
            if isinstance(value, list)
            else shortest(value, form)
            if isinstance(value, float)
            else value
        )

    return at_point(argument, short(sample[argument.name]))
