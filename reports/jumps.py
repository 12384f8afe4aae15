"""Jumps in words: between which floats, by how much, where the switch flips, and how it moves with other arguments."""

from __future__ import annotations

from collections.abc import Sequence

from stabkit.reports.causes import written

from stabkit.finding import Finding, Jump, Shift, to_float

MOST_SHIFTS = 4  # of one argument, that readers see


def jump_lines(finding: Finding) -> list[str]:
    """What there is to say about a finding's jump; nothing of findings without one."""
    jump, neighbour = finding.jump, finding.neighbour
    if jump is None or neighbour is None:
        return []
    beside = ", ".join(f"{n}={v!r}" for n, v in neighbour.items() if v != finding.witness.get(n))
    lines = [f"the float beside it is {beside}; {_size_words(jump)}", _flip_words(jump)]
    return lines + [_shift_words(jump, name) for name in dict.fromkeys(s.argument for s in jump.shifts)]


def _size_words(jump: Jump) -> str:
    got, truth = (" to ".join(map(repr, sides)) for sides in (jump.got, jump.truth))
    by = f"steps from {got}, the truth from {truth}: {written(jump.size)} too far, {_ulps(jump)} ulps"
    return by if jump.wrong == "both" else f"{by}; {jump.wrong} is wrong"


def _ulps(jump: Jump) -> str:
    return f"{abs(to_float(jump.ulps)):.3g}"


def _flip_words(jump: Jump) -> str:
    low, high = jump.band
    often = "once" if jump.flips == 1 else f"{jump.flips} times"
    exact = "" if jump.crossover is None else f"; in real arithmetic at {jump.crossover!r}"
    return f"it switches {often} between {jump.argument}={low!r} and {high!r}{exact}"


def _shift_words(jump: Jump, name: str) -> str:
    shifts = [s for s in jump.shifts if s.argument == name]
    return f"with {name}: " + ", ".join(_shift(jump, s) for s in _spread(shifts))


def _shift(jump: Jump, shift: Shift) -> str:
    return f"{written(shift.value)} at {jump.argument}={written(shift.place)} by {written(shift.size)}"


def _spread(shifts: Sequence[Shift]) -> Sequence[Shift]:
    """A few of them, from first to last."""
    if len(shifts) <= MOST_SHIFTS:
        return shifts
    return [shifts[round(k * (len(shifts) - 1) / (MOST_SHIFTS - 1))] for k in range(MOST_SHIFTS)]
