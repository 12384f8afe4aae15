"""Claim: what is declared of the program holds, and what its truth shows; it means the same in every dtype."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from flint import arb

from stabkit.checks import Claim, Failure, grouped
from stabkit.checks.matches_reference import mismatches
from stabkit.facts.counterexamples import Challenger, Counterexamples, counterexamples
from stabkit.facts.properties import Property
from stabkit.judge import Judgement
from stabkit.meaning import Comparison, differences
from stabkit.oracle import ExactProgram
from stabkit.program import draws_random_numbers
from stabkit.search.points import extremeness, probe_points
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="properties_hold",
    code="STB601",
    says=(
        "declared properties hold natively, and so do sign and monotonicity that the truth has at every point judged; "
        "on exact numbers the program gives the same in this dtype as in float64, within 4 bits of this dtype"
    ),
    remedy="take eps and bounds from the mathematics, not from torch.finfo, or document what they cut off",
)
FEWEST = 30  # points whose truth has one sign, for that to be a property
SEARCH_SHARE = 0.2  # of the time left, for one property


def applies(sweep: Sweep) -> str | None:
    """None where there is a property to break, or a dtype to compare with float64."""
    return None if _facts(sweep) else _without_wider_dtype(sweep)


def _without_wider_dtype(sweep: Sweep) -> str | None:
    if not isinstance(sweep.oracle, ExactProgram):
        return "no property is declared or seen; with a reference the program is not compared with itself"
    if draws_random_numbers(sweep.program, probe_points(sweep.program, 2)):
        return "it draws random numbers, others in another dtype"
    return "float64 is what the other dtypes are compared with" if sweep.program.form.name == "float64" else None


def examiner(sweep: Sweep) -> Comparison:
    """Who judges the program in this dtype by the program in float64."""
    wide = ExactProgram(sweep.program.in_dtype("float64"), getattr(sweep.oracle, "deadline", 0.0))
    return Comparison(sweep.program, sweep.oracle, other=wide, gravity="warning")


def failures(sweep: Sweep) -> Iterable[Failure]:
    """What breaks a property, and the values that mean something else in float64."""
    for fact, declared in _facts(sweep):
        yield from _of_property(sweep, fact, declared)
    if _without_wider_dtype(sweep) is None:
        yield from grouped(differences(sweep, examiner(sweep)))


@lru_cache(maxsize=4)
def _facts(sweep: Sweep) -> tuple[tuple[Property, bool], ...]:
    """The properties to look into, and whether each is declared."""
    declared = sweep.program.target.properties
    seen = [] if mismatches(sweep) else [p for p in _seen(sweep) if p not in declared]
    return (*((p, True) for p in declared), *((p, False) for p in seen))


def _seen(sweep: Sweep) -> Iterator[Property]:
    """A sign of the value, and of the slopes by each argument, that every truth of a program of one number has."""
    values = [j for j in sweep.judgements if j.of.startswith("value")]
    if {j.of for j in values} != {"value"}:
        return
    for kind, sign in (("at_least", 1), ("at_most", -1)):
        if _has_sign(values, sign):
            yield Property(kind)
    for a in sweep.arguments:
        slopes = [j for j in sweep.judgements if j.of.partition("[")[0] == f"gradient:{a.name}"]
        for kind, sign in (("increasing", 1), ("decreasing", -1)):
            if _has_sign(slopes, sign):
                yield Property(kind, (a.name,))


def _has_sign(judgements: Iterable[Judgement], sign: int) -> bool:
    known = [j.truth.ball * sign for j in judgements if j.truth.is_finite]
    return sum(bool(t > 0) for t in known) >= FEWEST and not any(bool(t < arb(0)) for t in known)


def _of_property(sweep: Sweep, fact: Property, declared: bool) -> Iterator[Failure]:
    challenger = Challenger(sweep.program, sweep.oracle, fact=fact, declared=declared)
    if fact.is_bound and not declared:
        found = _beyond(sweep, challenger)
    else:
        now = time.monotonic()
        found = counterexamples(challenger, sweep.samples, now + (sweep.deadline - now) * SEARCH_SHARE)
    if not found.judgements:
        return
    here = replace(
        sweep,
        examiner=found.challenger,
        samples=found.samples,
        remote=[extremeness(s, sweep.arguments) for s in found.samples],
        judgements=found.judgements,
    )
    for group in grouped(found.judgements):
        words = ("--property", str(fact))
        yield replace(group, cause=str(fact), severity=challenger.gravity, swept=here, options=words)


def _beyond(sweep: Sweep, challenger: Challenger) -> Counterexamples:
    """The failed values on the wrong side of a bound that the truth keeps."""
    side = 1 if challenger.fact.kind == "at_least" else -1
    wrong = [j for j in sweep.judgements if j.of == "value" and j.kind.is_failure and j.got * side < 0]
    kept = [replace(j, severity=challenger.gravity) for j in sorted(wrong, key=lambda j: sweep.remoteness(j.row))]
    samples = tuple(sweep.samples[j.row] for j in kept)
    return Counterexamples(challenger, samples, tuple(replace(j, row=k) for k, j in enumerate(kept)), len(kept))
