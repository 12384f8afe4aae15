"""One target in one dtype: points drawn, run, screened and judged. The checks read what comes out of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Generator

from stabkit.domain import Argument, Interval, Point
from stabkit.floats import from_ordinals, ordinals
from stabkit.judge import Judgement, Kind
from stabkit.oracle import Oracle
from stabkit.program import Outcome, Points, Program, sample_of
from stabkit.proof import Proof, prove
from stabkit.search.lattice import Lattice
from stabkit.search.points import draw, extremeness, probe_points, remoteness
from stabkit.search.screen import choose, in_turns, suspicion
from stabkit.verification import Examiner, Sample

ROUNDS = 3
PLAIN_VALUES, MOST_PLAIN_ROWS = (0.0, 0.5, -0.5, 1.0, -1.0), 40
RUNS_A_SAMPLE = 4  # natively, in float64, and twice with moved inputs
PACED_BATCHES = (64, 4096)  # samples that tell how long one takes: the second where the first were quick
MOST_EACH = 1e-4  # seconds of a quick one
PROVED_TOO = 40  # samples a round that are judged although enclosures settled them
MOST_LEFT = 150  # samples a round that are judged because enclosures did not settle them
AT_ONCE = 8  # samples whose truths are looked for together
UNSETTLED = 4.0  # score of what they did not settle
BATCHED_POINTS, LONE_POINTS = 4096, 256  # a round, with samples together and one at a time


@dataclass(frozen=True, eq=False)
class Sweep:
    """What was run and judged.

    Attributes:
        samples: the judged samples, by the row number of their judgements.
        remote: how far each judged sample lies from everyday inputs, in binades.
        judgements: one for each judged number.
        run: how many samples ran natively.
        proved: how many of them have every number right by enclosures of the truth, judged or not.
        certified: how many of them are proved, or judged by a certified truth.
        raised: how many of them raised, and the first complaint.
        ended_by: `count`, `exhaustion` of a small domain, or `time`.
        deadline: on the monotonic clock, by which checks that run the program further are done.
    """

    examiner: Examiner
    samples: Sequence[Sample] = ()
    remote: Sequence[float] = ()
    judgements: Sequence[Judgement] = ()
    run: int = 0
    proved: int = 0
    certified: int = 0
    raised: int = 0
    complaint: str | None = None
    ended_by: str = "count"
    deadline: float = math.inf

    @property
    def program(self) -> Program:
        """What was run."""
        return self.examiner.program

    @property
    def oracle(self) -> Oracle | None:
        """Who judged it."""
        return self.examiner.oracle

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """The target's tensors."""
        return self.program.target.arguments

    def count(self, kind: Kind) -> int:
        """How many numbers of that kind were judged."""
        return sum(j.kind is kind for j in self.judgements)

    def failures(self, kind: Kind, gradient: bool) -> list[Judgement]:
        """The failed numbers of that kind, of the value or of the gradient."""
        return [j for j in self.judgements if j.kind is kind and j.of.startswith("gradient") == gradient]

    def remoteness(self, row: int) -> float:
        """How far a judged sample lies from everyday inputs, in binades."""
        return self.remote[row]


def sweep(examiner: Examiner, seconds: float, seed: int) -> Sweep:
    """Draws points in rounds until the count or the time is spent; every number of a chosen sample is judged."""
    generator = Generator().manual_seed(seed)
    deadline = time.monotonic() + seconds
    found, program = Sweep(examiner), examiner.program
    most = _affordable(program, seconds)
    for number in range(ROUNDS):
        points, whole = _points(program, most, number, generator)
        outcome = program.run(points)
        proof = None if examiner.oracle is None else prove(program, examiner.oracle, points, outcome)
        rows = _rows_to_judge(examiner, points, outcome, proof, generator)
        samples, judgements = _judged(found, points, outcome, rows, proof, deadline)
        found = _extended(found, outcome, proof, rows[: len(samples)], samples, judgements)
        if whole or time.monotonic() > deadline:
            return replace(found, ended_by="exhaustion" if whole else "time")
    return found


def _affordable(program: Program, seconds: float) -> int:
    """Samples of a round that leave time for judging them: half the time for all runs of all rounds."""
    each = math.inf
    for probes in PACED_BATCHES if program.batched else (2,):
        started = time.monotonic()
        program.run(probe_points(program, probes))
        each = (time.monotonic() - started) / probes
        if each > MOST_EACH:
            break
    return max(8, int(seconds / (each * RUNS_A_SAMPLE * ROUNDS * 2)))


