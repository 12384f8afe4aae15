"""From events to the result of a run."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import stabkit
from stabkit.audit_job import DTYPES
from stabkit.events import Begun, Ended, Event, Judged, Ranged
from stabkit.finding import SCHEMA_VERSION, Result, Status, TargetResult

EXIT_CLEAN, EXIT_FINDINGS, EXIT_UNJUDGED, EXIT_INTERRUPTED = 0, 1, 2, 130
WORST_FIRST: tuple[Status, ...] = ("crashed", "timed_out", "failed", "audited", "not_judged")
NAMED_VERSIONS = ("torch", "numpy", "mpmath", "python-flint")


@dataclass
class Collected:
    """The events of one target so far, whose dtypes may be judged in several jobs.

    Attributes:
        dtypes: in the order of the result.
        jobs: how many say that they have ended.
    """

    target: str
    seconds: float = 0.0
    dtypes: Sequence[str] = DTYPES
    jobs: int = 1
    begun: Begun | None = None
    judged: list[Judged] = field(default_factory=list)
    ranged: list[Ranged] = field(default_factory=list)
    endings: list[Ended] = field(default_factory=list)

    @property
    def ended(self) -> Ended | None:
        """How the target ended, once all its jobs have: as the worst of them, but judged where one is."""
        if len(self.endings) < self.jobs:
            return None
        return min(self.endings, key=lambda e: WORST_FIRST.index(e.status))

    def add(self, event: Event) -> None:
        """Takes one event in."""
        if isinstance(event, Begun):
            self.begun = self.begun or event
        elif isinstance(event, Judged):
            self.judged.append(event)
        elif isinstance(event, Ranged):
            self.ranged.append(event)
        elif isinstance(event, Ended):
            self.endings.append(event)

    def result(self) -> TargetResult:
        """The target's result; a target that did not end is not judged, with what it had."""
        ended = self.ended or Ended("not_judged", "interrupted before it was done")
        begun = self.begun or Begun("", [], [], [])
        judged = sorted(self.judged, key=lambda e: self.dtypes.index(e.dtype))
        ranged = sorted(self.ranged, key=lambda e: self.dtypes.index(e.dtype))
        return TargetResult(
            target=self.target,
            status=ended.status,
            reason=ended.reason,
            oracle=begun.oracle,
            arguments=begun.arguments,
            guesses=begun.guesses,
            notes=begun.notes,
            verdicts=[v for j in judged for v in j.verdicts],
            findings=sorted((f for j in judged for f in j.findings), key=lambda f: f.extremeness),
            coverage=[j.coverage for j in judged if j.coverage],
            headroom=[h for j in judged for h in j.headroom],
            hazards=[h for j in judged for h in j.hazards],
            ranges=[r for event in ranged for r in event.ranges],
            seconds=round(self.seconds, 2),
        )


def result_of(
    collected: Iterable[Collected], command: str, seed: int, fail_on: str, exit_zero: bool, interrupted: bool
) -> Result:
    """The result of a run, exit code included."""
    targets = [c.result() for c in collected]
    complete = not interrupted and all(t.status in ("audited", "failed") for t in targets)
    code = EXIT_INTERRUPTED if interrupted else exit_code(targets, fail_on, exit_zero)
    return Result(SCHEMA_VERSION, complete, code, seed, command, versions(), targets)


def exit_code(targets: Sequence[TargetResult], fail_on: str, exit_zero: bool) -> int:
    """1 for a finding that fails the run, else 2 if a target could not be judged, else 0.

    `exit_zero` turns findings into 0, never what could not be judged.
    """
    failing = {"error": ("error",), "warning": ("error", "warning"), "never": ()}[fail_on]
    if any(f.severity in failing for t in targets for f in t.findings) and not exit_zero:
        return EXIT_FINDINGS
    judged = all(t.status in ("audited", "failed") for t in targets) and bool(targets)
    return EXIT_CLEAN if judged else EXIT_UNJUDGED


def versions() -> dict[str, str]:
    """Versions that a result depends on, read without importing anything heavy."""
    found = {"stabkit": stabkit.__version__, "python": platform.python_version()}
    for name in NAMED_VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
