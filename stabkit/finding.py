"""What a run says: findings, verdicts, tables and the result that holds them. Frozen, and JSON as it stands.

Floats that JSON has no number for are the strings `nan`, `inf` and `-inf`. Later versions only add fields.
"""

import math
from typing import Any, Literal

import msgspec

SCHEMA_VERSION = 1

Severity = Literal["error", "warning", "note"]
Outcome = Literal["passed", "failed", "unresolved", "not_applicable"]
Status = Literal["audited", "failed", "timed_out", "crashed", "not_judged"]
Certainty = Literal["proved", "not refuted", "refuted", "unknown"]
Oracle = Literal["reference", "program", "property"]
Num = float | int | str
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


def number(value: float | None) -> Any:
    """A float as the result format writes it; None stays None.

    Example:
        >>> number(float("-inf")), number(2.0), number(None)
        ('-inf', 2.0, None)
    """
    if value is None or math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def to_float(value: Num) -> float:
    """The float behind a number of the result format."""
    return float(value)


class Place(msgspec.Struct, frozen=True):
    """Where in the user's program it happens."""

    file: str
    line: int
    operation: str


class Shift(msgspec.Struct, frozen=True):
    """Where a jump lies, and how large it is, at another value of another argument."""

    argument: str
    value: Any
    place: Any
    size: Any


class Jump(msgspec.Struct, frozen=True):
    """A jump between two neighbouring floats, those of a finding's witness and its neighbour.

    Attributes:
        argument: the number that moves by one float, `x` or `x[1]`.
        got, truth: below and above it.
        size: of the step of what the program gives, beyond the step of the truth.
        ulps: the same in ulps of the value.
        slopes, true_slopes: below and above, by the argument.
        wrong: the side that is further from the truth, `below`, `above` or `both`.
        band: floats around all flips of the switch, the program's and the one of real arithmetic.
        flips: how often it flips in the program.
        crossover: where it would flip in real arithmetic; None where that is not known.
        shifts: place and size at other values of the other arguments.
    """

    argument: str
    got: list[Any]
    truth: list[Any]
    size: Any
    ulps: Any
    slopes: list[Any]
    true_slopes: list[Any]
    wrong: Literal["below", "above", "both"]
    band: list[Any]
    flips: int
    crossover: Any = None
    shifts: list[Shift] = []


class Extent(msgspec.Struct, frozen=True):
    """Between which values of one number a witness goes on failing alike, all others unchanged.

    Attributes:
        argument: `x` or `x[1]`.
        low, high: the outermost values found to fail without a gap between them and the witness.
        whole: these are the ends of the domain.
    """

    argument: str
    low: Any
    high: Any
    whole: bool


class Dead(msgspec.Struct, frozen=True):
    """A gradient that is 0 in every element although the true one is not.

    Attributes:
        argument: by which.
        share: of the floats of the domain, those at which it is, estimated from points uniform in ordinals.
        along: the number, `x` or `x[1]`, that brings it back to life with the fewest floats between.
        nearest: the value at which it does; None where none was found along any axis.
    """

    argument: str
    share: float
    along: str = ""
    nearest: Any = None


class Finding(msgspec.Struct, frozen=True):
    """One cause of failure of one claim, in one dtype.

    Attributes:
        of: `value`, `value[i]`, or `gradient:NAME[i,j]`: what fails at the witness.
        numbers: all that was seen to fail so, `value` and `gradient:NAME`.
        witness: the simplest inputs that fail, one sample, without the batch dimension.
        neighbour: the second witness of a jump.
        onset: the failing inputs nearest the everyday range.
        extremeness: how far the onset lies from everyday inputs, in binades; output is sorted by it.
        points: how many of the audited points failed so.
        excess_bits: bits lost beyond conditioning; None where the result is not finite.
        ulps: signed fractional error in ulps of the truth; None where the result is not finite.
        jump: what is known of a jump, of claims about continuity.
        region: how far the failure extends along each axis.
        immaterial: the arguments whose value does not matter to it.
        dead: where else a gradient is, of claims about dead ones.
        breaks: the property that is broken, of claims about properties; between witness and neighbour, if there is one.
    """

    id: str
    code: str
    claim: str
    severity: Severity
    dtype: str
    device: str
    oracle: Oracle
    certified: bool
    of: str
    witness: dict[str, Any]
    neighbour: dict[str, Any] | None
    onset: dict[str, Any]
    extremeness: float
    points: int
    got: Any
    truth: Any
    excess_bits: float | str | None
    ulps: float | str | None
    where: Place | None
    cause: str
    hint: str
    repro: str
    numbers: list[str] = []
    jump: Jump | None = None
    region: list[Extent] = []
    immaterial: list[str] = []
    dead: Dead | None = None
    breaks: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """What became of one claim in one dtype on one device."""

    claim: str
    dtype: str
    device: str
    verdict: Outcome
    reason: str


