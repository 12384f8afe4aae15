"""Safe ranges as a table: between which values of each argument nothing failed."""

from stabkit.reports.causes import SHORT_DTYPES

from stabkit.finding import Column, Ending, Result, SafeRange, Table, TargetResult, to_float

COLUMNS = [
    Column("target", "target"),
    Column("argument", "argument"),
    Column("of", "of"),
    Column("dtype", "dtype"),
    Column("low", "from", 3),
    Column("high", "to", 3),
    Column("certainty", "certainty"),
    Column("below", "below"),
    Column("above", "above"),
    Column("points", "points", detail=True),
]
HEADINGS = 3
LEGEND = (
    "From one everyday value outwards, the other arguments between 0.1 and 10. below, above: what the next float "
    "gives; `inf for 12` reads: it gives inf where 12 is true. truth too large: the true number does not fit the "
    "dtype. proved: every float between was tried, and its truth certified."
)


def ranges_table(result: Result) -> Table:
    """The safe ranges of every target, one row for each argument, number and dtype."""
    rows = [_row(t, r) for t in result.targets for r in sorted(t.ranges, key=lambda r: (r.argument, r.of != "value"))]
    notes = [note for t in result.targets for note in _notes(t)]
    return Table("range", "Where nothing fails", COLUMNS, rows, HEADINGS, [LEGEND, *notes])


def _row(target: TargetResult, r: SafeRange) -> list[str]:
    low, high = ("nowhere", "nowhere") if r.low is None or r.high is None else (repr(r.low), repr(r.high))
    dtype = SHORT_DTYPES[r.dtype]
    return [target.target, r.argument, r.of, dtype, low, high, r.certainty, _why(r.below), _why(r.above), str(r.points)]


def _why(ending: Ending) -> str:
    """Why a range ends, in a few words."""
    if ending.why == "fails":
        lost = f" -{ending.excess_bits:.0f} bits" if ending.excess_bits is not None else ""
        return f"{to_float(ending.got):.3g} for {to_float(ending.truth):.3g}{lost}"
    words = {"domain": "domain ends", "beyond": "truth too large", "unseen": "out of time", "raises": "it raises"}
    return words.get(ending.why, ending.why)


def _notes(target: TargetResult) -> list[str]:
    """What stands behind the ranges of one target, or why it has none."""
    if target.status not in ("audited", "failed"):
        return [f"{target.target}: {target.status.replace('_', ' ')}: {target.reason}"]
    tried = max((r.points for r in target.ranges), default=0)
    guesses = f"; guessed: {', '.join(target.guesses)}, confirm with --arg" if target.guesses else ""
    return [f"{target.target}: up to {tried} samples an argument and dtype, judged by {target.oracle}{guesses}"]
