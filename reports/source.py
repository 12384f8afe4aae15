"""A dissected run as annotated source: below each line its operations, what they lost and why."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from stabkit.reports.causes import SHORT_DTYPES, written

from stabkit.anatomy import Anatomy, Number, Operation
from stabkit.finding import Num, to_float

WIDTH = 80
HEADINGS = ("operation", "gives", "exactly", "alone", "lost", "condition", "room")
WIDTHS = (17, 13, 13, 9, 6, 10, 6)


def annotated(anatomy: Anatomy) -> list[str]:
    """The lines to print; at most 80 columns wide, source lines aside."""
    lines = [f"{anatomy.target} in {anatomy.dtype} at {_inputs(anatomy)}", ""]
    lines += [_number_line(n) for n in anatomy.numbers]
    if anatomy.cause:
        lines += ["", *_wrapped(f"{anatomy.blamed_for}: {anatomy.cause}: {anatomy.hint}")]
    if anatomy.operations:
        lines += ["", _row(HEADINGS)]
        lines += [line for file in dict.fromkeys(s.file for s in anatomy.source) for line in _of_file(anatomy, file)]
        lines += ["", *_wrapped(LEGEND)]
    return [*lines, *(line for n in anatomy.notes for line in _wrapped(f"note: {n}")), _judge(anatomy)]


LEGEND = (
    "alone: its own error in ulps. lost: bits of the result, all errors so far. condition: how it amplifies relative "
    "errors. room: binades to the largest (+) or smallest normal float (-). < marks a backward operation."
)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False)


def _inputs(anatomy: Anatomy) -> str:
    return ", ".join(f"{name}={written(v)}" for name, v in anatomy.at.items())


def _number_line(n: Number) -> str:
    excess = "" if n.excess_bits is None or n.severity is None else f", {n.excess_bits:.1f} bits lost"
    verdict = f"{n.severity}: {n.verdict}{excess}" if n.severity else n.verdict
    return f"  {n.of} = {_short(n.got)}, true {_short(n.truth)}  {verdict}"


def _of_file(anatomy: Anatomy, file: str) -> Iterator[str]:
    """The lines of one file, those without operations too."""
    yield file
    for s in (s for s in anatomy.source if s.file == file):
        yield f"{s.line:5d} | {s.text}"
        for o in anatomy.operations:
            if (o.file, o.line) == (file, s.line):
                yield from _operation_lines(o)


def _operation_lines(o: Operation) -> Iterator[str]:
    where = f"[{o.element}]" if o.elements > 1 else ""
    name = ("< " if o.backward else "  ") + o.name[: WIDTHS[0] - 3 - len(where)] + where
    alone = "" if o.alone_ulps is None else f"{_short(o.alone_ulps, 2)}"
    wrong = o.exactly is not None and math.isfinite(to_float(o.exactly)) and not math.isfinite(to_float(o.gives))
    lost = "all" if wrong else "" if o.bits_lost is None else f"{o.bits_lost:.1f}"
    condition = "" if o.condition is None else _short(o.condition, 3)
    yield _row((name, _short(o.gives), _short(o.exactly), alone, lost, condition, _room(o)))
    if o.cause:
        yield f"      ^^^ {o.cause}: {o.name.rstrip('_')} of {', '.join(_short(x) for x in o.operands)}"


def _room(o: Operation) -> str:
    """The nearer end of the range of the dtype."""
    if o.headroom is None or o.footroom is None:
        return ""
    return f"+{o.headroom:.0f}" if o.headroom < o.footroom else f"-{o.footroom:.0f}" if o.footroom > 0 else "subn."


def _row(cells: tuple[str, ...]) -> str:
    first, *rest = cells
    columns = "".join(f"{c:>{w}}" for c, w in zip(rest, WIDTHS[1:], strict=True))
    return f"      {first:<{WIDTHS[0]}}{columns}".rstrip()


def _short(value: Num | None, digits: int = 6) -> str:
    return "" if value is None else f"{to_float(value):.{digits}g}"


def _judge(anatomy: Anatomy) -> str:
    who = {"reference": "the reference", "program": "the program itself on exact numbers", "property": "nobody"}
    certain = "certified" if anatomy.certified else "uncertified"
    return f"judged in {SHORT_DTYPES[anatomy.dtype]} by {who[anatomy.oracle]}, {certain}"
