"""Claim: no gradient is zero where the true one is not and matters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from stabkit.checks import Claim, Failure, grouped, without_gradient, without_truth
from stabkit.checks.matches_reference import mismatches
from stabkit.exact.cause import cause_of
from stabkit.exact.shadow import Pair
from stabkit.judge import Judgement, Kind
from stabkit.numbness import numbness
from stabkit.sweep import Sweep
from stabkit.verification import Examiner, Sample

CLAIM = Claim(
    name="gradient_is_alive",
    code="STB203",
    says="no gradient is zero in every element where the true one is representable and large enough to matter",
    remedy="use the log form of what saturates; drop the clamp or the detach that cuts the gradient",
)
LOOKED_AT = 5  # samples of a gradient that lives nowhere
UNTRACED = ("approximation", "backward_formula")  # causes of what no operation explains


def applies(sweep: Sweep) -> str | None:
    """None if there are gradients and a truth to compare them with."""
    return without_gradient(sweep) or without_truth(sweep)


@dataclass(frozen=True)
class _Coroner(Examiner):
    """Judges a slope by whether the whole gradient by its argument is dead."""

    def judge_alone(self, sample: Sample, of: str) -> tuple[Sample, Judgement] | None:
        """One slope at one sample, failed only as part of a dead gradient."""
        exact, judgements = self.judge_all_alone(sample)
        here = next((j for j in judgements if j.of == of), None)
        if here is None:
            return None
        dead = next((j for j in _dead_among(judgements) if j.of == of), None)
        return exact, dead or replace(here, kind=Kind.RIGHT, severity=None)

    def cause(self, sample: Sample, judgement: Judgement, pairs: Sequence[Pair] | None = None) -> str:
        """Why; what goes wrong backward may stem from what the value lost, and where nothing is lost it was cut."""
        found = super().cause(sample, judgement, pairs)
        if found not in UNTRACED:
            return found
        steps = self.operations(sample) if pairs is None else pairs
        forward = cause_of(steps, self.program.form, judgement.got, in_gradient=False, also_in_float64=False)
        return "detached" if forward in UNTRACED else forward

    def details(self, sample: Sample, judgement: Judgement, late: bool) -> Mapping[str, Any]:
        """Where else it is dead, and how far it is to where it is not."""
        return {} if late else {"dead": numbness(self, sample, _argument_of(judgement), _is_dead)}


def _argument_of(judgement: Judgement) -> str:
    """The name of the argument that a slope belongs to."""
    return judgement.of.removeprefix("gradient:").partition("[")[0]


def _is_dead(judgements: Iterable[Judgement], argument: str) -> bool:
    return any(_argument_of(j) == argument for j in _dead_among(judgements))


def _dead_among(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The slopes of one sample that matter and belong to gradients with no element left, as one kind."""
    slopes: dict[str, list[Judgement]] = {}
    for j in judgements:
        if j.of.startswith("gradient"):
            slopes.setdefault(_argument_of(j), []).append(j)
    still = [group for group in slopes.values() if all(j.got == 0 for j in group)]
    lost = [j for group in still for j in group if j.kind.is_failure and j.severity == "error"]
    return [replace(j, kind=Kind.VANISHED) for j in lost]


@lru_cache(maxsize=4)
def _dead(sweep: Sweep) -> tuple[Judgement, ...]:
    rows: dict[int, list[Judgement]] = {}
    for j in sweep.judgements:
        rows.setdefault(j.row, []).append(j)
    found = [j for row in rows.values() for j in _dead_among(row)]
    if not mismatches(sweep):
        return tuple(found)
    alive = {_argument_of(j) for j in sweep.judgements if j.of.startswith("gradient") and j.got != 0}
    return tuple(j for j in found if _argument_of(j) in alive)  # another formula may not use an argument at all


def still_alive(sweep: Sweep, wrong: Sequence[Judgement]) -> Sequence[Judgement]:
    """Those of some wrong slopes that belong to no dead gradient, nor are zeros of an argument that has one."""
    dead = {_argument_of(j) for j in _dead(sweep)} if applies(sweep) is None else set()
    if not dead:
        return wrong
    alive = {_argument_of(j) for j in sweep.judgements if j.of.startswith("gradient") and j.got != 0}
    graves = {(j.row, j.of) for j in _dead(sweep)}

    def is_of_the_dead(j: Judgement) -> bool:
        argument = _argument_of(j)
        same = argument in dead and j.got == 0 and (j.kind is Kind.INACCURATE or argument not in alive)
        return same or (j.row, j.of) in graves

    return [j for j in wrong if not is_of_the_dead(j)]


def examiner(sweep: Sweep) -> Examiner:
    """Who judges dead gradients again."""
    usual = sweep.examiner
    return _Coroner(usual.program, usual.oracle)


def failures(sweep: Sweep) -> Iterable[Failure]:
    """Dead gradients; one that lives nowhere and is cut somewhere is cut everywhere."""
    found = _dead(sweep)
    alive = {_argument_of(j) for j in sweep.judgements if j.of.startswith("gradient") and j.got != 0}
    of_cut = {name for name in {_argument_of(j) for j in found} - alive if _is_cut(sweep, name)}
    cut = tuple(j for j in found if _argument_of(j) in of_cut)
    others = grouped(j for j in found if _argument_of(j) not in of_cut)
    return [*([Failure("gradient", "zero", cut, cause="detached")] if cut else []), *others]


def _is_cut(sweep: Sweep, argument: str) -> bool:
    """Whether nothing explains that the gradient is dead at some of the everyday samples."""
    dead = sorted((j for j in _dead(sweep) if _argument_of(j) == argument), key=lambda j: sweep.remoteness(j.row))
    return any(examiner(sweep).cause(sweep.samples[j.row], j) == "detached" for j in dead[:LOOKED_AT])
