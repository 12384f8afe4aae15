"""A result as lines for a terminal: one a cause, sorted by onset, 25 at most unless all are asked for."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from stabkit.reports.causes import (
    SHORT_DTYPES,
    Cause,
    causes_of,
    counted,
    dissection_words,
    outcome_words,
    place_words,
    reach_words,
    verdict_words,
    witness_words,
)
from stabkit.reports.hazards import hazard_lines
from stabkit.reports.headroom import headroom_lines
from stabkit.reports.jumps import jump_lines

from stabkit.finding import Result, TargetResult, count

MOST_LINES = 25
MARKS = {"error": "E", "warning": "W", "note": "N"}


def concise(result: Result) -> list[str]:
    """The default output."""
    failing = [t for t in result.targets if t.findings or t.status not in ("audited", "failed")]
    passed = [t for t in result.targets if t not in failing]
    foot = _foot(result)
    room = MOST_LINES - 3 - len(foot) - bool(passed)
    lines = [_head(result), *_blocks(failing, room)]
    if passed:
        lines.append(_passed_line(passed))
    tip = "every cause, with hint and reproduction: --output-format full, or --report html"
    return [*lines, "", *foot, *([tip] if any(t.findings for t in result.targets) else [])]


def full(result: Result) -> list[str]:
    """Every cause with hint and reproduction, every verdict that is not a pass, what was not checked."""
    lines = [_head(result)]
    for target in result.targets:
        lines += ["", *_target_in_full(target)]
    return [*lines, "", *_foot(result)]


def _head(result: Result) -> str:
    v = result.versions
    return f"stabkit {v.get('stabkit', '?')}, torch {v.get('torch', '?')}, seed {result.seed}"


def _blocks(targets: Sequence[TargetResult], room: int) -> list[str]:
    """A block for each failing target; the room is shared out so that each shows its nearest causes."""
    if not targets:
        return []
    if len(targets) > room:
        hidden = len(targets) - room + 1
        return [
            *(_target_line(t) for t in targets[: room - 1]),
            f"… {hidden} more targets with findings: --output-format full",
        ]
    causes = [causes_of(t) for t in targets]
    shares = _shares([len(c) for c in causes], room - len(targets))
    lines = []
    for t, listed, share in zip(targets, causes, shares, strict=True):
        lines += [_target_line(t), *map(cause_line, listed[:share])]
    return lines


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """Lines given out one at a time, in turn, until nobody wants more or none is left."""
    shares = [0] * len(wanted)
    while room > 0 and any(s < w for s, w in zip(shares, wanted, strict=True)):
        for i, w in enumerate(wanted):
            if shares[i] < w and room > 0:
                shares[i] += 1
                room -= 1
    return shares


def _target_line(target: TargetResult) -> str:
    warned = any(f.severity == "warning" for f in target.findings)
    words = {"failed": "FAILED", "audited": "WARNED" if warned else "NOTED" if target.findings else "PASSED"}
    word = words.get(target.status, target.status.upper().replace("_", " "))
    causes = len(causes_of(target))
    of_causes = f" from {causes} causes" if causes > 1 else ""
    judged = target.status in ("audited", "failed")
    return f"{word}  {target.target}  {verdict_words(target) if judged else target.reason}{of_causes}"


def cause_line(cause: Cause) -> str:
    """A cause in one line: what came out, what is true, where, in which dtypes, and why."""
    lead = cause.lead
    others = [n for n in cause.numbers if n != lead.of.partition("[")[0]]
    also = f"; also {', '.join(others)}" if others else ""
    at = f" at {witness_words(lead)}" if lead.got is not None else ""
    why = f" {lead.cause}" if lead.cause and not lead.breaks else ""
    why += f" ({place_words(lead)})" if lead.where is not None else ""
    return f"  {MARKS[lead.severity]} {lead.code} {lead.of} = {outcome_words(lead)}{at} [{cause.where}]{why}{also}"


def _passed_line(targets: Sequence[TargetResult]) -> str:
    names = ", ".join(t.target for t in targets)
    unresolved = sum(v.verdict == "unresolved" for t in targets for v in t.verdicts)
    open_ends = f"  ({unresolved} verdicts unresolved)" if unresolved else ""
    return f"PASSED  {names}{open_ends}" if len(targets) < 4 else f"PASSED  {len(targets)} targets: {names}{open_ends}"


def _foot(result: Result) -> list[str]:
    judged = [t for t in result.targets if t.status in ("audited", "failed")]
    found = f"{counted(count(result, 'error'), 'error')}, {counted(count(result, 'warning'), 'warning')}"
    summary = f"{len(judged)} of {counted(len(result.targets), 'target')} judged: {found}"
    coverage = [c for t in result.targets for c in t.coverage]
    open_ends = (
        f"{sum(c.unresolved for c in coverage)} numbers unresolved, {sum(c.undefined for c in coverage)} undefined"
    )
    limited = "; ended by time" if any(c.ended_by == "time" for c in coverage) else ""
    lines = [f"{summary}; {open_ends}{limited}" + ("" if result.complete else "; INCOMPLETE")]
    if any(not f.certified and f.oracle == "program" for t in result.targets for f in t.findings):
        lines.append("some findings are uncertified: pass --reference for certainty")
    for target in result.targets:
        lines += (
            [f"guessed for {target.target}: {', '.join(target.guesses)}; declare with --arg"] if target.guesses else []
        )
        lines += [f"note on {target.target}: {n}" for n in target.notes]
    return lines[:6]


def _target_in_full(target: TargetResult) -> list[str]:
    lines = (
        [_target_line(target), f"  judged by {target.oracle}; arguments {'; '.join(target.arguments)}"]
        if target.oracle
        else [_target_line(target)]
    )
    for cause in causes_of(target):
        lead = cause.lead
        lines += [cause_line(cause), f"      {lead.claim}: {lead.hint}"]
        lines += textwrap.wrap(reach_words(lead), 80, initial_indent=" " * 6, subsequent_indent=" " * 8)
        lines += [f"      {lead.repro}"]
        lines += [f"      {words}" for words in jump_lines(lead)]
        lines += [f"      {dissection_words(lead)}"] if lead.where is not None and lead.jump is None else []
    lines += [f"  {line}" for line in (*headroom_lines(target), *hazard_lines(target))]
    open_ends = [v for v in target.verdicts if v.verdict in ("unresolved", "not_applicable")]
    lines += [f"  {v.claim} [{SHORT_DTYPES[v.dtype]}] {v.verdict.replace('_', ' ')}: {v.reason}" for v in open_ends]
    lines += [
        f"  {SHORT_DTYPES[c.dtype]}: {c.run} points run, {c.judged} judged, {c.raised} raised, {c.proved} proved "
        f"right; numbers: {c.unresolved} unresolved, {c.undefined} undefined, {c.range_limits} beyond the range"
        for c in target.coverage
    ]
    return lines
