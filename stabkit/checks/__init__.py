"""Claims: what a loss promises, one failure mode a file. A new check is one file and one line here."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from stabkit.finding import Severity
from stabkit.judge import Judgement
from stabkit.sweep import Sweep
from stabkit.verification import Examiner, Sample

NAMES = (
    "value_is_finite",
    "gradient_is_finite",
    "value_is_accurate",
    "gradient_is_accurate",
    "gradient_is_alive",
    "range_is_not_cut_short",
    "dtype_is_kept",
    "inputs_are_untouched",
    "is_deterministic",
    "matches_reference",
    "properties_hold",
    "guards_do_not_bind",
    "is_continuous",
    "gradient_is_continuous",
)


NOTHING_WIDER = "float64, or a result that draws random numbers, has nothing wider to compare with; pass --reference"


@dataclass(frozen=True)
class Claim:
    """What a check says, under a stable code."""

    name: str
    code: str
    says: str
    remedy: str


@dataclass(frozen=True)
class Failure:
    """Failed numbers of one claim that look alike: of the value or of the gradient, with the same symptom.

    Attributes:
        swept: what the judgements' rows count and who judges them again, where it is not the sweep of the check.
        options: what a reproduction needs on the command line beyond the arguments.
        sample: where a failure of the call as such shows, if not everywhere.
    """

    of: str
    symptom: str
    judgements: tuple[Judgement, ...] = ()
    cause: str | None = None
    severity: Severity = "error"
    note: str = ""
    swept: Sweep | None = None
    options: tuple[str, ...] = ()
    sample: Sample | None = None


@dataclass(frozen=True)
class Check:
    """A claim with how it is judged.

    Attributes:
        applies: None if the claim can be judged on a sweep, else the reason why it cannot.
        failures: the groups of failed numbers.
        examiner: who judges them again by themselves; a check's own where it does not compare runs with the truth.
        unfinished: why a claim that did not fail cannot be called passed, besides what the sweep itself left open.
        evidence: what stands behind it where it is called passed; None for the points of the sweep.
    """

    claim: Claim
    applies: Callable[[Sweep], str | None]
    failures: Callable[[Sweep], Iterable[Failure]]
    examiner: Callable[[Sweep], Examiner]
    unfinished: Callable[[Sweep], str]
    evidence: Callable[[Sweep], str] | None


@cache
def checks() -> tuple[Check, ...]:
    """All checks, in the order they are reported."""
    modules = (importlib.import_module(f"stabkit.checks.{name}") for name in NAMES)
    return tuple(_check(m) for m in modules)


def _check(module: Any) -> Check:
    examiner, evidence = getattr(module, "examiner", _of_sweep), getattr(module, "evidence", None)
    unfinished = getattr(module, "unfinished", _finished)
    return Check(module.CLAIM, module.applies, module.failures, examiner, unfinished, evidence)


def _finished(sweep: Sweep) -> str:
    return ""


def _of_sweep(sweep: Sweep) -> Examiner:
    return sweep.examiner


def grouped(judgements: Iterable[Judgement]) -> Iterable[Failure]:
    """Failed judgements of the value or of the slopes by symptom, in the order they appear."""
    groups: dict[tuple[str, str], list[Judgement]] = {}
    for j in judgements:
        groups.setdefault((kind_of(j.of), symptom_of(j)), []).append(j)
    return [Failure(of, symptom, tuple(js)) for (of, symptom), js in groups.items()]


def kind_of(number: str) -> str:
    """`value` or `gradient`, whichever the number belongs to."""
    return "gradient" if number.startswith("gradient") else "value"


def symptom_of(judgement: Judgement) -> str:
    """How a failed number looks: nan, inf, -inf, zero, or off."""
    got = judgement.got
    if math.isnan(got):
        return "nan"
    if math.isinf(got):
        return "inf" if got > 0 else "-inf"
    return "zero" if got == 0 else "off"


def always(sweep: Sweep) -> None:
    """For claims that can be judged on every sweep."""


def without_truth(sweep: Sweep) -> str | None:
    """The reason why accuracy cannot be judged, if there is one."""
    return None if sweep.oracle is not None else NOTHING_WIDER


def without_gradient(sweep: Sweep) -> str | None:
    """The reason why no gradient can be judged, if there is one."""
    return None if any(a.is_differentiable for a in sweep.arguments) else "every argument is data"