class Coverage(msgspec.Struct, frozen=True):
    """What stands behind the verdicts of one dtype.

    Attributes:
        run, judged, raised: samples; a judged sample has a value and its slopes, `numbers` in all.
        proved: samples that enclosures of the truth show to be right in every number, judged one by one or not.
        certified: samples proved, or judged by a certified truth.
        unresolved, undefined, range_limits: of those numbers, what was not compared.
        ended_by: `count`, `time`, or `exhaustion` of a small domain.
    """

    dtype: str
    device: str
    run: int
    judged: int
    numbers: int
    unresolved: int
    undefined: int
    range_limits: int
    raised: int
    ended_by: str
    proved: int = 0
    certified: int = 0


class Headroom(msgspec.Struct, frozen=True):
    """How far an operation of one line stayed from the ends of the dtype, at everyday inputs.

    Attributes:
        operation: its name, with `(backward)` where it computes slopes.
        smallest, largest: sizes of its finite nonzero results.
        above: binades from the largest of them to the largest float.
        below: binades from the smallest of them to the smallest normal float; None for sums, which do not underflow.
        overflowed: some result was infinite.
    """

    dtype: str
    file: str
    line: int
    operation: str
    smallest: float
    largest: float
    above: float
    below: float | None
    overflowed: bool


class Hazard(msgspec.Struct, frozen=True):
    """Where an operation of the program may go wrong, and how near the search came to it.

    Attributes:
        operation: its name, with `(backward)` where it computes slopes.
        towards: `zero`, `one`, `overflow`, `underflow`, `cancellation`, `absorption`, `equality`, `a switch`.
        nearest: the least seen: size of an operand, distance from 1, floats between what is compared, else binades.
        approached: whether that is as near as it gets.
        at: the inputs there.
    """

    dtype: str
    file: str
    line: int
    operation: str
    towards: str
    nearest: Any
    approached: bool
    at: dict[str, Any] = {}


class Ending(msgspec.Struct, frozen=True):
    """Why a safe range ends where it does: what became of the neighbouring float beyond.

    Attributes:
        why: the domain ends; a claim fails; the truth is beyond the dtype; it is unresolved; the target raises;
            nothing beyond was looked at for want of time.
        of, got, truth, excess_bits: the number that fails there, as findings state it.
        at: the inputs at which it does.
    """

    why: Literal["domain", "fails", "beyond", "unresolved", "raises", "unseen"]
    of: str = ""
    got: Any = None
    truth: Any = None
    excess_bits: float | None = None
    at: dict[str, Any] = {}


class SafeRange(msgspec.Struct, frozen=True):
    """Between which values of an argument nothing failed, the other arguments everyday.

    Attributes:
        of: `value`, or `gradient` by any argument.
        low, high: the outermost values at which nothing failed; None where an everyday value fails already.
        certainty: `proved` on every float between, `not refuted` by `points` samples, `refuted` where an everyday value
            fails already, or `unknown` where time or precision ran out before anything was known.
        below, above: why the range ends there.
    """

    dtype: str
    argument: str
    of: str
    low: float | None
    high: float | None
    certainty: Certainty
    points: int
    below: Ending
    above: Ending


class TargetResult(msgspec.Struct, frozen=True):
    """Everything an audit found out about one target."""

    target: str
    status: Status
    reason: str = ""
    oracle: str = ""
    arguments: list[str] = []
    guesses: list[str] = []
    notes: list[str] = []
    verdicts: list[Verdict] = []
    findings: list[Finding] = []
    coverage: list[Coverage] = []
    ranges: list[SafeRange] = []
    headroom: list[Headroom] = []
    hazards: list[Hazard] = []
    seconds: float = 0.0


class Column(msgspec.Struct, frozen=True):
    """One column of a table.

    Attributes:
        name: unique, as CSV heads it.
        title: what readers see above it.
        digits: significant digits that readers see of its numbers; None for a column of words.
        detail: left to CSV.
    """

    name: str
    title: str
    digits: int | None = None
    detail: bool = False


class Table(msgspec.Struct, frozen=True):
    """Numbers of an experiment, with what it takes to read them.

    Attributes:
        columns, rows: a row has one cell a column; numbers are decimals in full, some beyond any float's range.
        headings: how many of the leading columns name groups of rows.
    """

    name: str
    title: str
    columns: list[Column]
    rows: list[list[str]]
    headings: int = 0
    notes: list[str] = []


class Result(msgspec.Struct, frozen=True):
    """One run of `stabkit audit`, or the tables of one run of `stabkit table`."""

    schema_version: int
    complete: bool
    exit_code: int
    seed: int
    command: str
    versions: dict[str, str]
    targets: list[TargetResult]
    tables: list[Table] = []

    @property
    def findings(self) -> list[Finding]:
        """Those of all targets, errors first, each target's nearest to everyday inputs first."""
        found = [f for t in self.targets for f in t.findings]
        return sorted(found, key=lambda f: SEVERITIES.index(f.severity))


def count(result: Result, severity: Severity) -> int:
    """How many findings of that severity a result holds."""
    return sum(f.severity == severity for t in result.targets for f in t.findings)


def to_json(result: Result) -> str:
    """The result as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1).decode() + "\n"


def from_json(text: str | bytes) -> Result:
    """The result that a JSON text holds; msgspec.ValidationError where it holds none."""
    return msgspec.json.decode(text, type=Result)


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of a result."""
    schema = msgspec.json.schema(Result)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "stabkit audit result", **schema}
