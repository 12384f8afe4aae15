"""From the shell prompt to a verdict on a ten-line loss, cold, and where the time goes.

Each stage is a process of its own, so that nothing is warm but the disk cache. Stages contain the ones before them;
what a stage adds is the difference. The last two are the audit itself inside a process that has everything loaded, and
the whole command.

    python -m stabkit.suites.cold_start --repeats 5
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import stabkit

LOSS = '''import torch


def loss(pred, target, log_scale):
    """A Gaussian likelihood with a learned scale, as a first draft has it."""
    scale = torch.exp(log_scale)
    variance = scale**2
    error = (pred - target) ** 2
    return 0.5 * error / variance + 0.5 * torch.log(variance)
'''
ARGUMENTS = ("pred=real", "target=data:real", "log_scale=[-50,50]")
IN_PROCESS = """import sys, time
from stabkit.auditor import audit_target
import torch._dynamo
from stabkit.audit_job import Job
torch.set_num_threads(1)
started = time.perf_counter()
for event in audit_target(Job(sys.argv[2], tuple(sys.argv[3:]), seconds=float(sys.argv[1]))):
    print(type(event).__name__, time.perf_counter() - started)
"""


@dataclass(frozen=True)
class Stage:
    """One stage and the seconds it took, each time it was tried."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


def stages(repeats: int, limit: float | None = None) -> list[Stage]:
    """Every stage, tried in turn so that a slow spell of the machine falls on all of them.

    Args:
        limit: seconds for the whole command, as with `--max-time`; else it takes the time it takes by default.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "draft.py").write_text(LOSS)
        words = [w for a in ARGUMENTS for w in ("--arg", a)]
        limited = [] if limit is None else ["--max-time", str(limit)]
        commands = {
            "python starts": ["-c", "pass"],
            "command line is read": ["-c", "import stabkit.cli, stabkit.run"],
            "torch is imported": ["-c", "import torch"],
            "engine is imported": ["-c", "import stabkit.auditor, torch._dynamo"],
            "audit, all loaded": ["-c", IN_PROCESS, str(limit or 20.0), "draft.py:loss", *ARGUMENTS],
            "whole command": ["-m", "stabkit", "audit", "draft.py:loss", *words, *limited],
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for name, command in commands.items():
                taken[name].append(_seconds(command, folder, inside=name.startswith("audit")))
    return [Stage(name, tuple(seconds)) for name, seconds in taken.items()]


def _seconds(command: Sequence[str], folder: str, inside: bool) -> float:
    """How long a Python process takes, or what it says of the part of it that is meant."""
    started = time.perf_counter()
    search = ":".join(str(Path(p).parent) for p in stabkit.__path__[:1])
    environment = {"PYTHONPATH": search, "PATH": "/usr/bin:/bin", "HOME": folder}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    elapsed = time.perf_counter() - started
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr)
    return float(done.stdout.split()[-1]) if inside else elapsed


def table(found: Sequence[Stage]) -> list[str]:
    """The stages as lines: median and range of seconds."""
    lines = [f"{'stage':24s} {'median s':>9s} {'least':>7s} {'most':>7s}"]
    return lines + [f"{s.name:24s} {s.median:9.2f} {min(s.seconds):7.2f} {max(s.seconds):7.2f}" for s in found]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="From the shell prompt to a verdict, cold, stage by stage.")
    parser.add_argument("--repeats", type=int, default=3)
    print("\n".join(table(stages(parser.parse_args(arguments).repeats))))  # noqa: T201


if __name__ == "__main__":
    main()
