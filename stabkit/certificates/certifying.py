"""A certification: its chunks counted by isolated workers, merged in order, and kept so that it can go on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from msgspec import structs

from stabkit.certificates.certificate import Certificate, CertificateError, Identity, begun, extended
from stabkit.certificates.certify_job import CertifyJob
from stabkit.events import Checked, Counted, Ended, Event, Opened
from stabkit.worker import Workers

SAVE_SECONDS = 10.0  # between two versions of an unfinished certificate
MOST_WORKERS = 64


@dataclass(frozen=True)
class Certified:
    """What became of a certification.

    Attributes:
        certificate: None where nothing could be begun.
        reason: it could not go on, in words.
    """

    certificate: Certificate | None
    reason: str = ""
    interrupted: bool = False


@dataclass
class _Progress:
    """A certificate on its way, with chunks that came before their turn."""

    certificate: Certificate
    waiting: dict[int, Counted] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Takes one event of a worker in."""
        if isinstance(event, Ended) and event.status != "audited":
            self.reasons.append(event.reason)
        if isinstance(event, Counted):
            self.waiting[event.chunk] = event
        while (found := self.waiting.pop(self.next_chunk, None)) is not None:
            self.certificate = extended(self.certificate, found.inputs, found.numbers, found.certified, found.why)

    @property
    def next_chunk(self) -> int:
        return -(-self.certificate.done // self.certificate.identity.chunk)


def certify(
    job: CertifyJob,
    command: str,
    known: Certificate | None,
    save: Callable[[Certificate], None],
    max_time: float | None = None,
    progress: Callable[[int, int], None] = lambda done, inputs: None,
) -> Certified:
    """Counts every input that is not counted yet; an interrupt keeps what was.

    Args:
        job: what to certify, as its task `open`.
        known: what an earlier run has counted.
        save: keeps an unfinished or finished certificate.
        max_time: seconds after which no further chunk is begun.
        progress: told how many inputs are done, of how many.

    Raises:
        CertificateError: where what is known is about something else.
    """
    started = time.monotonic()
    identity, reason = _opened(job)
    if identity is None:
        return Certified(known, reason)
    start = begun(identity, command) if known is None else _gone_on_with(known, identity, command)
    if start.complete:
        return Certified(start)
    seconds = job.seconds if max_time is None else max_time - (time.monotonic() - started)
    return _counted(start, replace(job, task="count", seconds=seconds), save, progress)


def _opened(job: CertifyJob) -> tuple[Identity | None, str]:
    """What the certificate is about, or why there is none."""
    with Workers(1) as workers:
        events = [event for _, event in workers.events([job])]
    identity = next((e.identity for e in events if isinstance(e, Opened)), None)
    return identity, next((e.reason for e in events if isinstance(e, Ended)), "")


def _gone_on_with(known: Certificate, identity: Identity, command: str) -> Certificate:
    """An earlier certificate of the same thing."""
    for name in Identity.__struct_fields__:
        was, is_now = getattr(known.identity, name), getattr(identity, name)
        if was != is_now:
            raise CertificateError(
                f"the certificate of {known.identity.target!r} that is there",
                f"differs in its {name.replace('_', ' ')}",
                "name another file with -o, or delete it to begin again",
            )
    return known if known.complete else structs.replace(known, command=command, digest="")


def _counted(
    start: Certificate,
    job: CertifyJob,
    save: Callable[[Certificate], None],
    progress: Callable[[int, int], None],
) -> Certified:
    """The certificate once its chunks are counted, time is up, or somebody interrupts."""
    so_far, saved = _Progress(start), time.monotonic()
    left = -(-start.inputs // start.identity.chunk) - so_far.next_chunk
    count = max(1, min(os.cpu_count() or 1, MOST_WORKERS, left))
    jobs = [replace(job, first=so_far.next_chunk + k, stride=count) for k in range(count)]
    interrupted = False
    with Workers(count) as workers:
        try:
            for _, event in workers.events(jobs):
                so_far.take(event)
                progress(so_far.certificate.done, start.inputs)
                if time.monotonic() - saved > SAVE_SECONDS:
                    save(so_far.certificate)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            interrupted, so_far = True, _Progress(start)
            _take_all(so_far, (event for _, event in workers.spooled()))
    if so_far.certificate.done > start.done:
        save(so_far.certificate)
    return Certified(so_far.certificate, next(iter(so_far.reasons), ""), interrupted)


def _take_all(so_far: _Progress, events: Iterable[Event]) -> None:
    """What workers have said from the start: an interrupt may have lost what was just read."""
    for event in events:
        so_far.take(event)


def check(text: str, name: str, sample: int, seed: int) -> tuple[Checked | None, str]:
    """What of a certificate holds, or why that cannot be told.

    Args:
        text: of the certificate.
        name: of its file.
        sample: random inputs to try, besides those that it names.
    """
    job = CertifyJob("check", name, certificate=text, sample=sample, seed=seed)
    with Workers(1) as workers:
        events = [event for _, event in workers.events([job])]
    found = next((e for e in events if isinstance(e, Checked)), None)
    return found, next((e.reason for e in events if isinstance(e, Ended)), "")
