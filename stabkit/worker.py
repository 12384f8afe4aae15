"""Targets in processes of their own: a crash, an endless loop or a huge allocation costs one target, not the run.

Workers are forked from a server that has torch loaded; each writes its events to a spool file, so that what
was judged before a worker died is kept.
"""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import pkgutil
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as OutOfTime
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import msgspec
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from stabkit.errors import printable
from stabkit.events import Ended, Event, decode, encode

LEAST_SECONDS = 0.5  # of a target, however little time is left
GRACE_SECONDS = 8.0  # beyond a target's own time before its worker is killed
MEMORY_BYTES = 8 * 2**30  # that a worker may allocate beyond what it starts with
LOG_BYTES = 2**28  # of output, and of any other file a target writes
POLL_SECONDS = 0.02
VANISHED_SECONDS = 2.0  # that the pool has to notice the death of a worker and its exit code
PRELOADED = [
    "stabkit.auditor",
    "stabkit.certificates.certifier",
    "torch._dynamo",
]  # the latter is loaded by every dispatch mode


@dataclass
class _Running:
    """One job in flight: where its events appear and how many bytes of them were read."""

    future: ProcessFuture[Any]
    spool: Path
    log: Path
    group: Path
    read: int = 0
    ended: bool = False
    vanished: float | None = None


@dataclass
class Workers:
    """A pool of isolated workers; use it as a context manager.

    Example:
        with Workers(2) as workers:
            for index, event in workers.events(jobs):
                ...
    """

    count: int
    pool: ProcessPool = field(init=False)
    folder: Any = field(init=False)
    running: list[_Running] = field(default_factory=list)

    def __enter__(self) -> Workers:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self.folder = tempfile.TemporaryDirectory(prefix="stabkit-")
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", self.folder.name)  # torch makes one where it is traced
        _start_server_quietly()
        # one task a process: what a target does to its process ends with it
        self.pool = ProcessPool(max_workers=self.count, max_tasks=1, context=context)
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.stop()  # type: ignore[no-untyped-call]
        self.pool.join()
        for r in self.running:
            _end_group(r)
        self.folder.cleanup()

    def expand(self, names: Sequence[str]) -> list[str]:
        """Target names with those of whole collections replaced by their entries; StabkitError for an unknown one."""
        if not any(map(may_be_many, names)):
            return list(names)
        found: list[str] = self.pool.schedule(_expanded, args=[list(names)]).result()
        return found

    def events(
        self, jobs: Sequence[Any], grace: float = GRACE_SECONDS, until: float = math.inf
    ) -> Iterator[tuple[int, Event]]:
        """Every event of every job, as it comes, with the job's index; each job's last event is `Ended`.

        Args:
            grace: seconds beyond a job's own before its worker is killed.
            until: on the monotonic clock, when all should be done: jobs that end early leave their time to the others.
        """
        self.running, waiting = [], list(jobs)
        while waiting or not all(r.ended for r in self.running):
            busy = sum(not r.ended for r in self.running)
            if waiting and busy < self.count:
                share = (until - time.monotonic()) * min(1.0, self.count / (len(waiting) + busy))
                paced = len(self.running) >= self.count and math.isfinite(until)
                job = waiting.pop(0)
                self._start(replace(job, seconds=max(share, LEAST_SECONDS)) if paced else job, grace)
                continue
            time.sleep(POLL_SECONDS)
            for index, r in enumerate(self.running):
                if not r.ended:
                    yield from ((index, event) for event in _news(r))
                elif _is_gone(r):
                    _end_group(r)

    def spooled(self) -> Iterator[tuple[int, Event]]:
        """Everything that jobs have said so far, from the start: an interrupt may have lost what was just read."""
        for index, r in enumerate(self.running):
            r.read = 0
            yield from ((index, event) for event in _read(r))

    def _start(self, job: Any, grace: float) -> None:
        index = len(self.running)
        spool, log, group = (Path(self.folder.name, f"{index}.{kind}") for kind in ("events", "log", "group"))
        words = [job, str(spool), str(log), str(group)]
        future = self.pool.schedule(_work, args=words, timeout=job.seconds + grace)
        self.running.append(_Running(future, spool, log, group))


