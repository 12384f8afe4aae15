"""A certificate tried again: its own sums, and a sample of its inputs, judged one by one on balls.

Nothing of what it was made by is used but the program: no enclosures by intervals, no common replays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from stabkit.certificates.certificate import (
    EDGES,
    Certificate,
    CertificateError,
    Identity,
    Member,
    Run,
    Tally,
    digest_of,
    ordinals_at,
)
from stabkit.certificates.closeup import by_balls, exactly
from stabkit.certificates.exhaustion import blank_sheets, raising, run_in_lanes
from stabkit.certificates.space import Space
from stabkit.certificates.tallies import NAMES, RAISES, Sheet, bins_of, inputs_at
from stabkit.certificates.verdicts import KINDS
from stabkit.events import Checked
from stabkit.finding import number
from stabkit.judge import Kind
from stabkit.program import Outcome, Points, sample_of
from stabkit.verification import Examiner

MOST_TOLD = 20
AGREEMENT = 1e-6  # relative, of errors that are written down
ALONE = 200  # inputs that are also run by themselves
COUNTS = {Kind.RIGHT: "right", Kind.RANGE_LIMIT: "range_limits", Kind.UNDEFINED: "undefined"}


@dataclass(frozen=True)
class Trial:
    """The inputs of a certificate that are tried again, and what came of them."""

    examiner: Examiner
    space: Space
    ranks: list[int]
    points: Points
    outcome: Outcome
    sheets: Sequence[Sheet]

    def row(self, rank: int) -> int:
        """The row of an input that is among them."""
        return self.ranks.index(rank)


def cross_check(
    certificate: Certificate, identity: Identity, examiner: Examiner, space: Space, sample: int, seed: int
) -> Checked:
    """What of a certificate holds.

    Args:
        identity: what a certificate of the same target would be about now.
        sample: random inputs to try, besides those that it names.

    Raises:
        CertificateError: where it counts nothing yet, or the source has changed.
    """
    known = certificate.identity
    if identity.sources != known.sources:
        changed = next(
            n for n in (*known.sources, *identity.sources) if known.sources.get(n) != identity.sources.get(n)
        )
        raise CertificateError(
            f"the source of the {changed} of {known.target!r}", "has changed since", "certify it again"
        )
    wrong = list(_wrong_in_itself(certificate, identity))
    if wrong or not certificate.done:
        if not wrong:
            raise CertificateError(f"certificate of {known.target!r}", "counts no input yet", "go on with it first")
        return Checked(0, 0, wrong[:MOST_TOLD], _notes(known, identity))
    trial = _tried(examiner, space, _ranks(certificate, sample, seed))
    for tally in certificate.numbers:
        sheet = next((s for s in trial.sheets if s.of == tally.of), None)
        wrong += [f"{tally.of} is no number of it"] if sheet is None else _wrong_in(tally, sheet, trial)
    alone, differing = _alone(trial)
    notes = [*_notes(known, identity), *differing]
    return Checked(len(trial.ranks), _newly_open(certificate, trial), [*wrong, *alone][:MOST_TOLD], notes)


def _newly_open(certificate: Certificate, trial: Trial) -> int:
    """How many numbers of the sample are unresolved that were not."""
    runs, count = {t.of: t.open for t in certificate.numbers}, 0
    for s in trial.sheets:
        rows = (s.verdicts.kind == KINDS.index(Kind.UNRESOLVED)).nonzero().flatten().tolist()
        count += sum(_run_with(runs.get(s.of, []), trial.ranks[row]) is None for row in rows)
    return count


def _notes(known: Identity, identity: Identity) -> list[str]:
    """What is other here, which is no contradiction."""
    notes = [
        f"made with {n} {v}, tried with {identity.versions.get(n, 'none')}"
        for n, v in known.versions.items()
        if identity.versions.get(n) != v
    ]
    if known.machine != identity.machine:
        notes.append(f"made on {known.machine}, tried on {identity.machine}")
    return notes + ([] if all(known.sources.values()) else ["Python does not tell the source, which is not compared"])


def _wrong_in_itself(c: Certificate, identity: Identity) -> Iterator[str]:
    """What contradicts itself, without a look at any input."""
    if c.digest != digest_of(c):
        yield "its digest is another: it was changed after it was written"
    if c.identity.axes != identity.axes or c.inputs != identity.inputs:
        yield f"it is about {c.inputs} inputs, the domain has {identity.inputs}"
        return
    following = None if c.done == c.inputs else ordinals_at(c.identity.axes, c.done)
    if c.complete != (c.done == c.inputs) or c.next != following or not 0 <= c.done <= c.inputs:
        yield f"it says to have done {c.done} of {c.inputs} inputs, which is not what is complete or next in it"
    if c.edges != list(EDGES):
        yield "its histogram has other edges than stabkit's"
    for t in c.numbers:
        yield from (f"{t.of}: {what}" for what in _wrong_sums(t, c.done))


def _wrong_sums(t: Tally, done: int) -> Iterator[str]:
    counts = (t.right, t.warnings, t.errors, t.range_limits, t.undefined, t.unresolved, *t.histogram)
    if min(counts) < 0 or t.inputs != done:
        yield f"its counts make {t.inputs} inputs, not {done}"
    runs = [*t.failing, *t.open]
    if sum(r.count for r in t.failing) != t.failures or sum(r.count for r in t.open) != t.unresolved:
        yield "its intervals hold another number of inputs than its counts"
    endless = sum(r.kinds.get(Kind.NOT_FINITE.value, 0) + r.kinds.get("raises", 0) for r in t.failing)
    if sum(t.histogram) != t.right + t.failures - endless:
        yield "its histogram holds another number of inputs than its counts"
    for r in runs:
        if sum(r.kinds.values()) != r.count or not 0 <= r.first <= r.last < done or r.count > r.last - r.first + 1:
            yield f"its interval from {r.low} to {r.high} holds {r.count} inputs of {sum(r.kinds.values())}"
    for ordered in (t.failing, t.open):
        if any(b.first - a.last <= t.gap for a, b in pairwise(ordered)):
            yield f"its intervals are not {t.gap} floats apart"
    for m in _members(t):
        if not 0 <= m.rank < done:
            yield f"it quotes input {m.rank} of {done}"
    for w in (t.most_ulps, t.most_excess):
        if w is not None and float(w.at_most) < float(w.amount):
            yield f"its worst error is {w.amount} and at most {w.at_most}"


def _ranks(c: Certificate, sample: int, seed: int) -> list[int]:
    """Random inputs and all that are named, the neighbours of intervals included; ascending."""
    drawn = torch.randint(0, c.done, (sample,), generator=torch.Generator().manual_seed(seed)).tolist()
    named = [m.rank for t in c.numbers for m in _members(t)]
    ends = [end for t in c.numbers for r in (*t.failing, *t.open) for end in (r.first - 1, r.first, r.last, r.last + 1)]
    everything = range(c.done) if c.done <= sample else drawn
    return sorted({rank for rank in (*everything, *named, *ends) if 0 <= rank < c.done})


def _members(t: Tally) -> list[Member]:
    return [w.member for w in (t.most_ulps, t.most_excess) if w] + [r.worst for r in (*t.failing, *t.open)]


def _tried(examiner: Examiner, space: Space, ranks: list[int]) -> Trial:
    points = space.points(torch.tensor(ranks))
    outcome = run_in_lanes(examiner.program, points)
    sheets = blank_sheets(space.form, torch.tensor(ranks), outcome)
    by_balls(examiner, points, outcome, (~outcome.raised).nonzero().flatten().tolist(), sheets)
    for s in sheets:
        s.verdicts.put(outcome.raised.nonzero().flatten(), raising(int(outcome.raised.sum())))
    return Trial(examiner, space, ranks, points, outcome, sheets)


def _wrong_in(t: Tally, sheet: Sheet, trial: Trial) -> list[str]:
    """What the tried inputs contradict in the tally of one number."""
    found = [*_wrong_counts(t, sheet), *_wrong_extremes(t, sheet, trial)]
    failing = sheet.failing.tolist()
    for row, rank in enumerate(trial.ranks):
        found += (f"{t.of} at {_at(trial, rank)} {what}" for what in _wrong_at(t, sheet, row, rank, failing[row]))
    for member in _members(t):
        found += (f"{t.of} at {member.at} {what}" for what in _wrong_member(member, sheet, trial))
    for run in (*t.failing, *t.open):
        ends = (
            (run.low, inputs_at(trial.space.axes, run.first, trial.space.form)),
            (
                run.high,
                inputs_at(trial.space.axes, run.last, trial.space.form),
            ),
        )
        found += [f"{t.of}: an interval ends at {said}, which is {there}" for said, there in ends if said != there]
    return found


def _at(trial: Trial, rank: int) -> dict[str, object]:
    return inputs_at(trial.space.axes, rank, trial.space.form)


def _wrong_counts(t: Tally, sheet: Sheet) -> Iterator[str]:
    """More of a kind in the sample than there are."""
    kinds = sheet.verdicts.kind
    met = {name: int((kinds == KINDS.index(k)).sum()) for k, name in COUNTS.items()}
    grave = int((sheet.failing & sheet.verdicts.grave).sum())
    met |= {"errors": grave, "warnings": int(sheet.failing.sum()) - grave}
    for name, count in met.items():
        if count > getattr(t, name):
            yield f"{t.of}: {count} are {name.replace('_', ' ')} in the sample, {getattr(t, name)} in all of it"
    ulps = sheet.verdicts.ulps.lo[~sheet.verdicts.ulps.lo.isnan()]
    here = torch.bincount(bins_of(ulps), minlength=len(t.histogram)).flip(0).cumsum(0)
    said = torch.tensor(t.histogram).flip(0).cumsum(0)
    if bool((here > said).any()):
        yield f"{t.of}: the sample has more large errors than its histogram"


def _wrong_at(t: Tally, sheet: Sheet, row: int, rank: int, fails: bool) -> Iterator[str]:
    """What one input contradicts."""
    kind = int(sheet.verdicts.kind[row])
    inside = _run_with(t.failing, rank)
    if fails and inside is None:
        yield f"fails ({NAMES[kind]}), where the certificate says that it does not"
    elif fails and inside is not None and (NAMES[kind] not in inside.kinds or _graver(sheet, row, inside)):
        yield f"fails otherwise ({NAMES[kind]}) than the certificate says ({', '.join(inside.kinds)})"
    elif not fails and inside is not None and (rank in (inside.first, inside.last) or _is_solid(inside)):
        yield f"does not fail ({NAMES[kind]}), where the certificate says that it does"
    most, ulps = -math.inf if t.most_ulps is None else float(t.most_ulps.at_most), float(sheet.verdicts.ulps.lo[row])
    if ulps > most * (1 + AGREEMENT):
        yield f"is off by {ulps:.9g} ulps, where the certificate says {most:.9g} at most"


def _graver(sheet: Sheet, row: int, run: Run) -> bool:
    return bool(sheet.verdicts.grave[row]) and run.severity != "error"


def _run_with(runs: Iterable[Run], rank: int) -> Run | None:
    return next((r for r in runs if r.first <= rank <= r.last), None)


def _is_solid(run: Run) -> bool:
    return run.count == run.last - run.first + 1


def _wrong_member(member: Member, sheet: Sheet, trial: Trial) -> Iterator[str]:
    """What is otherwise at an input that the certificate quotes."""
    row = trial.row(member.rank)
    if member.at != _at(trial, member.rank):
        yield f"is the input {_at(trial, member.rank)}"
    got = number(float(sheet.got[row]))
    if member.got != got:
        yield f"gives {got}, not {member.got}"
    if int(sheet.verdicts.kind[row]) == RAISES:
        return
    ulps, truth = float(sheet.verdicts.ulps.lo[row]), float(sheet.truth[row])
    if member.ulps is not None and not _agree(member.ulps, ulps):
        yield f"is off by {ulps:.9g} ulps, not {member.ulps:.9g}"
    if not _agree(float(member.truth), truth, sheet.form.smallest_subnormal):
        yield f"has the truth {truth:.9g}, not {float(member.truth):.9g}"


def _agree(a: float, b: float, least: float = 1.0) -> bool:
    """Whether two amounts are the same but for roundings; below `least` nobody cares."""
    return a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= AGREEMENT * max(least, abs(a), abs(b))


def _wrong_extremes(t: Tally, sheet: Sheet, trial: Trial) -> Iterator[str]:
    """Worst errors that are not those of the input they are quoted at."""
    for worst, unit in ((t.most_ulps, "ulps"), (t.most_excess, "excess bits")):
        if worst is not None:
            exact = exactly(trial.examiner, trial.points, trial.outcome, trial.row(worst.member.rank), t.of)
            amount = math.nan if exact is None else (exact.ulps if unit == "ulps" else exact.excess).about
            if exact is not None and not _agree(float(worst.amount), amount):
                yield f"{t.of}: {amount:.9g} {unit} at {worst.member.at}, not {float(worst.amount):.9g}"


def _alone(trial: Trial) -> tuple[list[str], list[str]]:
    """Inputs that fail when they are run by themselves although they do not among others, and how many differ."""
    wrong, differing = [], 0
    if not trial.examiner.program.batched:
        return [], []
    every = max(1, len(trial.ranks) // ALONE)
    rows = [row for row in range(0, len(trial.ranks), every) if not bool(trial.outcome.raised[row])]
    alone = replace(trial.examiner.program, batched=False).run(
        {n: x[torch.tensor(rows)] for n, x in trial.points.items()}
    )
    for k, s in enumerate(trial.sheets):
        column = alone.values if k == 0 else alone.gradients[s.of.removeprefix("gradient:")]
        mine = column.double().reshape(len(rows))
        for row, x, y in zip(rows, mine.tolist(), s.got[torch.tensor(rows)].tolist(), strict=True):
            if x != y and not (math.isnan(x) and math.isnan(y)):
                differing += 1
                found = trial.examiner.judge_alone(sample_of(trial.points, row), s.of)
                if found and found[1].kind.is_failure and not bool(s.failing[row]):
                    wrong.append(f"{s.of} at {_at(trial, trial.ranks[row])} fails when it is run by itself")
    return wrong, [f"{differing} numbers differ in their last bits when run by themselves"] if differing else []
