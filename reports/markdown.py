"""A result as Markdown that fits a pull-request comment."""

from __future__ import annotations

import re

from stabkit.reports.causes import Cause, causes_of, counted, outcome_words, reach_words, verdict_words, witness_words
from stabkit.reports.jumps import jump_lines

from stabkit.finding import Result, TargetResult, count


def markdown(result: Result) -> list[str]:
    """Headline, one table of causes for each failing target, and a line for those that passed."""
    found = f"{counted(count(result, 'error'), 'error')}, {counted(count(result, 'warning'), 'warning')}"
    lines = [f"## stabkit: {found}", ""]
    lines += [] if result.complete else ["**Incomplete:** not every target was judged.", ""]
    for target in result.targets:
        lines += _section(target)
    passed = [f"`{t.target}`" for t in result.targets if t.status == "audited" and not t.findings]
    return [*lines, f"Passed: {', '.join(passed)}", ""] if passed else lines


def _section(target: TargetResult) -> list[str]:
    if target.status == "audited" and not target.findings:
        return []
    rows = [_row(c) for c in causes_of(target)]
    table = ["| | claim | dtypes | result | at | cause |", "|---|---|---|---|---|---|", *rows, ""] if rows else []
    jumps = [f"- {c.lead.code}: {plain('; '.join(words))}" for c in causes_of(target) if (words := jump_lines(c.lead))]
    return [f"### {_code(target.target)}: {plain(verdict_words(target))}", "", *table, *jumps, *([""] if jumps else [])]


def _row(cause: Cause) -> str:
    lead = cause.lead
    cells = (
        lead.severity,
        f"{lead.code} {lead.claim} ({', '.join(cause.numbers)})",
        cause.where,
        outcome_words(lead),
        _code(witness_words(lead)),
        "; ".join(w for w in (lead.cause, reach_words(lead)) if w),
    )
    return "| " + " | ".join(c if c.startswith("`") else plain(c) for c in cells) + " |"


def _code(text: str) -> str:
    """Inline code that no backtick or pipe of the text can end."""
    return "`" + text.replace("`", "'").replace("|", "¦").replace("\n", " ") + "`"


def plain(text: str) -> str:
    """Text of others, with everything escaped that Markdown would read as its own."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text.replace("\n", " "))