def _start_server_quietly() -> None:
    """Starts the server that workers are forked from; an interrupt while it loads torch is ours, not its.

    What it and workers that come too late complain of is of no use to anybody; workers at work have logs of their own.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        forkserver.ensure_running()
    finally:
        os.dup2(kept, 2)
        for descriptor in (kept, nowhere):
            os.close(descriptor)
        signal.signal(signal.SIGINT, previous)


def _news(running: _Running) -> list[Event]:
    """What a job has said since the last look; its end in any case once its worker is gone."""
    gone = running.future.done() or _has_vanished(running)
    try:
        events = _read(running)
    except msgspec.MsgspecError as error:
        events = [Ended("crashed", f"its events cannot be read ({error})")]
    if gone and not any(isinstance(e, Ended) for e in events):
        events.append(_death(running))
    running.ended = any(isinstance(e, Ended) for e in events)
    return events


def _has_vanished(running: _Running) -> bool:
    """Whether a worker's process is gone although the pool does not say so: it ended with exit code 0."""
    if not _is_gone(running):
        return False
    running.vanished = running.vanished or time.monotonic()
    return time.monotonic() - running.vanished > VANISHED_SECONDS


def _is_gone(running: _Running) -> bool:
    """Whether a worker's process started and is no more; killed while it exits it would break the pool."""
    if not running.group.exists():
        return False
    try:
        os.kill(int(running.group.read_text() or 0), 0)
    except ProcessLookupError:
        return True
    return False


def _end_group(running: _Running) -> None:
    """Kills what a target forked and left behind."""
    if running.group.exists():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(int(running.group.read_text()), signal.SIGKILL)
        running.group.unlink()


def _read(running: _Running) -> list[Event]:
    if not running.spool.exists():
        return []
    with running.spool.open("rb") as file:
        file.seek(running.read)
        text = file.read()
    whole = text[: text.rfind(b"\n") + 1]
    running.read += len(whole)
    return [decode(line) for line in whole.splitlines()]


def _death(running: _Running) -> Ended:
    """How a worker ended that did not say so itself."""
    if not running.future.done():
        running.future.cancel()  # type: ignore[no-untyped-call]
        return Ended("crashed", f"its process ended by itself (exit code 0){_last_words(running.log)}")
    error = running.future.exception()
    if isinstance(error, OutOfTime):
        return Ended("timed_out", "it did not return in time and was stopped")
    if isinstance(error, ProcessExpired):
        return Ended("crashed", f"its process died ({_exit_words(error.exitcode)}){_last_words(running.log)}")
    return Ended(
        "crashed",
        f"{type(error).__name__}: {error}" if error else f"its process stopped early{_last_words(running.log)}",
    )


def _exit_words(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def _last_words(log: Path) -> str:
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return f": {printable(lines[-1][:200])}" if lines else ""


def _work(job: Any, spool: str, log: str, group: str) -> None:
    """Runs in the worker: does the job by the function that it names, and spools its events."""
    os.setpgid(0, 0)
    Path(group).write_text(str(os.getpid()))
    _isolate(log, limit_memory=job.device == "cpu")
    events_of = pkgutil.resolve_name(job.run_by)
    with open(spool, "ab", buffering=0) as file:
        for event in events_of(job):
            file.write(encode(event))


def _isolate(log: str, limit_memory: bool) -> None:
    """One thread, no interrupts, output to a bounded log, and a bound on memory (CUDA reserves more than any)."""
    import torch

    _die_with_parent()
    resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    torch.set_num_threads(1)
    if limit_memory:
        pages = Path("/proc/self/statm")
        used = int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 0
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, hard))


def _die_with_parent() -> None:
    """On Linux, asks the kernel to end this process when the one that forked it ends."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def may_be_many(name: str) -> bool:
    """Whether a name may stand for a collection of targets; only a process that has torch loaded knows of which.

    Example:
        >>> may_be_many("torch:kl"), may_be_many("zoo"), may_be_many("torch.nn.functional:mse_loss")
        (True, True, False)
    """
    return name.partition(":")[0] in ("zoo", "torch")


def _expanded(names: list[str]) -> list[str]:
    from stabkit import catalog, zoo

    found: list[str] = []
    for name in names:
        if name.partition(":")[0] == "zoo":
            found += [f"zoo:{spec.name}" for spec in zoo.find(name)]
        else:
            found += catalog.find(name) if catalog.is_meant(name) else [name]
    return list(dict.fromkeys(found))