def _points(program: Program, most: int, number: int, generator: Generator) -> tuple[Points, bool]:
    """The samples of one round, `most` at most, and whether they are all there are."""
    arguments, form = program.target.arguments, program.form
    if all(isinstance(a.domain, Point) for a in arguments):
        return draw(arguments, form, 1, generator), True
    lattice = _only_lattice(program)
    if lattice is not None and form.bits is torch.int16 and program.batched:
        everything = _every_float(lattice)
        if len(everything) <= most * ROUNDS:
            return {lattice.name: everything}, True
    count = min(most, BATCHED_POINTS if program.batched else LONE_POINTS)
    points = draw(arguments, form, count, generator)
    if number == 0 and lattice is not None:
        marks = lattice.landmarks.to(form.dtype)[:count]
        points[lattice.name][: len(marks)] = marks
    return points, False


def _only_lattice(program: Program) -> Lattice | None:
    """The lattice of a target's one number, if it takes no more than that."""
    (first, *others) = program.target.arguments
    single = not others and isinstance(first.domain, Interval) and not first.shape
    return Lattice(first.domain, program.form, first.name) if single else None  # type: ignore[arg-type]


def _every_float(lattice: Lattice) -> torch.Tensor:
    first, last = ordinals(torch.tensor([lattice.low, lattice.high], dtype=lattice.form.dtype)).tolist()
    inside = from_ordinals(torch.arange(first, last + 1), lattice.form)
    return torch.cat([inside, torch.tensor(lattice.legal_infinities, dtype=lattice.form.dtype)])


def _rows_to_judge(
    examiner: Examiner, points: Points, outcome: Outcome, proof: Proof | None, generator: Generator
) -> list[int]:
    """Suspects, some others, and plain numbers; where enclosures have settled most samples, few of those."""
    program, oracle = examiner.program, examiner.oracle
    scores = suspicion(program, points, outcome, generator)
    thrifty = oracle is not None and oracle.thrifty
    per_channel, at_random = (30, 80) if thrifty else (90, 400) if proof is None else (45, 300)
    left = [] if proof is None else (~proof.narrow).nonzero().flatten().tolist()
    if proof is not None:
        scores = {name: score.masked_fill(proof.narrow, -math.inf) for name, score in scores.items()}
        scores["open"] = torch.where(proof.narrow, -math.inf, UNSETTLED)
        at_random = at_random if program.form.name == "float64" else PROVED_TOO
    rows = choose(scores, remoteness(points, program.target.arguments), per_channel, at_random, generator)
    rows = in_turns([rows, _plain_rows(points, program.target.arguments), left[:MOST_LEFT]])
    return [r for r in rows if not outcome.raised[r]]


def _plain_rows(points: Points, arguments: Sequence[Argument]) -> list[int]:
    """The first row of each combination of zeros, ones and halves: kinks and poles sit there, and chance misses."""
    blocks = [points[a.name].double().reshape(len(points[a.name]), -1) for a in arguments]
    table = torch.cat(blocks, 1)
    plain = torch.isin(table, torch.tensor(PLAIN_VALUES, dtype=torch.float64)).all(1).nonzero().flatten().tolist()
    first: dict[tuple[float, ...], int] = {}
    for row in plain:
        first.setdefault(tuple(table[row].tolist()), row)
    return list(first.values())[:MOST_PLAIN_ROWS]


def _judged(
    found: Sweep, points: Points, outcome: Outcome, rows: Iterable[int], proof: Proof | None, deadline: float
) -> tuple[list[Sample], list[Judgement]]:
    """The samples of these rows and the judgements on them, as far as time allows; one at least."""
    rows = list(rows)
    samples: list[Sample] = []
    judgements: list[Judgement] = []
    for start in range(0, len(rows), AT_ONCE):
        part = {row: sample_of(points, row) for row in rows[start : start + AT_ONCE]}
        known = proof or found.examiner.foresee(part, outcome)
        for row, sample in part.items():
            if samples and time.monotonic() > deadline:
                return samples, judgements
            judgements += found.examiner.judge_row(sample, outcome, row, len(found.samples) + len(samples), known)
            samples.append(sample)
    return samples, judgements


def _extended(
    found: Sweep,
    outcome: Outcome,
    proof: Proof | None,
    rows: list[int],
    samples: list[Sample],
    judgements: list[Judgement],
) -> Sweep:
    proved = set() if proof is None else set(proof.settled.both.nonzero().flatten().tolist())
    certified = {*proved, *rows} if found.oracle is not None and found.oracle.certified else proved
    return replace(
        found,
        samples=[*found.samples, *samples],
        remote=[*found.remote, *(extremeness(s, found.arguments) for s in samples)],
        judgements=[*found.judgements, *judgements],
        run=found.run + len(outcome.values),
        proved=found.proved + len(proved),
        certified=found.certified + len(certified),
        raised=found.raised + int(outcome.raised.sum()),
        complaint=found.complaint or outcome.complaint,
    )
