"""How fast a search meets a fault: stabkit beside plain Hypothesis, uniform samples, gradcheck and anomaly mode.

Forty faults, from one float wide to half the domain, each looked for by each tool in a process of its own, one after
the other on one core, from fixed seeds. The clock starts when torch and the fault are loaded and stops when the first
witness is known; what the process takes before and after is told apart as start-up.

    python -m stabkit.suites.search_benchmark --seconds 60 -o search.json
    python -m stabkit.suites.search_benchmark --only nan_at_one_float --tools stabkit,hypothesis -o search.md
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from stabkit.suites.search_faults import FAULTS, Fault
from stabkit.suites.search_tools import TOOLS, hunt_for

BUDGET = 10.0  # seconds that stabkit has, and in which every fault should be found
OURS, THEIRS = "stabkit", "hypothesis"
GRACE = 60.0  # seconds beyond its own that a process may take before it is ended


@dataclass(frozen=True)
class Row:
    """One fault looked for by one tool.

    Attributes:
        seconds: until the first witness was known, one for each seed; None where none was found in time.
        tried: samples looked at, likewise.
        startup: seconds of the process beside the search, likewise.
        witness: the first one found, in words.
    """

    fault: str
    tool: str
    limit: float
    seconds: tuple[float | None, ...]
    tried: tuple[int, ...]
    startup: tuple[float, ...]
    witness: str = ""

    @property
    def median(self) -> float:
        """Seconds to the first witness, infinite where most seeds found none."""
        return statistics.median_high([math.inf if s is None else s for s in self.seconds])


def measure(fault: Fault, tool: str, limit: float, seeds: Sequence[int] = (0,)) -> Row:
    """One fault and one tool, each seed in a process of its own."""
    seconds, tried, startup, witnesses = [], [], [], []
    for seed in seeds:
        started = time.perf_counter()
        said = _in_a_process(fault, tool, limit, seed)
        seconds.append(said["found"])
        tried.append(int(said["tried"] or 0))
        startup.append(round(time.perf_counter() - started - (said["took"] or 0.0), 3))
        witnesses += [said["witness"]] * bool(said["witness"])
    return Row(fault.name, tool, limit, tuple(seconds), tuple(tried), tuple(startup), *witnesses[:1])


def _in_a_process(fault: Fault, tool: str, limit: float, seed: int) -> dict[str, Any]:
    """What a fresh process says of its search; nothing found where it had to be ended."""
    words = ["--here", "--only", fault.name, "--tools", tool, "--seconds", str(limit), "--seed", str(seed)]
    command = [sys.executable, "-m", "stabkit.suites.search_benchmark", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit + GRACE)
    except subprocess.TimeoutExpired:
        return {"found": None, "tried": None, "took": limit + GRACE, "witness": ""}
    if done.returncode:
        raise RuntimeError(f"{fault.name} by {tool}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def said_here(fault: Fault, tool: str, limit: float, seed: int) -> str:
    """A search in this process, as one line of JSON."""
    _load(tool)
    started = time.perf_counter()
    hunt = hunt_for(fault, tool, limit, seed)
    in_time = hunt.found is not None and hunt.found <= limit
    witness = "" if hunt.witness is None else ", ".join(f"{n}={v}" for n, v in hunt.witness.items())
    took = time.perf_counter() - started
    return json.dumps({"found": hunt.found if in_time else None, "tried": hunt.tried, "took": took, "witness": witness})


def _load(tool: str) -> None:
    """What is loaded or set up at first use and then never again, by torch and by the other tool."""
    x = torch.ones(1, requires_grad=True)
    torch.autograd.grad(x * 1, x, torch.ones(1))
    importlib.import_module("torch._dynamo")  # by every dispatch mode; workers of an audit have it from the start
    if tool == THEIRS:
        from hypothesis import given, settings
        from hypothesis import strategies as st

        settings(max_examples=5, database=None, deadline=None)(given(x=st.floats())(lambda x: None))()


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Seconds to the first witness by fault and tool, as Markdown, and what they come to."""
    tools = list(dict.fromkeys(r.tool for r in rows))
    known = {(r.fault, r.tool): r for r in rows}
    by_name = {f.name: f for f in FAULTS}
    yield f"| fault | what | how wide | dtype | {' | '.join(tools)} | {THEIRS}/{OURS} |"
    yield "|---" * (5 + len(tools)) + "|"
    for name in dict.fromkeys(r.fault for r in rows):
        fault = by_name[name]
        cells = [_seconds(known.get((name, tool))) for tool in tools]
        ratio = _ratio(known.get((name, OURS)), known.get((name, THEIRS)))
        shown = "" if ratio is None else f"{ratio:.3g}"
        yield f"| {name} | {fault.kind} | {fault.width} | {fault.dtype} | {' | '.join(cells)} | {shown} |"
    yield ""
    yield from summary(rows)


