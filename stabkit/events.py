"""What an audit says while it runs, one event at a time; whoever listens prints, stores or assembles them."""

import msgspec

from stabkit.certificates.certificate import Identity, Tally
from stabkit.finding import Coverage, Finding, Hazard, Headroom, SafeRange, Status, Verdict


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """A target was found and can be called."""

    oracle: str
    arguments: list[str]
    guesses: list[str]
    notes: list[str]


class Judged(msgspec.Struct, frozen=True, tag="judged"):
    """One dtype is done."""

    dtype: str
    verdicts: list[Verdict]
    findings: list[Finding]
    coverage: Coverage | None
    headroom: list[Headroom] = []
    hazards: list[Hazard] = []


class Ranged(msgspec.Struct, frozen=True, tag="ranged"):
    """The safe ranges of one dtype are known."""

    dtype: str
    ranges: list[SafeRange]


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The target is done, or could not be judged."""

    status: Status
    reason: str = ""


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """What a certificate will be about."""

    identity: Identity


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """A chunk of inputs is counted.

    Attributes:
        chunk: its number.
        why: the truth of it is not certified, if it is not.
    """

    chunk: int
    inputs: int
    numbers: list[Tally]
    certified: bool
    why: str


class Checked(msgspec.Struct, frozen=True, tag="checked"):
    """A certificate was tried again.

    Attributes:
        inputs: tried.
        unresolved: numbers that could not be judged.
        contradictions: what does not hold.
        notes: what else there is to say.
    """

    inputs: int
    unresolved: int
    contradictions: list[str]
    notes: list[str]


Event = Begun | Judged | Ranged | Opened | Counted | Checked | Ended


def encode(event: Event) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(event) + b"\n"


def decode(line: bytes) -> Event:
    """The event that a line holds; msgspec.DecodeError where it was cut off."""
    event: Event = msgspec.json.decode(line, type=Event)
    return event
