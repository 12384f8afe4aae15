"""Between which values of an argument nothing failed: the answer to "which sigma may I train with in bfloat16?".

From an everyday value outwards, the other arguments everyday: the nearest failure on each side is narrowed down to
neighbouring floats, and the interval between is then attacked again. An interval also ends where the truth itself no
longer fits the dtype.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from stabkit.checks import kind_of
from stabkit.domain import Argument, Sorted
from stabkit.finding import Certainty, Ending, SafeRange, number
from stabkit.floats import Format, from_ordinals, ordinals, shortest
from stabkit.judge import Judgement, Kind
from stabkit.program import Points, Program, count_of, rows_at, rows_of, sample_of
from stabkit.proof import Proof, prove
from stabkit.search.joint import Joint
from stabkit.search.lattice import Lattice
from stabkit.search.legal import moved_past
from stabkit.search.points import probe_points
from stabkit.verification import Examiner, Sample, written

OTHERS, PROBES = 16, 256  # everyday samples of the other arguments, and what they are chosen from
GRID, LONE_GRID = 1000, 40  # values a side and pass, with samples together and one at a time
PASSES = 3
MOST_JUDGED = 250  # samples a side and pass, of those that enclosures leave open
KINDS = ("value", "gradient")
STARTS = {
    True: (1.0, 0.5, 0.1, 2.0, 10.0),
    False: (0.0, 1.0, 0.5, -1.0, 2.0, -0.5),
}  # of a nonnegative domain, of others
STARTING_SAMPLES = 4


@dataclass(frozen=True)
class Edge:
    """The last value on one side at which nothing failed, and why it ends there."""

    rank: int
    ending: Ending


@dataclass
class _Search:
    """One argument on one lattice; edges by (number, side) move inwards as failures are found."""

    examiner: Examiner
    argument: Argument
    lattice: Lattice
    everyday: Points
    fail_on: str
    deadline: float
    generator: Generator
    edges: dict[tuple[str, int], Edge] = field(default_factory=dict)
    start: int = 0
    tried: int = 0

    @property
    def form(self) -> Format:
        return self.examiner.program.form


def safe_ranges(examiner: Examiner, fail_on: str, seconds: float, seed: int) -> Iterator[SafeRange]:
    """The safe ranges of every argument that varies over an interval, for the value and for the gradient.

    Args:
        fail_on: `error`, or `warning` to end ranges at warnings too.
        seconds: for all arguments together; past them what was not looked at is outside.
    """
    started = time.monotonic()
    joint = Joint(examiner.program.target.arguments, examiner.program.form)
    everything = [(a, joint.lattice(a)) for a in joint.arguments if not isinstance(a.domain, Sorted)]
    varied = [(argument, lattice) for argument, lattice in everything if lattice is not None]
    for index, (argument, lattice) in enumerate(varied):
        deadline = started + seconds * (index + 1) / len(varied)
        everyday, generator = _everyday_samples(examiner.program), Generator().manual_seed(seed)
        yield from _ranges(_Search(examiner, argument, lattice, everyday, fail_on, deadline, generator))


def _ranges(search: _Search) -> Iterator[SafeRange]:
    form = search.form
    search.start = _start(search)
    ends = {-1: _rank(search.lattice.low, form), 1: _rank(search.lattice.high, form)}
    search.edges = {(of, side): Edge(end, Ending("domain")) for of in KINDS for side, end in ends.items()}
    whole = _is_whole(search)
    for number_of_pass in range(1 if whole else PASSES):
        for side in ends:
            _attack(search, side, whole, first=number_of_pass == 0)
    for of in KINDS if search.argument.is_differentiable else KINDS[:1]:
        yield _range(search, of, proved=whole and search.examiner.is_certified)


def _range(search: _Search, of: str, proved: bool) -> SafeRange:
    low, high = search.edges[of, -1], search.edges[of, 1]
    empty = low.rank > high.rank
    return SafeRange(
        dtype=search.form.name,
        argument=search.argument.name,
        of=of,
        low=None if empty else _value(low.rank, search.form),
        high=None if empty else _value(high.rank, search.form),
        certainty=_certainty(low, high, proved),
        points=search.tried,
        below=low.ending,
        above=high.ending,
    )


def _certainty(low: Edge, high: Edge, proved: bool) -> Certainty:
    if low.rank > high.rank and {low.ending.why, high.ending.why} & {"unseen", "unresolved"}:
        return "unknown"
    return "refuted" if low.rank > high.rank else "proved" if proved else "not refuted"


def _start(search: _Search) -> int:
    """The rank that the search starts from: the first everyday value inside at which nothing ends a range."""
    lattice = search.lattice
    middle = lattice.low / 2 + lattice.high / 2
    wanted = [v for v in (*STARTS[lattice.domain.low >= 0], middle) if lattice.contains(v)]
    ranks = torch.tensor([_rank(v, search.form) for v in (wanted or [float(lattice.simple[0])])])
    for rank in ranks:
        points, _ = _samples(search, rank.repeat(STARTING_SAMPLES))
        if not any(_ends(search, rows_of(points, k, k + 1)) for k in range(STARTING_SAMPLES)):
            return int(rank)
    return int(ranks[0])


def _is_whole(search: _Search) -> bool:
    """Whether every value of the argument can be tried: a lone number in 16 bits."""
    program = search.examiner.program
    alone = len(program.target.arguments) == 1 and not search.argument.shape
    return alone and program.batched and search.form.bits is torch.int16


def _rank(value: float, form: Format) -> int:
    return int(ordinals(torch.tensor([value], dtype=torch.float64).to(form.dtype))[0])


def _value(rank: int, form: Format) -> float:
    return from_ordinals(torch.tensor([rank]), form).double().item()


def _attack(search: _Search, side: int, whole: bool, first: bool) -> None:
    """Tries values on one side, nearest first, and moves the edges to the failures found."""
    examiner, ranks = search.examiner, _ranks(search, side, whole, first)
    points, places = _samples(search, ranks)
    outcome = examiner.program.run(points)
    proof = None if examiner.oracle is None else prove(examiner.program, examiner.oracle, points, outcome)
    open_by = {of: _left(proof, of, search.fail_on, len(ranks)) for of in KINDS}
    left = sorted(set().union(*open_by.values()))
    if not whole:
        left = _thinned(left, MOST_JUDGED)
    search.tried += len(ranks) - len(set().union(*open_by.values())) + len(left)
    for row in left:
        rank = int(ranks[row])
        waiting = [of for of in KINDS if row in open_by[of] and (search.edges[of, side].rank - rank) * side >= 0]
        if waiting and time.monotonic() > search.deadline:
            for of in KINDS:
                search.edges[of, side] = min(
                    search.edges[of, side], Edge(rank - side, Ending("unseen")), key=lambda e: e.rank * side
                )
            return
        if waiting:
            _judge(search, side, waiting, rank, rows_of(points, row, row + 1), int(places[row]))


def _thinned(rows: list[int], most: int) -> list[int]:
    """At most so many of the rows, evenly."""
    return rows if len(rows) <= most else [rows[i * len(rows) // most] for i in range(most)]


def _left(proof: Proof | None, of: str, fail_on: str, count: int) -> set[int]:
    """The rows that may end a range of the value or of the gradient."""
    if proof is None:
        return set(range(count))
    fine = proof.cleared if fail_on == "error" else proof.settled
    return set((~getattr(fine, of) | ~getattr(proof.within, of)).nonzero().flatten().tolist())


def _ranks(search: _Search, side: int, whole: bool, first: bool) -> Tensor:
    """Ranks from the start to the farther edge of one side, nearest first."""
    farthest = max(search.edges[of, side].rank * side for of in KINDS) * side
    span = abs(farthest - search.start)
    if whole:
        return search.start + side * torch.arange(span + 1)
    count = GRID if search.examiner.program.batched else LONE_GRID
    steps = (torch.rand(count, generator=search.generator, dtype=torch.float64) * span).to(torch.int64)
    near_edges = (torch.rand(count // 4, generator=search.generator, dtype=torch.float64) ** 8 * span).to(torch.int64)
    steps = torch.cat([steps, span - near_edges, torch.tensor([0, span])])
    marks = ordinals(search.lattice.landmarks.to(search.form.dtype)) if first else torch.tensor([], dtype=torch.int64)
    marks = (marks - search.start) * side
    inside = marks[(marks >= 0) & (marks <= span)]
    return search.start + side * torch.tensor(sorted({*steps.tolist(), *inside.tolist()}))


def _everyday_samples(program: Program) -> Points:
    """A few samples of plain numbers, those between 0.1 and 10 or 0 if there are any."""
    points = probe_points(program, PROBES)
    sizes = torch.cat([x.double().reshape(PROBES, -1).abs() for x in points.values()], 1)
    plain = ((sizes == 0) | ((sizes >= 0.1) & (sizes <= 10))).all(1).nonzero().flatten()
    return rows_at(points, plain[:OTHERS]) if len(plain) else rows_of(points, 0, OTHERS)


def _samples(search: _Search, ranks: Tensor) -> tuple[Points, Tensor]:
    """Samples with the argument at these ranks and everything else everyday; of a vector one element, whose place."""
    name, count = search.argument.name, len(ranks)
    chosen = torch.randint(0, count_of(search.everyday), (count,), generator=search.generator)
    points = rows_at(search.everyday, chosen)
    flat = points[name].reshape(count, -1)
    places = torch.arange(count) % flat.shape[1]
    flat[torch.arange(count), places] = from_ordinals(ranks, search.form)
    return _given_way(search, {**points, name: flat.reshape(points[name].shape)}), places


def _given_way(search: _Search, points: Points) -> Points:
    """The samples with everything that the varied argument leaves no room moved past it."""
    return moved_past(points, search.examiner.program.target.arguments, search.form, search.argument.name)


def _judge(search: _Search, side: int, waiting: Sequence[str], rank: int, points: Points, place: int) -> None:
    """Judges one sample and moves the edges of what fails there."""
    ends = _ends(search, points)
    for of in waiting:
        if of in ends:
            search.edges[of, side] = _narrowed(search, side, of, rank, points, place, ends[of])


def _ends(search: _Search, points: Points) -> dict[str, Ending]:
    """Why ranges end at one sample, by `value` and `gradient`; empty if nothing is wrong there."""
    outcome = search.examiner.program.run(points)
    if bool(outcome.raised[0]):
        return dict.fromkeys(KINDS, Ending("raises", outcome.complaint or ""))
    sample = sample_of(points, 0)
    judgements = search.examiner.judge_row(sample, outcome, 0, 0)
    endings = ((kind_of(j.of), _ending(j, search, sample)) for j in judgements)
    return {of: ending for of, ending in reversed(list(endings)) if ending}  # the first of each kind


def _ending(judgement: Judgement, search: _Search, sample: Sample) -> Ending | None:
    """Why a range ends at a judged number; None if it does not."""
    if judgement.kind is Kind.RANGE_LIMIT:
        return Ending("beyond", judgement.of, at=written(sample, search.form))
    if judgement.kind is Kind.UNRESOLVED:
        return Ending("unresolved", judgement.of)
    if not judgement.kind.is_failure or (judgement.severity == "warning" and search.fail_on == "error"):
        return None
    excess = None if judgement.excess is None else round(judgement.excess, 2)
    got, truth = number(shortest(judgement.got, search.form)), number(judgement.truth.as_double())
    return Ending("fails", judgement.of, got, truth, excess, written(sample, search.form))


def _narrowed(search: _Search, side: int, of: str, rank: int, points: Points, place: int, ending: Ending) -> Edge:
    """The edge between the start and a failing rank, bisected with all other numbers of the sample held."""
    good, bad = search.start - side, rank  # the start itself may fail
    while abs(bad - good) > 1 and time.monotonic() < search.deadline:
        middle = (good + bad + (side > 0)) // 2
        ends = _ends(search, _moved(search, points, place, middle))
        if of in ends:
            bad, ending = middle, ends[of]
        else:
            good = middle
    return Edge(good, ending)


def _moved(search: _Search, points: Points, place: int, rank: int) -> Points:
    name = search.argument.name
    varied = points[name].clone().reshape(-1)
    varied[place] = from_ordinals(torch.tensor([rank]), search.form)[0]
    return _given_way(search, {**points, name: varied.reshape(points[name].shape)})
