"""Auditing one target: every dtype swept, every claim judged, every cause reported once.

Yields events and prints nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from stabkit.audit_job import Job
from stabkit.checks import NAMES, Check, checks
from stabkit.diagnosis import Diagnosis
from stabkit.errors import DomainError, StabkitError, printable
from stabkit.events import Begun, Ended, Event, Judged, Ranged
from stabkit.facts.properties import parse_property
from stabkit.finding import Coverage, Finding, Outcome, Verdict
from stabkit.floats import FORMATS
from stabkit.headroom import headroom
from stabkit.judge import Kind
from stabkit.notation import parse_parameter
from stabkit.oracle import ExactProgram, Oracle, WiderProgram, oracle_for
from stabkit.program import Program, confirm_batching, count_results, draws_random_numbers, require_device, rows_of
from stabkit.safe_range import safe_ranges
from stabkit.search.points import probe_points
from stabkit.sweep import Sweep, sweep
from stabkit.target import Target, resolve, with_properties, with_tolerance
from stabkit.verification import Examiner

LEAST_SECONDS, KEPT_BACK = 0.2, 0.75
CLAIM_SHARE = 0.5  # of what is left for all claims
SWEEP_SHARE = 0.6  # of a dtype's time; the rest is for shrinking and causes
PROBES = 5
MOST_ROOMS = 6  # operations nearest to the ends of the dtype, in results
FEWEST_POINTS = 30  # judged, for a claim to be called passed although time ended the search
OF_CALLS = ("dtype_is_kept", "inputs_are_untouched", "is_deterministic")  # claims on calls, not on numbers
NOTHING_DECIDED = "the truth is undefined or unresolved at every point judged; check the reference and the domains"


def audit_target(job: Job, target: Target | None = None) -> Iterator[Event]:
    """Everything about one target, ending with `Ended`; a user's mistake is an `Ended` too, not an exception.

    Args:
        target: what to audit where it is known already, rather than named by the job.
    """
    deadline = time.monotonic() + job.seconds  # importing the target's module counts
    try:
        torch.manual_seed(job.seed)  # a module that is built here gets the same weights in every run
        found = target or resolve(job.target, [parse_parameter(text) for text in job.arguments])
        found = with_properties(found, [parse_property(text) for text in job.properties])
        require_device(job.device)
        yield from _audit(job, with_tolerance(found, job.tolerance, job.natural_scale), deadline)
    except StabkitError as error:
        memory = "memory" in str(error).lower() and "raises at every" in str(error)
        yield Ended("crashed" if memory else "not_judged", printable(str(error)))
    except MemoryError:
        yield Ended("crashed", "it needs more memory than a worker may have")


def _audit(job: Job, target: Target, deadline: float) -> Iterator[Event]:
    begun, failed, judged, empty = False, False, False, ""
    for position, name in enumerate(job.dtypes):
        share = _share(deadline, len(job.dtypes) - position)
        program = Program(target, FORMATS[name], job.device, seed=job.seed)
        try:
            probes = probe_points(program, PROBES)
            program, why_alone = confirm_batching(program, probes)
        except DomainError as error:
            empty = str(error)
            yield Judged(name, _not_applicable(job, name, str(error)), [], None)
            continue
        oracle = oracle_for(target, job.reference, program, time.monotonic() + share)
        random = draws_random_numbers(program, probes)
        if random and isinstance(oracle, WiderProgram):
            oracle = None  # another dtype draws other numbers
        if not begun:
            begun = True
            arguments, guesses = [str(p) for p in target.parameters], [str(a) for a in target.guesses]
            yield Begun(
                _oracle_words(oracle),
                arguments,
                guesses,
                _notes(why_alone, random, count_results(program, rows_of(probes, 0, 1)), getattr(oracle, "why", "")),
            )
        if job.task == "range":
            ranges = list(safe_ranges(Examiner(program, oracle), job.fail_on, share, job.seed))
            judged = judged or any(r.certainty != "unknown" for r in ranges)
            yield Ranged(name, ranges)
            continue
        event = _judged(job, program, oracle, share)
        failed = failed or any(f.severity == "error" for f in event.findings)
        judged = judged or _says_something(event)
        empty = empty or NOTHING_DECIDED
        yield event
    if not judged:
        yield Ended("not_judged", empty)
    else:
        yield Ended("failed" if failed else "audited")


def _share(deadline: float, dtypes: int) -> float:
    """Seconds for the next of so many dtypes: each may overrun, which must not be at the expense of the last."""
    left = max(deadline - time.monotonic(), LEAST_SECONDS)
    return left if dtypes == 1 else left / dtypes * KEPT_BACK


def _says_something(event: Judged) -> bool:
    """Whether any number was decided, so that the verdicts stand on something."""
    c = event.coverage
    return c is not None and (c.undefined + c.unresolved < c.numbers or bool(event.findings))


def _notes(why_alone: str, random: bool, results: int, why_uncertified: str) -> list[str]:
    notes = [why_uncertified] if why_uncertified else []
    notes += [f"samples run one at a time: {why_alone}"] if why_alone else []
    notes += ["it draws random numbers; the generator is reset before every call"] if random else []
    return notes + ([f"it returns {results} tensors, of which the first is audited"] if results > 1 else [])


def _oracle_words(oracle: Oracle | None) -> str:
    if oracle is None:
        return "property: finiteness only"
    if oracle.name == "reference":
        return "reference: certified truth" if not oracle.thrifty else "reference: mpmath, agreeing precisions"
    if oracle.certified:
        return "program: the same code on exact real numbers, certified"
    if isinstance(oracle, ExactProgram):
        return "program: the same code on exact real numbers, which it leaves, uncertified"
    return "program: the same code in float64, uncertified"


def _not_applicable(job: Job, dtype: str, reason: str) -> list[Verdict]:
    return [Verdict(name, dtype, job.device, "not_applicable", reason) for name in NAMES]


def _judged(job: Job, program: Program, oracle: Oracle | None, seconds: float) -> Judged:
    """One dtype, from sweep to findings."""
    deadline = time.monotonic() + seconds
    swept = replace(sweep(Examiner(program, oracle), seconds * SWEEP_SHARE, job.seed), deadline=deadline)
    for check in checks():
        if check.evidence is not None and check.applies(swept) is None:
            check.unfinished(swept)  # what it looks for by itself it finds while there is time
    verdicts, findings = [], []
    for check in checks():
        now = time.monotonic()
        verdict, found = _claim(job, swept, check, now + (deadline - now) * CLAIM_SHARE)
        verdicts.append(verdict)
        findings += found
    rooms, hazards = headroom(swept)[:MOST_ROOMS], [h for h in swept.hazards if not h.approached]
    return Judged(program.form.name, verdicts, findings, _coverage(job, swept), rooms, hazards)


def _claim(job: Job, swept: Sweep, check: Check, deadline: float) -> tuple[Verdict, list[Finding]]:
    """One claim on one sweep."""
    name = check.claim.name

    def verdict(outcome: Outcome, reason: str) -> Verdict:
        return Verdict(name, swept.program.form.name, job.device, outcome, reason)

    inapplicable = check.applies(swept)
    if inapplicable:
        return verdict("not_applicable", inapplicable), []
    failures = list(check.failures(swept))
    examined = replace(swept, examiner=check.examiner(swept))
    found = Diagnosis(check.claim, examined, _command(job), deadline).findings(failures)
    if failures and not found:
        count = sum(len(f.judgements) for f in failures)
        return verdict("unresolved", f"{count} numbers failed in a batch and none again by itself"), []
    if any(f.severity != "note" for f in found):
        return verdict("failed", f"{len(found)} {'cause' if len(found) == 1 else 'causes'}"), found
    open_ends = _open_ends(swept, name) or check.unfinished(swept)
    if open_ends:
        return verdict("unresolved", open_ends), found
    if name in OF_CALLS:
        return verdict("passed", "a few calls compared"), found
    return verdict("passed", check.evidence(swept) if check.evidence else _evidence(swept)), found


def _open_ends(swept: Sweep, claim: str) -> str:
    """Why a claim that did not fail cannot be called passed, if it cannot."""
    if claim in OF_CALLS:
        return ""
    if not swept.samples:
        return "no point could be judged"
    gradient = None if claim in ("range_is_not_cut_short", "matches_reference") else claim.startswith("gradient")
    relevant = [j for j in swept.judgements if gradient is None or j.of.startswith("gradient") == gradient]
    if swept.oracle is None and claim.endswith("_finite"):
        return ""
    if swept.ended_by == "time" and max(len(swept.samples), swept.certified) < FEWEST_POINTS:
        return f"time ended it after {len(swept.samples)} points"
    unresolved = sum(j.kind is Kind.UNRESOLVED for j in relevant)
    if unresolved:
        return f"{unresolved} of {len(relevant)} numbers are unresolved"
    return "" if any(j.kind is not Kind.UNDEFINED for j in relevant) else "the truth is undefined at every point judged"


def _evidence(swept: Sweep) -> str:
    whole = swept.ended_by == "exhaustion" and swept.run > 1
    scope = "every input" if whole else f"{swept.run} points"
    if whole and swept.certified == swept.run and not swept.count(Kind.UNRESOLVED):
        return f"proved on every input, {swept.run} in all"
    proved = f"{swept.proved} proved right, " if swept.proved else ""
    return f"{scope} run, {proved}{len(swept.samples)} judged"


def _coverage(job: Job, swept: Sweep) -> Coverage:
    return Coverage(
        dtype=swept.program.form.name,
        device=job.device,
        run=swept.run,
        judged=len(swept.samples),
        numbers=len(swept.judgements),
        unresolved=swept.count(Kind.UNRESOLVED) if swept.oracle is not None else 0,
        undefined=swept.count(Kind.UNDEFINED),
        range_limits=swept.count(Kind.RANGE_LIMIT),
        raised=swept.raised,
        ended_by=swept.ended_by,
        proved=swept.proved,
        certified=swept.certified,
    )


def _command(job: Job) -> Sequence[str]:
    """The options of the job that a reproduction repeats."""
    given = {"--reference": job.reference, "--tolerance": job.tolerance, "--natural-scale": job.natural_scale}
    options = [str(word) for name, value in given.items() if value is not None for word in (name, value)]
    return [*options, "--device", job.device, "--seed", str(job.seed)]
