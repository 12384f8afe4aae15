"""What an audit says while it runs, one event at a time; whoever listens prints, stores or assembles them."""

import msgspec

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


Event = Begun | Judged | Ranged | Ended


def encode(event: Event) -> bytes:
    """One line of JSON."""
    return msgspec.json.encode(event) + b"\n"


def decode(line: bytes) -> Event:
    """The event that a line holds; msgspec.DecodeError where it was cut off."""
    event: Event = msgspec.json.decode(line, type=Event)
    return event
