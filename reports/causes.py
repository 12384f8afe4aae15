"""The findings of a target by cause: what is one fault in four dtypes and three gradients is one line."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from stabkit.finding import SEVERITIES, Dead, Extent, Finding, TargetResult

SHORT_DTYPES = {"float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}


@dataclass(frozen=True)
class Cause:
    """Findings of one claim with one cause, nearest onset first.

    Attributes:
        lead: the finding to show: the gravest, then the one nearest everyday inputs.
    """

    findings: tuple[Finding, ...]

    @property
    def lead(self) -> Finding:
        return min(self.findings, key=lambda f: (SEVERITIES.index(f.severity), f.extremeness))

    @property
    def dtypes(self) -> list[str]:
        """The dtypes it happens in, narrowest first."""
        return [d for d in SHORT_DTYPES if any(f.dtype == d for f in self.findings)]

    @property
    def where(self) -> str:
        """The dtype of the witness first, the others behind it: `f16; elsewhere f32`."""
        others = [SHORT_DTYPES[d] for d in self.dtypes if d != self.lead.dtype]
        here = SHORT_DTYPES[self.lead.dtype]
        return f"{here}; elsewhere {' '.join(others)}" if others else here

    @property
    def numbers(self) -> list[str]:
        """What fails: `value`, gradients by name."""
        return list(dict.fromkeys(n for f in self.findings for n in (f.of.partition("[")[0], *f.numbers)))


def causes_of(target: TargetResult) -> list[Cause]:
    """The causes of one target, by severity and onset."""
    return _sorted(_grouped(target.findings))


def _grouped(findings: Iterable[Finding]) -> list[Cause]:
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for f in findings:
        switch = f"{f.where} {f.jump.argument}" if f.jump is not None else ""  # each switch is a cause of its own
        groups.setdefault((f.code, f.cause, switch), []).append(f)
    return [Cause(tuple(fs)) for fs in groups.values()]


def _sorted(causes: Iterable[Cause]) -> list[Cause]:
    return sorted(causes, key=lambda c: (SEVERITIES.index(c.lead.severity), c.lead.extremeness))


def written(value: object) -> str:
    """A number or nested lists of the result format, compactly: 54.762, inf, [0, 1]."""
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    value = value or 0.0  # no sign on zero
    short = f"{value:.6g}"
    return short if float(short) == value else f"{value!r}" if len(repr(value)) <= 13 else short


def witness_words(finding: Finding) -> str:
    """The witness as `name=value` pairs."""
    return ", ".join(f"{name}={written(value)}" for name, value in finding.witness.items())


def reach_words(finding: Finding) -> str:
    """How far it was seen to fail around the witness: `seen to fail for x from -30 to -17.3; y seems not to matter`."""
    axes = [_extent_words(e) for e in finding.region]
    alone = " (one at a time)" if len(axes) > 1 else ""
    parts = ["seen to fail for " + ", ".join(axes) + alone] if axes else []
    if finding.immaterial:
        names = finding.immaterial
        *others, last = names
        parts.append(f"{', '.join(others)} and {last} seem not to matter" if others else f"{last} seems not to matter")
    if finding.dead is not None:
        parts.append(_dead_words(finding.dead))
    return "; ".join(parts)


def _extent_words(extent: Extent) -> str:
    if extent.whole:
        return f"every {extent.argument}"
    low, high = (_short(x) for x in (extent.low, extent.high))
    return f"{extent.argument} near {low}" if low == high else f"{extent.argument} from {low} to {high}"


def _dead_words(dead: Dead) -> str:
    alive = f", alive at {dead.along}={_short(dead.nearest)}" if dead.along else ", alive nowhere along its axis"
    return f"no gradient by {dead.argument} at {100 * dead.share:.3g}% of the floats{alive}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def place_words(finding: Finding) -> str:
    """The operation that went wrong and where it stands: `log, losses.py:12`."""
    place = finding.where
    return "" if place is None else f"{place.operation}, {place.file.rpartition('/')[2]}:{place.line}"


def dissection_words(finding: Finding) -> str:
    """The command that shows, line by line, what each operation loses at the witness."""
    words = shlex.split(finding.repro.replace("stabkit audit", "stabkit diagnose", 1))
    while "--property" in words:
        start = words.index("--property")
        del words[start : start + 2]
    return shlex.join(words)


def verdict_words(target: TargetResult) -> str:
    """One sentence on a target: what it failed, where that starts, or that it passed."""
    if target.status not in ("audited", "failed"):
        return f"{target.status.replace('_', ' ')}: {target.reason}"
    if not target.findings:
        unresolved = sum(v.verdict == "unresolved" for v in target.verdicts)
        return (
            "passed every claim that applies" if not unresolved else f"nothing failed, {unresolved} verdicts unresolved"
        )
    counts = [counted(sum(f.severity == s for f in target.findings), s) for s in SEVERITIES]
    return ", ".join(c for c in counts if not c.startswith("0 "))


def counted(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def outcome_words(finding: Finding) -> str:
    """What came out and what is true: `inf, true 54.762`."""
    if finding.got is None:
        return finding.hint.partition(":")[0]
    if finding.breaks:
        return _breach_words(finding)
    if finding.truth == "nan":
        return f"{written(finding.got)}, " + ("no truth known" if finding.certified else "and so it is in float64")
    got, true = _apart(finding.got, finding.truth)
    lost = f", {float(finding.excess_bits):.1f} bits lost" if finding.excess_bits is not None else ""
    return f"{got}, {TRUTH_WORDS.get(finding.claim, 'true')} {true}{lost}"


def _breach_words(finding: Finding) -> str:
    """What breaks a property: `0.9, but 1 at x=0.999: not increasing(x)`."""
    got, other = _apart(finding.got, finding.truth)
    if finding.neighbour is None:
        return f"{got}, not {finding.breaks}"
    changed = {n: v for n, v in finding.neighbour.items() if v != finding.witness.get(n)}
    there = ", ".join(f"{n}={written(v)}" for n, v in changed.items())
    return f"{got}, but {other} at {there}: not {finding.breaks}"


TRUTH_WORDS = {"properties_hold": "in float64", "guards_do_not_bind": "without guards"}
"""What the other number is, for claims that compare a program with itself."""


def _apart(got: object, truth: object) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to tell them apart."""
    if not isinstance(got, (int, float)) or not isinstance(truth, (int, float)) or got == truth:
        return written(got), written(truth)
    pairs = ((f"{got:.{d}g}", f"{truth:.{d}g}") for d in range(6, 18))
    a, b = next((p for p in pairs if p[0] != p[1]), (repr(got), repr(truth)))
    return (written(got), written(truth)) if written(got) != written(truth) else (a, b)
