"""One target in one dtype: points drawn, run, screened and judged. The checks read what comes out of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Generator, Tensor

from stabkit.domain import Argument
from stabkit.finding import Hazard
from stabkit.judge import Judgement, Kind
from stabkit.oracle import Oracle
from stabkit.program import Outcome, Points, Program, sample_of
from stabkit.proof import Proof, prove
from stabkit.search.points import extremeness, remoteness
from stabkit.search.sampler import ROUNDS, Batch, Sampler
from stabkit.search.screen import choose, end_rows, in_turns, plain_rows, suspicion
from stabkit.verification import Examiner, Sample

PROVED_TOO = 40  # samples a round that are judged although enclosures settled them
MOST_LEFT = 150  # samples a round that are judged because enclosures did not settle them
FEWEST_OF_ALL = 6  # one in so many is judged by chance
AT_ONCE = 8  # samples whose truths are looked for together
UNSETTLED = 4.0  # score of what they did not settle


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
        hazards: where the program may go wrong, and how near samples came to it.
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
    hazards: Sequence[Hazard] = ()
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
    """Draws batches of samples until the count or the time is spent; every number of a chosen sample is judged."""
    sampler = Sampler(examiner.program, seconds, Generator().manual_seed(seed))
    deadline = time.monotonic() + seconds
    found = Sweep(examiner)
    for batch in _batches(sampler):
        found = replace(_with(found, sampler, batch, deadline), hazards=sampler.hazards)
        if batch.whole or time.monotonic() > deadline:
            return replace(found, ended_by="exhaustion" if batch.whole else "time")
    return found


def _batches(sampler: Sampler) -> Iterator[Batch]:
    """All samples there are; else a few for a start, drawn ones, led ones, and drawn ones again."""
    everything = sampler.everything()
    if everything is not None:
        yield everything
        return
    yield sampler.few()
    first = sampler.drawn(first=True)
    yield first
    led = sampler.led(first.points)
    if led is not None:
        yield led
    for _ in range(ROUNDS - 1):
        yield sampler.drawn(first=False)


def _with(found: Sweep, sampler: Sampler, batch: Batch, deadline: float) -> Sweep:
    """A sweep with one more batch run and judged."""
    examiner, points = found.examiner, batch.points
    outcome = examiner.program.run(points)
    proof = None if examiner.oracle is None else prove(examiner.program, examiner.oracle, points, outcome)
    scores = suspicion(examiner.program, points, outcome, sampler.generator)
    sampler.learn(points, outcome, scores)
    rows = _rows_to_judge(examiner, batch, outcome, proof, scores, sampler.generator)
    samples, judgements = _judged(found, points, outcome, rows, proof, deadline)
    return _extended(found, outcome, proof, rows[: len(samples)], samples, judgements)


def _rows_to_judge(
    examiner: Examiner,
    batch: Batch,
    outcome: Outcome,
    proof: Proof | None,
    scores: dict[str, Tensor],
    generator: Generator,
) -> list[int]:
    """Urgent ones, suspects, some others, plain numbers; where enclosures have settled most samples, few of those."""
    program, oracle, points = examiner.program, examiner.oracle, batch.points
    thrifty = oracle is not None and oracle.thrifty
    per_channel, at_random = (30, 80) if thrifty else (90, 400) if proof is None else (45, 300)
    left = [] if proof is None else (~proof.narrow).nonzero().flatten().tolist()
    if proof is not None:
        scores = {name: score.masked_fill(proof.narrow, -math.inf) for name, score in scores.items()}
        scores["open"] = torch.where(proof.narrow, -math.inf, UNSETTLED)
        at_random = at_random if program.form.name == "float64" else PROVED_TOO
    arguments = program.target.arguments
    at_random = min(at_random, len(outcome.values) // FEWEST_OF_ALL)
    rows = choose(scores, remoteness(points, arguments), per_channel, at_random, generator)
    ends, plain = end_rows(points, arguments), plain_rows(points, arguments)
    rows = in_turns([rows, range(batch.urgent), ends, plain, left[:MOST_LEFT]])
    return [r for r in rows if not outcome.raised[r]]


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
