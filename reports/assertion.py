"""A result as the message of a failed test: why it fails, one line a cause and the command that repeats it."""

from __future__ import annotations

from collections.abc import Collection

from stabkit.reports.causes import causes_of, counted, verdict_words
from stabkit.reports.text import cause_line

from stabkit.finding import Result, Severity, TargetResult

MOST_CAUSES = 8


def failure_lines(result: Result, failing: Collection[Severity]) -> list[str]:
    """What fails in a result, nothing where it passes; what was not judged fails.

    Args:
        failing: the severities that are failures.
    """
    return [line for target in result.targets for line in _of_target(target, failing)]


def _of_target(target: TargetResult, failing: Collection[Severity]) -> list[str]:
    if target.status not in ("audited", "failed"):
        return [f"stability of {target.target} was not judged: {target.reason}"]
    causes = [c for c in causes_of(target) if c.lead.severity in failing]
    if not causes:
        return []
    lines = [f"{target.target} is not stable: {verdict_words(target)}"]
    for cause in causes[:MOST_CAUSES]:
        lines += [cause_line(cause), f"      {cause.lead.repro}"]
    more = len(causes) - MOST_CAUSES
    lines += [f"  and {counted(more, 'more cause')}"] if more > 0 else []
    return [*lines, f"  guessed: {', '.join(target.guesses)}"] if target.guesses else lines
