"""How far operations stayed from the ends of the dtype, in words and as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from stabkit.reports.causes import SHORT_DTYPES

from stabkit.finding import Headroom, TargetResult


def headroom_lines(target: TargetResult) -> list[str]:
    """For each dtype the operation that came nearest to overflow, and to underflow, at everyday inputs."""
    lines = []
    for dtype in dict.fromkeys(h.dtype for h in target.headroom):
        rooms = [h for h in target.headroom if h.dtype == dtype]
        ends = [f"{room_words(h, kind)} ({place_of(h)})" for kind, h in nearest(rooms)]
        lines.append(f"{SHORT_DTYPES[dtype]}: at everyday inputs {'; '.join(ends)}")
    return lines


def nearest(rooms: Sequence[Headroom]) -> list[tuple[str, Headroom]]:
    """The least room above and below, each with which of the two it is."""
    above = min(rooms, key=lambda h: (not h.overflowed, h.above))
    below = min((h for h in rooms if h.below is not None), key=lambda h: h.below or 0.0, default=None)
    return [("above", above), *([] if below is None else [("below", below)])]


def place_of(room: Headroom) -> str:
    """The operation and its line: `exp, losses.py:12`."""
    return f"{room.operation}, {room.file.rpartition('/')[2]}:{room.line}"


def room_words(room: Headroom, kind: str) -> str:
    """How near it came: `3.2 binades to overflow`, `overflowed`, `subnormal by 2 binades`."""
    if kind == "above":
        return "overflowed" if room.overflowed else f"{room.above:.1f} binades to overflow"
    below = room.below or 0.0
    return f"{below:.1f} binades to underflow" if below >= 0 else f"subnormal by {-below:.1f} binades"
