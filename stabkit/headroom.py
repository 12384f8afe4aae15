"""How far each operation of a program stayed from overflow and underflow over the everyday samples of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from stabkit.exact.cause import PRODUCTS
from stabkit.exact.movement import COPIES
from stabkit.exact.place import near
from stabkit.exact.shadow import trace_points
from stabkit.exact.steps import Recorder, Step
from stabkit.finding import Headroom
from stabkit.floats import Format
from stabkit.program import points_of, points_of_many
from stabkit.sweep import Sweep

MOST_SAMPLES, MOST_LONE = 2048, 24
MOST_ELEMENTS = 100_000


def headroom(sweep: Sweep) -> list[Headroom]:
    """The room that each operation had, the least first; empty where no everyday sample was judged.

    Only products, quotients and powers underflow: a small sum is a small number.
    """
    program, form = sweep.program, sweep.program.form
    everyday = [s for s, r in zip(sweep.samples, sweep.remote, strict=True) if r == 0]
    recorder = Recorder(most_elements=MOST_ELEMENTS)
    most = MOST_SAMPLES if program.batched else MOST_LONE
    some = everyday[:: math.ceil(len(everyday) / most) or 1]
    if program.batched and some:
        trace_points(program, points_of_many(some, sweep.arguments, form), recorder)
    for sample in [] if program.batched else some:
        trace_points(program, points_of(sample, sweep.arguments, form), recorder)
    rooms = [_room(steps, form) for steps in _by_place(recorder.steps)]
    return sorted((r for r in rooms if r is not None), key=_least)


def _by_place(steps: Iterable[Step]) -> Iterable[list[Step]]:
    """The steps of each operation of each line."""
    groups: dict[tuple[str, bool, tuple[str, int]], list[Step]] = {}
    for s in steps:
        if s.place is not None and s.name not in COPIES:
            groups.setdefault((s.name, s.backward, s.place), []).append(s)
    return groups.values()


def _room(steps: list[Step], form: Format) -> Headroom | None:
    sizes = [abs(v) for s in steps for v in s.output if v and math.isfinite(v)]
    if not sizes or steps[0].place is None:
        return None
    shrinks = steps[0].name in PRODUCTS
    file, line = steps[0].place
    return Headroom(
        dtype=form.name,
        file=near(file),
        line=line,
        operation=steps[0].label,
        smallest=min(sizes),
        largest=max(sizes),
        above=round(math.log2(form.largest) - math.log2(max(sizes)), 1),
        below=round(math.log2(min(sizes)) - math.log2(form.smallest_normal), 1) if shrinks else None,
        overflowed=any(map(_overflows, steps)),
    )


def _overflows(step: Step) -> bool:
    """Whether finite operands, none of them at a pole, gave something infinite."""
    pole = step.name.startswith(("log", "reciprocal", "rsqrt", "digamma", "lgamma", "atanh", "erfinv"))
    infinite = [k for k, out in enumerate(step.output) if math.isinf(out)]
    return not pole and any(_are_plain(step.operands_of(k)) for k in infinite)


def _are_plain(operands: Sequence[float]) -> bool:
    return bool(operands) and all(math.isfinite(x) and x != 0 for x in operands)


def _least(room: Headroom) -> float:
    return -math.inf if room.overflowed else min(room.above, math.inf if room.below is None else room.below)