def _seconds(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row.median:.3g}" if math.isfinite(row.median) else f"none in {row.limit:.3g}"


def _ratio(ours: Row | None, theirs: Row | None) -> float | None:
    """How many times faster the first is, where both find the fault."""
    if ours is None or theirs is None or not math.isfinite(ours.median + theirs.median):
        return None
    return theirs.median / ours.median


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """How many each tool finds and how fast, the ratio, and what stabkit misses."""
    by_tool: dict[str, list[Row]] = {}
    for row in rows:
        by_tool.setdefault(row.tool, []).append(row)
    for tool, mine in by_tool.items():
        quick = sum(r.median <= BUDGET for r in mine)
        found = [r.median for r in mine if math.isfinite(r.median)]
        middle = f"; median {statistics.median(found):.3g} s of {len(found)} found" if found else ""
        startup = statistics.median([s for r in mine for s in r.startup])
        yield f"{tool}: {quick} of {len(mine)} within {BUDGET:.3g} s{middle}; start-up {startup:.3g} s"
    ours, theirs = ({r.fault: r for r in by_tool.get(t, ())} for t in (OURS, THEIRS))
    ratios = [r for r in (_ratio(ours[n], theirs.get(n)) for n in ours) if r is not None]
    if ratios:
        yield f"{THEIRS}/{OURS} where both find it: median {statistics.median(ratios):.3g} over {len(ratios)} faults"
    missed = [n for n, r in ours.items() if r.median > BUDGET]
    if missed:
        yield f"not found by {OURS} within {BUDGET:.3g} s: {', '.join(missed)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table and writes it, or the rows as JSON."""
    options = _parser().parse_args(arguments)
    faults = [f for f in FAULTS if not options.only or f.name in options.only]
    tools = options.tools.split(",")
    unknown = [n for n in options.only or () if n not in {f.name for f in FAULTS}] + [
        t for t in tools if t not in TOOLS
    ]
    if unknown or options.repeats < 1:
        what = f"{', '.join(unknown)}: not known" if unknown else "--repeats: must be at least 1"
        sys.exit(f"{what}; faults are {', '.join(f.name for f in FAULTS)}; tools are {', '.join(TOOLS)}")
    if options.here:
        torch.set_num_threads(1)
        for fault in faults:
            for tool in tools:
                print(said_here(fault, tool, options.seconds, options.seed))  # noqa: T201
        return
    seeds = range(options.seed, options.seed + options.repeats)
    rows = []
    for fault in faults:
        for tool in tools:
            rows.append(measure(fault, tool, BUDGET if tool == OURS else options.seconds, seeds))
            print(f"{fault.name}, {tool}: {_seconds(rows[-1])}", file=sys.stderr, flush=True)  # noqa: T201
    lines = "\n".join(table(rows))
    print(lines)  # noqa: T201
    if options.output is not None:
        as_json = json.dumps({"torch": torch.__version__, "rows": [asdict(r) for r in rows]}, indent=1)
        options.output.write_text((lines if options.output.suffix == ".md" else as_json) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help=f"for each search; {OURS} has {BUDGET:.3g}")
    parser.add_argument("--only", action="append", metavar="FAULT", help="look for this one only; repeatable")
    parser.add_argument("--tools", default=",".join(TOOLS), help="some of them, with commas between")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--repeats", type=int, default=1, help="seeds of which the median counts")
    parser.add_argument("--here", action="store_true", help="in this process, one line of JSON a search")
    parser.add_argument("-o", "--output", type=Path, help="a file for the rows (.json) or the table (.md)")
    return parser


if __name__ == "__main__":
    main()
