"""A run: several targets audited in isolated workers, from request to result."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stabkit.audit_job import DTYPES, Job, Task
from stabkit.collect import Collected, result_of
from stabkit.finding import Result
from stabkit.worker import GRACE_SECONDS, Workers, may_be_many

SECONDS_A_TARGET = 20.0
STARTUP_SECONDS = 3.0  # what loading torch takes out of the time for a whole run
OVERRUN = 0.08  # of the time for a whole run: each target first finishes what it is at
MOST_WORKERS = 8


@dataclass(frozen=True)
class Request:
    """What a run is asked to do.

    Attributes:
        arguments: `--arg` texts, for every target.
        max_time: seconds for everything; None for the usual time a target.
        fail_on: `error`, `warning` or `never`.
        command: as the user gave it, for the record.
        tolerance, natural_scale: of the error rule; None for the targets' own.
        properties: `--property` texts, for every target.
    """

    targets: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    reference: str | None = None
    dtypes: tuple[str, ...] = DTYPES
    device: str = "cpu"
    seed: int = 0
    max_time: float | None = None
    fail_on: str = "error"
    exit_zero: bool = False
    command: str = ""
    task: Task = "audit"
    tolerance: float | None = None
    natural_scale: float | None = None
    properties: tuple[str, ...] = ()

    def job(self, target: str, dtypes: tuple[str, ...], seconds: float) -> Job:
        """Some dtypes of one target of the request as a job."""
        return Job(
            target,
            self.arguments,
            self.reference,
            dtypes,
            self.device,
            self.seed,
            seconds,
            self.task,
            self.fail_on,
            self.tolerance,
            self.natural_scale,
            self.properties,
        )


def run(request: Request, progress: Callable[[int, int], None] = lambda done, total: None) -> Result:
    """Audits all targets; an interrupt ends it early and keeps what was judged.

    Args:
        progress: told how many targets are done, of how many.

    Raises:
        StabkitError: for an unknown name in a collection.
        KeyboardInterrupt: only if nothing had been started.
    """
    started, interrupted = time.monotonic(), False
    collected: list[Collected] = []
    with Workers(_worker_count(request.targets, request.dtypes)) as workers:
        try:
            names = workers.expand(request.targets)
            groups = _groups(request.dtypes, workers.count // max(len(names), 1))
            owners = [index for index in range(len(names)) for _ in groups]
            share, spent = len(groups[0]) / len(request.dtypes), time.monotonic() - started
            seconds = _seconds_each(request.max_time, share, len(owners), workers.count, spent)
            collected = [Collected(name, dtypes=request.dtypes, jobs=len(groups)) for name in names]
            jobs = [request.job(name, group, seconds) for name in names for group in groups]
            until = math.inf if request.max_time is None else started + request.max_time * (1 - OVERRUN)
            for job, event in workers.events(jobs, _grace(request.max_time), until):
                collected[owners[job]].add(event)
                collected[owners[job]].seconds = time.monotonic() - started
                progress(sum(c.ended is not None for c in collected), len(names))
        except KeyboardInterrupt:
            if not collected:
                raise
            interrupted = True
            collected = [replace(c, begun=None, judged=[], ranged=[], endings=[]) for c in collected]
            for job, event in workers.spooled():
                collected[owners[job]].add(event)
    return result_of(collected, request.command, request.seed, request.fail_on, request.exit_zero, interrupted)


def _worker_count(targets: Sequence[str], dtypes: Sequence[str]) -> int:
    """One worker a target and dtype, as far as there are cores; a name may stand for many targets."""
    cores = min(os.cpu_count() or 1, MOST_WORKERS)
    return cores if any(map(may_be_many, targets)) else min(cores, len(targets) * len(dtypes))


def _groups(dtypes: tuple[str, ...], count: int) -> list[tuple[str, ...]]:
    """The dtypes in so many groups of neighbours, if there are as many of them; one group at least.

    Example:
        >>> _groups(("float16", "bfloat16", "float32", "float64"), 2)
        [('float16', 'bfloat16'), ('float32', 'float64')]
        >>> _groups(("float32",), 8), _groups(("float16", "float32", "float64"), 2)
        ([('float32',)], [('float16', 'float32'), ('float64',)])
    """
    size = math.ceil(len(dtypes) / max(min(count, len(dtypes)), 1))
    return [dtypes[start : start + size] for start in range(0, len(dtypes), size)]


def _grace(budget: float | None) -> float:
    """How long a target may overrun its time before its worker is killed."""
    return GRACE_SECONDS if budget is None else max(1.0, min(GRACE_SECONDS, budget / 5))


def _seconds_each(budget: float | None, share: float, jobs: int, workers: int, spent: float) -> float:
    """The time of one job: its share of the budget, torch's loading taken off once."""
    if budget is None:
        return SECONDS_A_TARGET * share
    left = max(budget - max(spent, STARTUP_SECONDS), 0.5)
    return left * min(workers, jobs) / jobs
