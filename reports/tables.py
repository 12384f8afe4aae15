"""Tables of an experiment for a terminal, for pull requests, for papers and for programs."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from stabkit.reports.markdown import plain

from stabkit.finding import Column, Table

WIDTH = 80
LATEX = {
    **{c: rf"\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
}


@dataclass(frozen=True)
class Group:
    """Rows as people read them, under one heading."""

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def shown(table: Table) -> list[Column]:
    """The columns that people read under the headings."""
    return [c for c in table.columns[table.headings :] if not c.detail]


def groups(table: Table) -> list[Group]:
    """The rows by heading, numbers shortened; rows that say the same throughout a group are one row."""
    found: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for row in table.rows:
        cells = [shortened(cell, c) for cell, c in zip(row, table.columns, strict=True)]
        kept = [cell for cell, c in zip(cells, table.columns, strict=True) if not c.detail]
        found.setdefault(tuple(kept[: table.headings]), []).append(tuple(kept[table.headings :]))
    return [Group(heading, _folded(rows, shown(table)[0].title)) for heading, rows in found.items()]


def _folded(rows: Sequence[tuple[str, ...]], noun: str) -> tuple[tuple[str, ...], ...]:
    same = len(rows) > 1 and len({row[1:] for row in rows}) == 1
    return ((f"every {noun}", *rows[0][1:]),) if same else tuple(rows)


def shortened(cell: str, column: Column) -> str:
    """A cell with the column's digits; what is written with an exponent keeps one, of two digits at least.

    Example:
        >>> shortened("4.1399377187851668e-8", Column("sigma", "sigma", 3)), shortened("every p", Column("p", "p", 3))
        ('4.14e-08', 'every p')
    """
    if column.digits is None or not is_number(cell):
        return cell
    short = format(Decimal(cell), f".{column.digits - 1}e" if "e" in cell else f".{column.digits}g")
    return re.sub(r"(?<=e[+-])(\d)$", r"0\1", short)


def is_number(cell: str) -> bool:
    """Whether a cell is a decimal number."""
    return re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", cell) is not None


def text(table: Table) -> Iterator[str]:
    """Aligned columns under headings, notes wrapped at 80 characters."""
    columns, found = shown(table), groups(table)
    lines = [tuple(c.title for c in columns), *(row for group in found for row in group.rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]

    def aligned(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(w) if c.digits is None else cell.rjust(w)
            for cell, w, c in zip(cells, widths, columns, strict=True)
        ]
        return ("  " + "  ".join(padded)).rstrip()

    yield from (table.title, "", aligned(lines[0]))
    for group in found:
        if group.heading:
            yield ", ".join(group.heading)
        yield from map(aligned, group.rows)
    for note in table.notes:
        yield from ("", *textwrap.wrap(note, WIDTH, break_on_hyphens=False))


def markdown(table: Table) -> Iterator[str]:
    """One Markdown table, headings as columns of their own, and the notes as a list."""
    columns = [*table.columns[: table.headings], *shown(table)]

    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(plain, cells)) + " |"

    yield from (f"## {plain(table.title)}", "", row([c.title for c in columns]))
    yield "|" + "|".join("---" if c.digits is None else "---:" for c in columns) + "|"
    yield from (row((*group.heading, *cells)) for group in groups(table) for cells in group.rows)
    yield from ("", *(f"- {plain(note)}" for note in table.notes))


def latex(table: Table) -> Iterator[str]:
    """One `tabular` in the style of booktabs; title and notes are comments before it."""
    columns = shown(table)
    yield from (f"% {' '.join(line.split())}" for line in (table.title, *table.notes))
    yield r"% needs \usepackage{booktabs}"
    yield r"\begin{tabular}{" + "".join("l" if c.digits is None else "r" for c in columns) + "}"
    yield from (r"\toprule", " & ".join(_latex(c.title) for c in columns) + r" \\")
    for group in groups(table):
        yield r"\midrule"
        if group.heading:
            yield rf"\multicolumn{{{len(columns)}}}{{l}}{{{_latex(', '.join(group.heading))}}} \\"
        yield from (" & ".join(map(_latex, cells)) + r" \\" for cells in group.rows)
    yield from (r"\bottomrule", r"\end{tabular}")


def _latex(cell: str) -> str:
    """A cell in LaTeX: numbers in mathematics, everything else escaped."""
    if not is_number(cell):
        return "".join(LATEX.get(c, c) for c in cell)
    mantissa, e, exponent = cell.partition("e")
    return f"${mantissa}" + (rf"\times 10^{{{int(exponent)}}}" if e else "") + "$"


def comma_separated(table: Table) -> Iterator[str]:
    """CSV with every column and every digit, and a name for each column in its first line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([[c.name for c in table.columns], *table.rows])
    yield from buffer.getvalue().splitlines()


FORMATS: dict[str, Callable[[Table], Iterator[str]]] = {
    "text": text,
    "csv": comma_separated,
    "markdown": markdown,
    "latex": latex,
}
