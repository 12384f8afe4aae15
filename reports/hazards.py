"""Where operations may go wrong and the search did not come near, in words."""

from __future__ import annotations

from stabkit.reports.causes import SHORT_DTYPES, written

from stabkit.finding import Hazard, TargetResult, to_float


def hazard_lines(target: TargetResult) -> list[str]:
    """One line for each hazard that was not approached, with how near the search came in any dtype."""
    groups: dict[tuple[str, int, str, str], list[Hazard]] = {}
    for h in target.hazards:
        groups.setdefault((h.file, h.line, h.operation, h.towards), []).append(h)
    return [_line(group) for group in groups.values()]


def _line(group: list[Hazard]) -> str:
    nearest = min(group, key=lambda h: to_float(h.nearest))
    dtypes = " ".join(dict.fromkeys(SHORT_DTYPES[h.dtype] for h in group))
    place = f"{nearest.file.rpartition('/')[2]}:{nearest.line}" if nearest.file else "inside torch"
    return f"not approached: {_words(nearest)} ({nearest.operation}, {place}) [{dtypes}], nearest {_distance(nearest)}"


def _words(hazard: Hazard) -> str:
    return {
        "zero": "the singularity at 0",
        "one": "the limit 1",
        "overflow": "overflow",
        "equality": "equality of what is compared",
        "a switch": "a whole number",
    }.get(hazard.towards, hazard.towards)


def _distance(hazard: Hazard) -> str:
    words = {"zero": "{}", "one": "{} from it", "equality": "{} floats apart"}.get(hazard.towards, "{} binades away")
    return words.format(written(hazard.nearest))
