"""Targets in processes of their own: a crash, an endless loop or a huge allocation costs one target, not the run.

Workers are forked from a server that has torch loaded; each writes its events to a spool file, so that what
was judged before a worker died is kept.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as OutOfTime
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from stabkit.events import Ended, Event, decode, encode

GRACE_SECONDS = 8.0  # beyond a target's own time before its worker is killed
MEMORY_BYTES = 8 * 2**30  # that a worker may allocate beyond what it starts with
POLL_SECONDS = 0.02
PRELOADED = ["stabkit.audit"]


@dataclass
class _Running:
    """One job in flight: where its events appear and how many bytes of them were read."""

    future: ProcessFuture[Any]
    spool: Path
    log: Path
    group: Path
    read: int = 0
    ended: bool = False


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
        """Target names with `zoo` and its families replaced by their entries; StabkitError for an unknown one."""
        if not any(n == "zoo" or n.startswith("zoo:") for n in names):
            return list(names)
        found: list[str] = self.pool.schedule(_expanded, args=[list(names)]).result()
        return found

    def events(self, jobs: Sequence[Any]) -> Iterator[tuple[int, Event]]:
        """Every event of every job, as it comes, with the job's index; each job's last event is `Ended`."""
        self.running = [self._start(i, job) for i, job in enumerate(jobs)]
        while not all(r.ended for r in self.running):
            time.sleep(POLL_SECONDS)
            for index, r in enumerate(self.running):
                if not r.ended:
                    yield from ((index, event) for event in _news(r))

    def spooled(self) -> Iterator[tuple[int, Event]]:
        """Everything that jobs have said so far, from the start: an interrupt may have lost what was just read."""
        for index, r in enumerate(self.running):
            r.read = 0
            yield from ((index, event) for event in _read(r))

    def _start(self, index: int, job: Any) -> _Running:
        spool, log, group = (Path(self.folder.name, f"{index}.{kind}") for kind in ("events", "log", "group"))
        words = [job, str(spool), str(log), str(group)]
        future = self.pool.schedule(_work, args=words, timeout=job.seconds + GRACE_SECONDS)
        return _Running(future, spool, log, group)


def _news(running: _Running) -> list[Event]:
    """What a job has said since the last look; its end in any case once its worker is gone."""
    done = running.future.done()
    events = _read(running)
    if done and not any(isinstance(e, Ended) for e in events):
        events.append(_death(running))
    running.ended = any(isinstance(e, Ended) for e in events)
    if running.ended and done:
        _end_group(running)
    return events


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
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return f": {lines[-1].strip()[:200]}" if lines else ""


def _work(job: Any, spool: str, log: str, group: str) -> None:
    """Runs in the worker: audits one target and spools its events."""
    os.setpgid(0, 0)
    Path(group).write_text(str(os.getpgid(0)))
    _isolate(log, limit_memory=job.device == "cpu")
    from stabkit.audit import audit_target

    with open(spool, "ab", buffering=0) as file:
        for event in audit_target(job):
            file.write(encode(event))


def _isolate(log: str, limit_memory: bool) -> None:
    """One thread, no interrupts, output to the log, and a bound on memory (CUDA reserves more than any bound)."""
    import torch

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


def _expanded(names: list[str]) -> list[str]:
    from stabkit import zoo

    found: list[str] = []
    for name in names:
        is_zoo = name == "zoo" or name.startswith("zoo:")
        found += [f"zoo:{spec.name}" for spec in zoo.find(name)] if is_zoo else [name]
    return list(dict.fromkeys(found))
