"""Safe ranges as a table: between which values of each argument nothing failed."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context

from stabkit.reports.causes import SHORT_DTYPES

from stabkit.finding import Column, Ending, Result, SafeRange, Table, TargetResult, to_float

COLUMNS = [
    Column("target", "target"),
    Column("argument", "argument"),
    Column("of", "of"),
    Column("dtype", "dtype"),
    Column("from", "from"),
    Column("to", "to"),
    Column("certainty", "certainty"),
    Column("below", "below"),
    Column("above", "above"),
    Column("low", "lowest", detail=True),
    Column("high", "highest", detail=True),
    Column("points", "points", detail=True),
]
HEADINGS = 3
DIGITS = 4
LEGEND = (
    "From one everyday value outwards, the other arguments 0 or between 0.1 and 10 in size; warnings do not end a "
    "range. below, above: what the next float gives; inf for 12 reads: inf where 12 is true. truth too large: the true "
    "number does not fit the dtype. proved: every float between was tried, and its truth certified."
)


def ranges_table(result: Result) -> Table:
    """The safe ranges of every target, one row for each argument, number and dtype."""
    rows = [_row(t, r) for t in result.targets for r in sorted(t.ranges, key=lambda r: (r.argument, r.of != "value"))]
    notes = [note for t in result.targets for note in _notes(t)]
    return Table("range", "Where nothing fails", COLUMNS, rows, HEADINGS, [LEGEND, *notes])


def _row(target: TargetResult, r: SafeRange) -> list[str]:
    empty = "unknown" if r.certainty == "unknown" else "nowhere"
    ends = [empty if x is None else _rounded(x, way) for x, way in ((r.low, ROUND_CEILING), (r.high, ROUND_FLOOR))]
    exact = ["" if x is None else repr(x) for x in (r.low, r.high)]
    words = [r.certainty, _why(r.below), _why(r.above)]
    return [target.target, r.argument, r.of, SHORT_DTYPES[r.dtype], *ends, *words, *exact, str(r.points)]


def _rounded(value: float, way: str) -> str:
    """Four significant digits, rounded into the range."""
    short = Context(prec=DIGITS, rounding=way).create_decimal(repr(value))
    return f"{float(short):.{DIGITS}g}"


def _why(ending: Ending) -> str:
    """Why a range ends, in a few words."""
    if ending.why == "fails":
        got, truth = (f"{to_float(x):.3g}" for x in (ending.got, ending.truth))
        if ending.excess_bits is not None and got == truth:
            return f"{ending.excess_bits:.0f} bits lost"
        return f"{got} for {truth}" if truth != "nan" else f"{got}, truth undefined"
    words = {"domain": "domain ends", "beyond": "truth too large", "unseen": "out of time", "raises": "it raises"}
    return words.get(ending.why, ending.why)


def _notes(target: TargetResult) -> list[str]:
    """What stands behind the ranges of one target, or why it has none."""
    if target.status not in ("audited", "failed"):
        return [f"{target.target}: {target.status.replace('_', ' ')}: {target.reason}"]
    tried = max((r.points for r in target.ranges), default=0)
    guesses = f"; guessed: {', '.join(target.guesses)}, confirm with --arg" if target.guesses else ""
    return [f"{target.target}: up to {tried} samples an argument and dtype, judged by {target.oracle}{guesses}"]
