"""One run at one point, taken apart: every operation beside what it should have given. Frozen, and JSON as is."""

from typing import Any

import msgspec

from stabkit.finding import Num, Oracle, Severity


class Operation(msgspec.Struct, frozen=True):
    """One operation of a run, at the element that is worst off.

    Attributes:
        element: which of its result's `elements` the numbers are about, counted through the flattened tensor.
        operands: that element of each operand that has as many, the operand's only element, or its largest.
        gives, exactly: what it gave, and what the exact run has there; None where that took another way.
        alone_ulps: its own error: against the exact result for the very operands that it got, in ulps of that.
        bits_lost: of the result, all errors so far; None where it is not finite, or nothing exact is known.
        bits_added: how much of that came in at this operation.
        condition: by how much it amplifies relative errors of its operands.
        smallest, largest: sizes of the result's finite nonzero elements.
        headroom, footroom: binades from there to the largest and the smallest normal float.
        cause: why, on the operation that is to blame.
    """

    name: str
    backward: bool
    file: str
    line: int
    element: int
    elements: int
    operands: list[Num]
    gives: Num
    exactly: Num | None
    alone_ulps: Num | None
    bits_lost: float | None
    bits_added: float | None
    condition: Num | None
    smallest: float | None
    largest: float | None
    headroom: float | None
    footroom: float | None
    cause: str = ""


class Number(msgspec.Struct, frozen=True):
    """One number of the run, judged.

    Attributes:
        verdict: `right`, `not finite`, `inaccurate`, `vanished`, `range limit`, `undefined` or `unresolved`.
    """

    of: str
    got: Num
    truth: Num
    verdict: str
    severity: Severity | None
    excess_bits: float | None


class SourceLine(msgspec.Struct, frozen=True):
    """A line of the program."""

    file: str
    line: int
    text: str


class Anatomy(msgspec.Struct, frozen=True):
    """A run of a target in one dtype at one point.

    Attributes:
        at: the inputs, rounded to the dtype.
        oracle, certified: who says what the numbers should be.
        numbers: value and slopes.
        blamed_for: the number whose failure the operation with a `cause` explains; empty if none fails.
        operations: in the order they ran, backward ones last.
        source: the lines around them.
        notes: what the exact run could not follow.
    """

    target: str
    dtype: str
    device: str
    at: dict[str, Any]
    oracle: Oracle
    certified: bool
    numbers: list[Number]
    blamed_for: str
    cause: str
    hint: str
    operations: list[Operation]
    source: list[SourceLine]
    notes: list[str] = []
