"""From failed numbers to findings: one for each cause, with the simplest witness, its onset and a command to repeat it."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from stabkit.arithmetic.enclosure import UNDEFINED
from stabkit.checks import Claim, Failure, symptom_of
from stabkit.domain import Argument, Built, Fixed, Parameter, Point
from stabkit.exact.cause import HINTS, cause_of
from stabkit.finding import SEVERITIES, Finding, Severity, number
from stabkit.floats import Format, shortest
from stabkit.judge import Judgement, Kind
from stabkit.program import sample_of
from stabkit.search.points import extremeness, probe_points
from stabkit.search.shrink import shrink
from stabkit.sweep import Sweep
from stabkit.verification import float64_is_off_alike, judge_alone

SAMPLED_FOR_CAUSES = 16  # failed numbers of a group whose cause is looked at
TRIES, THRIFTY_TRIES = 80, 50


def findings_of(claim: Claim, failures: Sequence[Failure], swept: Sweep, options: Sequence[str], deadline: float) -> list[Finding]:
    """The findings of one claim on one sweep, one for each cause, errors first."""
    found: dict[str, Finding] = {}
    for failure in failures:
        for finding in _of_failure(claim, failure, swept, options, deadline):
            known = found.get(finding.id)
            found[finding.id] = finding if known is None else _merged(known, finding)
    return sorted(found.values(), key=lambda f: (SEVERITIES.index(f.severity), f.extremeness))


def _merged(a: Finding, b: Finding) -> Finding:
    """One finding for two groups with the same cause: the graver, then the nearer one, with the points of both."""
    best = min(a, b, key=lambda f: (SEVERITIES.index(f.severity), f.extremeness))
    return msgspec.structs.replace(best, points=a.points + b.points)


def _of_failure(claim: Claim, failure: Failure, swept: Sweep, options: Sequence[str], deadline: float) -> list[Finding]:
    if not failure.judgements:
        return [_without_witness(claim, failure, swept, options)]
    found = []
    for cause, judgements in _by_cause(failure, swept, deadline).items():
        finding = _with_witness(claim, cause, judgements, swept, options, deadline)
        if finding is not None:
            found.append(msgspec.structs.replace(finding, points=_share(failure, judgements)))
    return found


def _share(failure: Failure, judgements: Sequence[Judgement]) -> int:
    """How many of the group's points a cause stands for: those whose cause was looked at speak for the rest."""
    looked = min(len(failure.judgements), SAMPLED_FOR_CAUSES)
    return max(1, round(len(failure.judgements) * len(judgements) / looked))


def _by_cause(failure: Failure, swept: Sweep, deadline: float) -> dict[str, list[Judgement]]:
    """The nearest, gravest failed numbers of a group, by their cause."""
    ordered = sorted(failure.judgements, key=lambda j: (SEVERITIES.index(j.severity or "note"), swept.remoteness(j.row)))
    causes: dict[str, list[Judgement]] = {}
    for j in ordered[:SAMPLED_FOR_CAUSES]:
        if causes and time.monotonic() > deadline:
            break
        causes.setdefault(_cause(swept.samples[j.row], j, swept), []).append(j)
    return causes


def _cause(sample: dict[str, Any], judgement: Judgement, swept: Sweep) -> str:
    alike = judgement.kind is not Kind.NOT_FINITE and float64_is_off_alike(swept.program, sample, judgement)
    return cause_of(swept.program, sample, judgement.got, judgement.of.startswith("gradient"), alike)


def _with_witness(claim: Claim, cause: str, judgements: Sequence[Judgement], swept: Sweep, options: Sequence[str], deadline: float) -> Finding | None:
    """The finding at its simplest witness; None if no failed number fails again when it runs alone."""
    for first in judgements[:4]:
        again = judge_alone(swept.program, swept.oracle, swept.samples[first.row], first.of)
        if again is None or not _alike(again[1], first):
            continue
        sample, judgement = _shrunk(*again, cause, swept, deadline)
        onset = sample if extremeness(sample, swept.arguments) <= swept.remoteness(first.row) else swept.samples[first.row]
        return _finding(claim, cause, judgement, sample, onset, swept, options)
    return None


def _alike(a: Judgement, b: Judgement) -> bool:
    """Whether a number fails like another: the same kind and symptom, at least as gravely."""
    graver = SEVERITIES.index(a.severity or "note") <= SEVERITIES.index(b.severity or "note")
    return a.kind is b.kind and symptom_of(a) == symptom_of(b) and graver and a.well_conditioned >= b.well_conditioned


