"""The work on one certificate inside a worker: what it is about, its chunks, and trying one again.

Yields events and prints nothing.
"""

from __future__ import annotations

import hashlib
import inspect
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from stabkit.certificates.certificate import Identity, from_json
from stabkit.certificates.certify_job import CertifyJob
from stabkit.certificates.cross_check import cross_check
from stabkit.certificates.exhaustion import chunk_size, count
from stabkit.certificates.space import Space, space_of
from stabkit.collect import versions
from stabkit.errors import StabkitError, TargetError, printable
from stabkit.events import Checked, Counted, Ended, Event, Opened
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.oracle import Definition, Oracle, oracle_for
from stabkit.program import Program, confirm_batching, draws_random_numbers, require_device
from stabkit.search.points import probe_points
from stabkit.target import Target, resolve, with_tolerance
from stabkit.verification import Examiner

PROBES = 5


def events_of(job: CertifyJob) -> Iterator[Event]:
    """Everything about one task, ending with `Ended`; a user's mistake is an `Ended` too, not an exception."""
    deadline = time.monotonic() + job.seconds
    try:
        if job.task == "check":
            yield _checked(job)
        else:
            examiner, space, identity = opened(job)
            if job.task == "open":
                yield Opened(identity)
            else:
                yield from _counted(job, examiner, space, identity.chunk, deadline)
        yield Ended("audited")
    except StabkitError as error:
        yield Ended("not_judged", printable(str(error)))
    except MemoryError:
        yield Ended("crashed", "it needs more memory than a worker may have")


def opened(job: CertifyJob) -> tuple[Examiner, Space, Identity]:
    """A target ready to be run on every input, and what its certificate is about.

    Raises:
        StabkitError: where it cannot be found, called, judged or walked through.
    """
    torch.manual_seed(job.seed)
    if job.target == "zoo" or job.target.startswith("zoo:"):
        _require_one(job.target)
    target = resolve(job.target, [parse_parameter(text) for text in job.arguments])
    require_device(job.device)
    target = with_tolerance(target, job.tolerance, job.natural_scale)
    program = Program(target, FORMATS[job.dtype], job.device, seed=job.seed)
    space = space_of(program)
    probes = probe_points(program, PROBES)
    program, why_alone = confirm_batching(program, probes)
    if draws_random_numbers(program, probes):
        raise TargetError(
            f"target {job.target!r}", "draws random numbers", "a proof needs a function: use stabkit audit"
        )
    oracle = oracle_for(target, job.reference, program)
    examiner = Examiner(program, oracle)
    notes = [f"inputs run one at a time: {why_alone}"] if why_alone else []
    return examiner, space, _identity(job, examiner, space, notes)


def _require_one(name: str) -> None:
    """Raises TargetError for the name of a collection."""
    from stabkit.zoo import find

    specs = find(name)
    if len(specs) > 1:
        raise TargetError(f"target {name!r}", f"names {len(specs)} functions", f"name one: zoo:{specs[0].name}")


def _identity(job: CertifyJob, examiner: Examiner, space: Space, notes: list[str]) -> Identity:
    target, oracle = examiner.program.target, examiner.oracle
    guesses = [f"guessed from its name: {a}" for a in target.guesses]
    return Identity(
        target=job.target,
        arguments=[str(p) for p in target.parameters],
        reference=job.reference,
        oracle=oracle_words(oracle),
        dtype=job.dtype,
        device=job.device,
        seed=job.seed,
        tolerance=target.tolerance.bits,
        natural_scale=target.tolerance.natural_scale,
        machine=machine(job.device),
        versions={**versions(), "torch": str(torch.__version__)},
        sources=sources_of(target, oracle),
        axes=list(space.axes),
        chunk=chunk_size(examiner, space.count),
        notes=[*notes, *guesses],
    )


def oracle_words(oracle: Oracle | None) -> str:
    """Who says what is true, in words."""
    if oracle is None:
        return "none"
    kind = "the program itself on exact real numbers" if oracle.certified else "the program itself in float64"
    if oracle.name == "reference":
        kind = "a definition on intervals and balls" if oracle.certified else "mpmath code, by agreeing precisions"
    return kind if oracle.certified else f"{kind}, no proof"


def sources_of(target: Target, oracle: Oracle | None) -> dict[str, str]:
    """SHA-256 of the text of what is judged and of what it is judged by, constants included."""
    functions = oracle.reading.functions if isinstance(oracle, Definition) else ()
    found = {"target": _digest([target.function], sorted(target.constants.items()))}
    if functions:
        found["definition"] = _digest(list(functions), [])
    return found


def _digest(functions: list[Callable[..., Any]], constants: list[tuple[str, Any]]) -> str:
    texts = [_text_of(f) for f in functions]
    if not all(texts):
        return ""
    return hashlib.sha256("\0".join([*texts, *(f"{n}={v!r}" for n, v in constants)]).encode()).hexdigest()


def _text_of(function: Callable[..., Any]) -> str:
    """The source of a function or of a module's class; empty where it is not Python's."""
    thing = type(function) if isinstance(function, torch.nn.Module) else inspect.unwrap(function)
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        return ""


def machine(device: str) -> str:
    """The processor that computes, and what of it torch uses."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(device))
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or platform.processor() or platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def _counted(job: CertifyJob, examiner: Examiner, space: Space, chunk: int, deadline: float) -> Iterator[Event]:
    """The tallies of the chunks that fall to this job, until its time is up."""
    oracle = examiner.oracle
    assert oracle is not None
    for number in range(job.first, -(-space.count // chunk), job.stride):
        first, stop = number * chunk, min((number + 1) * chunk, space.count)
        tallies = count(examiner, space, first, stop)
        yield Counted(number, stop - first, tallies, oracle.certified, getattr(oracle, "why", ""))
        if time.monotonic() > deadline:
            return


def _checked(job: CertifyJob) -> Checked:
    certificate = from_json(job.certificate, job.target)
    known = certificate.identity
    again = replace(
        job,
        target=known.target,
        arguments=tuple(known.arguments),
        reference=known.reference,
        dtype=known.dtype,
        device=known.device,
        tolerance=known.tolerance,
        natural_scale=known.natural_scale,
    )
    examiner, space, identity = opened(replace(again, seed=known.seed))
    return cross_check(certificate, identity, examiner, space, job.sample, job.seed)
