"""The samples of a sweep, batch by batch: all there are, drawn ones, and ones led to where operations go wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Generator, Tensor

from stabkit.domain import Interval, Point
from stabkit.finding import Hazard
from stabkit.floats import from_ordinals, ordinals
from stabkit.program import Outcome, Points, Program, rows_of
from stabkit.search.guide import lead
from stabkit.search.hazards import constants_near, watched
from stabkit.search.joint import Joint
from stabkit.search.lattice import Lattice
from stabkit.search.legal import moved_inside
from stabkit.search.narrowing import draw_near
from stabkit.search.points import draw, probe_points
from stabkit.search.screen import NOT_FINITE

ROUNDS = 3  # of drawn samples
RUNS_A_SAMPLE = 4  # natively, in float64, and twice with moved inputs
PACED_BATCHES = (64, 4096)  # samples that tell how long one takes: the second where the first were quick
MOST_EACH = 1e-4  # seconds of a quick one
BATCHED_POINTS, LONE_POINTS = 4096, 256  # a round, with samples together and one at a time
FEW = 128  # of the first batch, which is quick to judge
NEAR_SHARE = 0.5  # of later batches, drawn near what deserves it
MOST_SUSPECTS = 64
BATCHED_STARTS, LONE_STARTS = 1024, 32  # of the guided search
GUIDED_SHARE = 0.3  # of the time
MARKED_SHARE = 0.1  # of the samples, in which one number is next to a constant of the program


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples to run.

    Attributes:
        urgent: how many of the first are judged in any case.
        whole: these are all there are.
    """

    points: Points
    urgent: int = 0
    whole: bool = False


@dataclass
class Sampler:
    """Draws the samples of one sweep.

    Attributes:
        seconds: for the whole sweep.
        constants: of the program, as far as they are known.
        hazards: where the program may go wrong, once samples were led there.
    """

    program: Program
    seconds: float
    generator: Generator
    constants: frozenset[float] = frozenset()
    hazards: Sequence[Hazard] = field(default_factory=tuple)

    _near: tuple[Points, Tensor] | None = None

    @cached_property
    def most(self) -> int:
        """Samples of a round that leave time for judging them."""
        return _affordable(self.program, self.seconds)

    def few(self) -> Batch:
        """Some samples for a start, half of them with a number next to a constant of the program."""
        self.constants = watched(self.program, probe_points(self.program, 1)).constants
        count = FEW if self.program.batched else FEW // 4
        return Batch(self._marked(self._drawn(count), share=0.5))

    def learn(self, points: Points, outcome: Outcome, scores: Mapping[str, Tensor]) -> None:
        """Notes where later samples are drawn: near those that are defined, where few are; else near the worst."""
        defined = ~outcome.raised & outcome.values.isfinite().all(1)
        if not bool(defined.any()):
            return
        if float(defined.double().mean()) < 0.5:
            self._near = points, defined
            return
        worst = torch.stack([s.masked_fill(s >= NOT_FINITE / 2, -math.inf) for s in scores.values()]).amax(0)
        suspects = (worst > 0) & (worst >= worst.sort(descending=True).values[:MOST_SUSPECTS][-1])
        if bool(suspects.any()):
            self._near = points, suspects

    def everything(self) -> Batch | None:
        """All samples there are, if they can be run."""
        arguments, form = self.program.target.arguments, self.program.form
        if all(isinstance(a.domain, Point) for a in arguments):
            return Batch(draw(arguments, form, 1, self.generator), whole=True)
        lattice = _only_lattice(self.program)
        if lattice is None or form.bits is not torch.int16 or not self.program.batched:
            return None
        floats = _every_float(lattice)
        return Batch({lattice.name: floats}, whole=True) if len(floats) <= self.most * ROUNDS else None

    def drawn(self, first: bool) -> Batch:
        """Samples from all strata; in the first batch the landmarks of a single number come in full."""
        count = min(self.most, BATCHED_POINTS if self.program.batched else LONE_POINTS)
        points = self._marked(self._drawn(count))
        lattice = _only_lattice(self.program)
        if first and lattice is not None:
            marks = lattice.landmarks.to(self.program.form.dtype)[:count]
            points[lattice.name][: len(marks)] = marks
        return Batch(points)

    def led(self, points: Points) -> Batch | None:
        """Samples led from some others towards every hazard of the program; None where there is none."""
        starts = rows_of(points, 0, BATCHED_STARTS if self.program.together else LONE_STARTS)
        led = lead(self.program, starts, time.monotonic() + self.seconds * GUIDED_SHARE, self.generator)
        self.constants, self.hazards = self.constants | led.constants, led.hazards
        most = max(self.most, led.first)
        return Batch({n: x[:most] for n, x in led.points.items()}, urgent=led.first) if led.points else None

    def _drawn(self, count: int) -> Points:
        """Samples of the whole domain, some of them near those that deserve it."""
        arguments, form = self.program.target.arguments, self.program.form
        near = int(count * NEAR_SHARE) if self._near else 0
        points = draw(arguments, form, count - near, self.generator)
        if self._near is None:
            return points
        others = draw_near(*self._near, arguments, form, near, self.generator)
        return {n: torch.cat([x, others[n]]) for n, x in points.items()}

    def _marked(self, points: Points, share: float = MARKED_SHARE) -> Points:
        """The samples, in some of which one number is a constant of the program or a neighbour of one."""
        form, generator = self.program.form, self.generator
        joint = Joint(self.program.target.arguments, form)
        varied = [a for a in self.program.target.arguments if joint.lattice(a) is not None]
        if not self.constants or not varied:
            return points
        marks = constants_near(self.constants, form)
        chosen = torch.randint(0, len(varied), (len(points[varied[0].name]),), generator=generator)
        marked = torch.rand(chosen.shape, generator=generator) < share
        moved = dict(points)
        for k, a in enumerate(varied):
            block = points[a.name].clone().view(len(chosen), -1)
            rows = (marked & (chosen == k)).nonzero().flatten()
            element = torch.randint(0, block.shape[1], rows.shape, generator=generator)
            mark = marks[torch.randint(0, len(marks), rows.shape, generator=generator)].to(block.dtype)
            block[rows, element] = mark
            moved[a.name] = block.view(points[a.name].shape)
        return moved_inside(moved, self.program.target.arguments, form)


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


def _only_lattice(program: Program) -> Lattice | None:
    """The lattice of a target's one number, if it takes no more than that."""
    (first, *others) = program.target.arguments
    single = not others and isinstance(first.domain, Interval) and not first.shape
    return Lattice(first.domain, program.form, first.name) if single else None  # type: ignore[arg-type]


def _every_float(lattice: Lattice) -> Tensor:
    first, last = ordinals(torch.tensor([lattice.low, lattice.high], dtype=lattice.form.dtype)).tolist()
    inside = from_ordinals(torch.arange(first, last + 1), lattice.form)
    return torch.cat([inside, torch.tensor(lattice.legal_infinities, dtype=lattice.form.dtype)])