def _shrunk(sample: dict[str, Any], judgement: Judgement, cause: str, swept: Sweep, deadline: float) -> tuple[dict[str, Any], Judgement]:
    """The simplest sample found that fails alike and for the same cause, with its judgement."""
    state = (sample, judgement)

    def fails(candidate: dict[str, Any]) -> bool:
        nonlocal state
        if time.monotonic() > deadline:
            return False
        again = judge_alone(swept.program, swept.oracle, candidate, judgement.of)
        if again is None or not _alike(again[1], judgement) or _cause(*again, swept) != cause:
            return False
        state = again
        return True

    thrifty = swept.oracle is not None and swept.oracle.thrifty
    shrink(sample, swept.arguments, swept.program.form, fails, THRIFTY_TRIES if thrifty else TRIES)
    return state


def _finding(
    claim: Claim, cause: str, judgement: Judgement, sample: dict[str, Any], onset: dict[str, Any], swept: Sweep, options: Sequence[str]
) -> Finding:
    form = swept.program.form
    guesses = swept.program.target.guesses
    oracle = swept.oracle
    by_property = oracle is None or not judgement.truth.is_finite
    severity: Severity = "warning" if guesses and judgement.severity == "error" else judgement.severity or "note"
    confirm = f"; the domain is a guess, confirm it with {' '.join('--arg ' + shlex.quote(str(a)) for a in guesses)}" if guesses else ""
    return Finding(
        id=_identity(claim, cause, judgement.of, swept),
        code=claim.code,
        claim=claim.name,
        severity=severity,
        dtype=form.name,
        device=swept.program.device,
        oracle="property" if by_property or oracle is None else oracle.name,
        certified=oracle is not None and oracle.certified,
        of=judgement.of,
        witness=_written(sample, form),
        neighbour=None,
        onset=_written(onset, form),
        extremeness=round(extremeness(onset, swept.arguments), 2),
        points=1,
        got=number(shortest(judgement.got, form)),
        truth=number(judgement.truth.as_double()),
        excess_bits=None if judgement.excess is None else round(judgement.excess, 2),
        ulps=None if judgement.ulps is None else float(f"{judgement.ulps:.4g}"),
        where=None,
        cause=cause,
        hint=HINTS[cause] + confirm,
        repro=_repro(swept, sample, options),
    )


def _without_witness(claim: Claim, failure: Failure, swept: Sweep, options: Sequence[str]) -> Finding:
    """A finding about the call as such, shown at an everyday sample."""
    sample = sample_of(probe_points(swept.program, 1), 0)
    blank = Judgement(0, failure.of, float("nan"), UNDEFINED, Kind.UNDEFINED, failure.severity)
    finding = _finding(claim, failure.cause or "approximation", blank, sample, sample, swept, options)
    return msgspec.structs.replace(finding, severity=failure.severity, oracle="property", got=None, truth=None, hint=f"{failure.note}: {claim.remedy}")


def _identity(claim: Claim, cause: str, of: str, swept: Sweep) -> str:
    """A short name that stays the same from run to run: code, target, dtype, device class, what fails, and why."""
    parts = (claim.code, swept.program.target.name, swept.program.form.name, swept.program.device.partition(":")[0], of.partition("[")[0], cause)
    return f"{claim.code}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:8]}"


def _written(sample: dict[str, Any], form: Format) -> dict[str, Any]:
    """A sample in the result format: shortest decimals, non-finite numbers as strings."""

    def write(value: Any) -> Any:
        if isinstance(value, list):
            return [write(v) for v in value]
        return number(shortest(value, form)) if isinstance(value, float) else value

    return {name: write(value) for name, value in sample.items()}


def _repro(swept: Sweep, sample: dict[str, Any], options: Sequence[str]) -> str:
    """The shell command that audits exactly the witness."""
    target = swept.program.target
    pinned = [_pinned(p, sample, swept.program.form) for p in target.parameters]
    arguments = [part for p in pinned for part in ("--arg", str(p))]
    return shlex.join(["stabkit", "audit", target.name, *arguments, "--dtype", swept.program.form.name, *options])


def _pinned(parameter: Parameter, sample: dict[str, Any], form: Format) -> Parameter:
    if isinstance(parameter, Fixed):
        return parameter
    if isinstance(parameter, Built):
        return replace(parameter, arguments=tuple(_pinned_argument(a, sample, form) for a in parameter.arguments))
    return _pinned_argument(parameter, sample, form)


def _pinned_argument(argument: Argument, sample: dict[str, Any], form: Format) -> Argument:
    def short(value: Any) -> Any:
        return [short(v) for v in value] if isinstance(value, list) else shortest(value, form) if isinstance(value, float) else value

    return replace(argument, domain=Point(short(sample[argument.name])), guessed=False)
