"""A certificate: what every float of a domain gave, beside the truth. Frozen, JSON as it stands, and torch-free.

Inputs are numbered by *ranks*: 0 is the first float of the domain (-0 and +0 are two), and of two arguments the last
one runs fastest. Later versions only add fields.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from stabkit.errors import StabkitError
from stabkit.finding import Severity

CERTIFICATE_VERSION = 1
FORMAT = "stabkit certificate"
MOST_RUNS = 100
# Upper ends of the bins of errors, in ulps: errors of exactly a half abound, and no enclosure tells them from more.
EDGES = tuple(1.01 * 2.0**k for k in range(-1, 12))
BINS = len(EDGES) + 1


class CertificateError(StabkitError):
    """A file is no certificate that can be read or gone on with."""


class Axis(msgspec.Struct, frozen=True):
    """One argument and the ordinals of the floats that it takes, both included; `low` and `high` are these floats."""

    argument: str
    first: int
    last: int
    low: Any
    high: Any

    @property
    def size(self) -> int:
        """How many floats there are."""
        return self.last - self.first + 1


class Member(msgspec.Struct, frozen=True):
    """One number at one input.

    Attributes:
        ulps: |got - truth| in ulps of the truth; None where that says nothing.
    """

    rank: int
    at: dict[str, Any]
    got: Any
    truth: Any
    ulps: float | None


class Worst(msgspec.Struct, frozen=True):
    """The largest error met.

    Attributes:
        amount: in ulps or excess bits, as certain as the truth is.
        at_most: no input has more; the same as `amount` but for roundings where the maximum is known.
    """

    amount: Any
    at_most: Any
    member: Member


class Run(msgspec.Struct, frozen=True):
    """Inputs next to each other that fail, or are open, from rank `first` to `last`.

    Attributes:
        low, high: the inputs at its ends.
        count: how many of them fail; all, unless runs that nearly touch were joined.
        kinds: how many fail in which way.
        severity: of the gravest; None where they are open.
    """

    first: int
    last: int
    low: dict[str, Any]
    high: dict[str, Any]
    count: int
    kinds: dict[str, int]
    severity: Severity | None
    worst: Member


class Tally(msgspec.Struct, frozen=True):
    """What became of one number, `value` or `gradient:NAME`, at all inputs so far.

    Attributes:
        histogram: of finite errors in ulps, by `EDGES`; the last bin is beyond them. None stands in too low a bin.
        gap: runs that are no more than so many floats apart are joined; 1 where none had to be.
    """

    of: str
    right: int = 0
    warnings: int = 0
    errors: int = 0
    range_limits: int = 0
    undefined: int = 0
    unresolved: int = 0
    histogram: list[int] = msgspec.field(default_factory=lambda: [0] * BINS)
    most_ulps: Worst | None = None
    most_excess: Worst | None = None
    gap: int = 1
    failing: list[Run] = []
    open: list[Run] = []

    @property
    def inputs(self) -> int:
        """How many inputs are counted."""
        return self.right + self.failures + self.range_limits + self.undefined + self.unresolved

    @property
    def failures(self) -> int:
        """At how many inputs it fails."""
        return self.warnings + self.errors


class Identity(msgspec.Struct, frozen=True):
    """What a certificate is about; a run goes on only where all of it agrees.

    Attributes:
        sources: SHA-256 of the text of the target and of the definition; empty where Python has none.
        chunk: inputs that are counted together.
    """

    target: str
    arguments: list[str]
    reference: str | None
    oracle: str
    dtype: str
    device: str
    seed: int
    tolerance: float
    natural_scale: float
    machine: str
    versions: dict[str, str]
    sources: dict[str, str]
    axes: list[Axis]
    chunk: int
    notes: list[str]

    @property
    def inputs(self) -> int:
        """How many inputs there are."""
        return math.prod(axis.size for axis in self.axes)


class Certificate(msgspec.Struct, frozen=True):
    """Everything about one function in one dtype.

    Attributes:
        done: inputs counted, from rank 0 on.
        next: ordinals of the first input that is not; None once it is complete.
        certified: whether every truth was settled by precision; `why` not, if not.
        digest: SHA-256 of all the rest.
    """

    format: str
    schema_version: int
    identity: Identity
    command: str
    inputs: int
    done: int = 0
    complete: bool = False
    next: dict[str, int] | None = None
    certified: bool = True
    why: str = ""
    edges: list[float] = msgspec.field(default_factory=lambda: list(EDGES))
    numbers: list[Tally] = []
    digest: str = ""

    @property
    def failures(self) -> int:
        """How many numbers fail, value and gradient counted apart."""
        return sum(t.failures for t in self.numbers)

    @property
    def unresolved(self) -> int:
        """How many numbers are open."""
        return sum(t.unresolved for t in self.numbers)

    @property
    def is_proof(self) -> bool:
        """Whether it proves that nothing fails."""
        return self.complete and self.certified and not self.failures and not self.unresolved


def begun(identity: Identity, command: str) -> Certificate:
    """A certificate of which nothing is counted yet."""
    return _told(Certificate(FORMAT, CERTIFICATE_VERSION, identity, command, identity.inputs))


def extended(
    certificate: Certificate, count: int, numbers: Sequence[Tally], certified: bool = True, why: str = ""
) -> Certificate:
    """The certificate with the tallies of the next `count` inputs."""
    known = {t.of: t for t in certificate.numbers}
    both = [merged(known[t.of], t) if t.of in known else t for t in numbers]
    return _told(
        replace(
            certificate,
            done=certificate.done + count,
            numbers=both,
            certified=certificate.certified and certified,
            why=certificate.why or why,
        )
    )


def _told(certificate: Certificate) -> Certificate:
    """With what follows from the number of inputs counted."""
    complete = certificate.done == certificate.inputs
    following = None if complete else ordinals_at(certificate.identity.axes, certificate.done)
    return replace(certificate, complete=complete, next=following)


def ordinals_at(axes: Sequence[Axis], rank: int) -> dict[str, int]:
    """The ordinals of the input of that rank, by argument.

    Example:
        >>> ordinals_at([Axis("x", -2, 2, 0, 0), Axis("y", 10, 12, 0, 0)], 4)
        {'x': -1, 'y': 11}
    """
    found = {}
    for axis in reversed(axes):
        rank, place = divmod(rank, axis.size)
        found[axis.argument] = axis.first + place
    return dict(reversed(found.items()))


def merged(a: Tally, b: Tally) -> Tally:
    """The tally of one number over inputs and over those that follow."""
    runs = [*a.failing, *b.failing], [*a.open, *b.open]
    gap = max(a.gap, b.gap)
    while True:
        failing, open_ones = (join(found, gap) for found in runs)
        if max(len(failing), len(open_ones)) <= MOST_RUNS:
            break
        gap *= 2
    counts = ("right", "warnings", "errors", "range_limits", "undefined", "unresolved")
    return Tally(
        of=a.of,
        **{name: getattr(a, name) + getattr(b, name) for name in counts},
        histogram=[m + n for m, n in zip(a.histogram, b.histogram, strict=True)],
        most_ulps=worse(a.most_ulps, b.most_ulps),
        most_excess=worse(a.most_excess, b.most_excess),
        gap=gap,
        failing=failing,
        open=open_ones,
    )


def worse(a: Worst | None, b: Worst | None) -> Worst | None:
    """The larger of two errors, the first of equals, with the bound of both."""
    if a is None or b is None:
        return a or b
    larger = b if float(b.amount) > float(a.amount) else a
    return replace(larger, at_most=max(a.at_most, b.at_most, key=float))


def join(runs: Iterable[Run], gap: int) -> list[Run]:
    """Ascending runs, those joined whose nearest ends are at most `gap` ranks apart; 1 joins what touches."""
    found: list[Run] = []
    for run in runs:
        if found and run.first - found[-1].last <= gap:
            found[-1] = _joined(found[-1], run)
        else:
            found.append(run)
    return found


def _joined(a: Run, b: Run) -> Run:
    kinds = {k: a.kinds.get(k, 0) + b.kinds.get(k, 0) for k in sorted({*a.kinds, *b.kinds})}
    severity: Severity | None = "error" if "error" in (a.severity, b.severity) else a.severity
    return Run(a.first, b.last, a.low, b.high, a.count + b.count, kinds, severity, max(a.worst, b.worst, key=gravity))


def gravity(member: Member) -> float:
    """By how much it fails, for choosing the worst: what is not finite comes first."""
    return math.inf if member.ulps is None else member.ulps


def to_json(certificate: Certificate) -> str:
    """The certificate as a file holds it, sealed by its digest."""
    sealed = replace(certificate, digest=digest_of(certificate))
    return msgspec.json.format(msgspec.json.encode(sealed), indent=1).decode() + "\n"


def digest_of(certificate: Certificate) -> str:
    """SHA-256 of everything but the digest."""
    return hashlib.sha256(msgspec.json.encode(replace(certificate, digest=""))).hexdigest()


def from_json(text: str, name: str) -> Certificate:
    """The certificate that a file called `name` holds, whether its digest agrees or not.

    Raises:
        CertificateError: where it holds none, part of one, or one of a later version.
    """
    try:
        head = msgspec.json.decode(text or " ")
    except msgspec.DecodeError as error:
        what = f"is cut off or no JSON ({error})" if text.strip() else "is empty"
        raise CertificateError(f"certificate {name!r}", what, "certify again into another file") from None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise CertificateError(
            f"file {name!r}", "is not a certificate of stabkit", "name the file that stabkit certify wrote"
        )
    version = head.get("schema_version")
    if not isinstance(version, int) or version > CERTIFICATE_VERSION:
        raise CertificateError(f"certificate {name!r}", f"has schema version {version}", "read it by a newer stabkit")
    try:
        return msgspec.convert(head, Certificate)
    except msgspec.ValidationError as error:
        raise CertificateError(
            f"certificate {name!r}", f"is damaged ({error})", "certify again into another file"
        ) from None
