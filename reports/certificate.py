"""A certificate for people: what is proved, what fails and where, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stabkit.certificates.certificate import Certificate, Run, Tally, Worst

MOST_SHOWN = 8  # intervals of each number
SHORT = {"float16": "f16", "bfloat16": "bf16", "float32": "f32"}


def text(c: Certificate) -> Iterator[str]:
    """The lines about one certificate."""
    i = c.identity
    yield f"{statement(c)}  {i.target} in {i.dtype} on {i.device}"
    for a in i.arguments:
        yield f"  {a}"
    yield f"  judged by {i.oracle}" + (f" ({i.reference})" if i.reference else "")
    for note in (*i.notes, *([c.why] if c.why else [])):
        yield f"  note: {note}"
    for t in c.numbers:
        yield from _number(t, c)
    if not c.complete:
        yield f"  {c.done:,} of {c.inputs:,} inputs are done; the same command goes on from there"


def statement(c: Certificate) -> str:
    """What is known, in capitals: only a complete certificate with certified truth proves."""
    if c.failures:
        return "FAILED"
    if not c.complete:
        return "INCOMPLETE"
    if c.unresolved:
        return "OPEN"
    return f"PROVED on all {c.inputs:,} inputs" if c.certified else f"HELD on all {c.inputs:,} inputs, no proof"


def _number(t: Tally, c: Certificate) -> Iterator[str]:
    counts = {
        "right": t.right,
        "wrong by error": t.errors,
        "by warning": t.warnings,
        "too large for the dtype": t.range_limits,
        "undefined": t.undefined,
        "unresolved": t.unresolved,
    }
    yield f"  {t.of}: " + ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
    if t.most_ulps:
        yield f"    worst {_amount(t.most_ulps, 'ulps')} at {_input(t.most_ulps.member.at)}"
    if t.most_excess and float(t.most_excess.at_most) > 0:
        yield f"    worst {_amount(t.most_excess, 'excess bits')} at {_input(t.most_excess.member.at)}"
    elif t.most_excess:
        yield "    no excess bits: a rounding of the input moves the truth by as much"
    yield from _wrapped("    errors in ulps: ", _bins(t.histogram, c.edges))
    for name, runs in (("fails", t.failing), ("open", t.open)):
        for run in runs[:MOST_SHOWN]:
            yield from _wrapped("    ", [f"{name} {_interval(run)}"])
        if len(runs) > MOST_SHOWN:
            yield f"    … and in {len(runs) - MOST_SHOWN} further intervals"
    if t.gap > 1:
        yield f"    intervals no more than {t.gap} floats apart are one here"


def _amount(worst: Worst, unit: str) -> str:
    amount, most = float(worst.amount), float(worst.at_most)
    beyond = "" if f"{amount:.5g}" == f"{most:.5g}" else f" (no input above {most:.5g})"
    return f"{amount:.5g} {unit}{beyond}"


def _bins(histogram: Iterable[int], edges: list[float]) -> list[str]:
    ends = [*(f"<= {edge:.4g}" for edge in edges), f"> {edges[-1]:.4g}"]
    return [f"{n:,} {end}" for n, end in zip(histogram, ends, strict=True) if n]


def _interval(run: Run) -> str:
    where = _input(run.low) if run.first == run.last else f"{_input(run.low)} to {_input(run.high)}"
    size = run.last - run.first + 1
    share = f"{run.count:,} of {size:,} floats" if run.count < size else f"{size:,} float{'s' * (size > 1)}"
    kinds = ", ".join(f"{kind} {n:,}" for kind, n in run.kinds.items())
    w = run.worst
    off = f", {w.ulps:.4g} ulps" if w.ulps is not None else ""
    return f"at {where}: {share}, {run.severity or 'open'} ({kinds}); {_plain(w.got)}, true {_plain(w.truth)}{off}"


def _input(at: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in at.items())


def _plain(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _wrapped(start: str, parts: list[str]) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(
        start + ", ".join(parts), 80, subsequent_indent="      ", break_on_hyphens=False, break_long_words=False
    )
