"""What an audit says: findings, verdicts and the result that holds them. Frozen, and JSON as it stands.

Floats that JSON has no number for are the strings `nan`, `inf` and `-inf`. Later versions only add fields.
"""

import math
from typing import Any, Literal

import msgspec

SCHEMA_VERSION = 1

Severity = Literal["error", "warning", "note"]
Outcome = Literal["passed", "failed", "unresolved", "not_applicable"]
Status = Literal["audited", "failed", "timed_out", "crashed", "not_judged"]
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


class Finding(msgspec.Struct, frozen=True):
    """One cause of failure of one claim, in one dtype.

    Attributes:
        of: `value`, `value[i]`, or `gradient:NAME[i,j]`.
        witness: the simplest inputs that fail, one sample, without the batch dimension.
        neighbour: the second witness of a jump.
        onset: the failing inputs nearest the everyday range.
        extremeness: how far the onset lies from everyday inputs, in binades; output is sorted by it.
        points: how many of the audited points failed so.
        excess_bits: bits lost beyond conditioning; None where the result is not finite.
        ulps: signed fractional error in ulps of the truth; None where the result is not finite.
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
    seconds: float = 0.0


class Result(msgspec.Struct, frozen=True):
    """One run of `stabkit audit`."""

    schema_version: int
    complete: bool
    exit_code: int
    seed: int
    command: str
    versions: dict[str, str]
    targets: list[TargetResult]


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
