"""The jumps of a program in one dtype: searched for once a sweep, judged, and located again in simpler samples."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

import flint
import msgspec
import torch

from stabkit.checks import Failure
from stabkit.continuity.crossover import band, crossover, shifts
from stabkit.continuity.jumps import Jump, Side, crossing_at
from stabkit.domain import Interval, Tensors
from stabkit.exact.steps import Step
from stabkit.finding import SEVERITIES, Finding, number
from stabkit.finding import Jump as Reported
from stabkit.floats import shortest, ulp_error
from stabkit.judge import Judgement, Kind
from stabkit.oracle import Oracle
from stabkit.program import Points, draws_random_numbers, points_of, points_of_many
from stabkit.search.boundaries import Boundary, boundaries, grid_of, lines_through, steps
from stabkit.search.lines import Lines, Spot
from stabkit.search.points import extremeness, probe_points
from stabkit.search.screen import in_turns
from stabkit.search.surroundings import relative_step
from stabkit.search.switches import Switch
from stabkit.sweep import Sweep
from stabkit.verification import WORKING_BITS, Examiner, Sample, written

SHARE = 0.25  # of the time that is left
PROBES, MOST_SAMPLES = 6, 24
ENOUGH, FRUITLESS = 3, 2  # boundaries of one decision along one number that jump; in a row that do not
MOST_JUDGED = 5  # boundaries of one decision along one number


def without_neighbours(sweep: Sweep) -> str | None:
    """The reason why a program cannot be looked at between neighbouring floats, if there is one."""
    if not any(isinstance(a.domain, Interval) for a in sweep.arguments):
        return "no argument has neighbouring floats in its domain"
    if draws_random_numbers(sweep.program, probe_points(sweep.program, 2)):
        return "it draws random numbers, others for another number of samples"
    return None


@dataclass(frozen=True)
class JumpSearch:
    """What came of looking for jumps.

    Attributes:
        jumps: every jump found, in values and in slopes.
        boundaries: how many places were found where a decision flips, or a step asks for an explanation.
        whole: all of them were looked at in time.
    """

    jumps: tuple[Jump, ...] = ()
    boundaries: int = 0
    whole: bool = True


@lru_cache(maxsize=4)
def search_of(sweep: Sweep) -> JumpSearch:
    """The search for jumps, which the claims about continuity share."""
    now = time.monotonic()
    until = now + (sweep.deadline - now) * SHARE
    if now > until:
        return JumpSearch(whole=False)
    lines = lines_through(sweep.program, _samples(sweep))
    if not len(lines) or sweep.oracle is None:
        return JumpSearch()
    grid = grid_of(lines, gradients=True)
    found = boundaries(lines, grid)
    if sweep.program.together and time.monotonic() < until:
        found += [b for b in steps(lines, grid) if (b.line, b.below) not in {(f.line, f.below) for f in found}]
    jumps = tuple(_judged(lines, _most_suspicious(lines, found), sweep.oracle, until))
    return JumpSearch(jumps, len(found), time.monotonic() < until)


def unfinished(sweep: Sweep) -> str:
    """Why continuity cannot be called passed, if it cannot."""
    search = search_of(sweep)
    return "" if search.whole else f"time ended the search for jumps at {search.boundaries} boundaries"


def evidence(sweep: Sweep) -> str:
    """What stands behind continuity that is called passed."""
    found = f"{search_of(sweep).boundaries} boundaries located to neighbouring floats"
    return found if sweep.program.together else f"{found}; steps that no operation shows were not looked for"


def _samples(sweep: Sweep) -> Points:
    """Samples to draw lines through: plain everyday ones, then those that were judged, the nearest first."""
    program = sweep.program
    nearest = sorted(range(len(sweep.samples)), key=sweep.remoteness)[: MOST_SAMPLES - PROBES]
    plain = probe_points(program, PROBES)
    if not nearest:
        return plain
    judged = points_of_many([sweep.samples[row] for row in nearest], sweep.arguments, program.form)
    return {name: torch.cat([x, judged[name]]) for name, x in plain.items()}


def _judged(lines: Lines, found: Iterable[Boundary], oracle: Oracle, until: float) -> Iterator[Jump]:
    seen: dict[tuple[Switch | None, str], list[int]] = {}
    for boundary in found:
        if time.monotonic() > until:
            return
        tried = seen.setdefault((boundary.switch, lines.spots[boundary.line].label), [])
        if sum(map(bool, tried)) >= ENOUGH or tried[-FRUITLESS:] == [0] * FRUITLESS:
            continue
        jumps = crossing_at(lines, boundary, oracle).jumps()
        tried.append(len(jumps))
        yield from jumps


def _most_suspicious(lines: Lines, found: Sequence[Boundary]) -> list[Boundary]:
    """The boundaries with the largest native steps, a few of each decision."""
    if not found:
        return []
    line, below = torch.tensor([b.line for b in found]), torch.tensor([b.below for b in found])
    ends = lines.ends[line]
    places = [(below + k).clamp(ends[:, 0], ends[:, 1]) for k in (-1, 0, 1, 2)]  # a slope may step one float off
    numbers = [lines.read(line, ranks, decisions=False).numbers for ranks in places]
    score = torch.stack([relative_step(a, b, lines.form) for a, b in pairwise(numbers)]).amax(0)
    bits = 2**lines.program.target.tolerance.bits
    groups: dict[tuple[Switch | None, str], list[int]] = {}
    for k in score.argsort(descending=True).tolist():
        if score[k] > bits:
            switch, label = found[k].switch, lines.spots[found[k].line].label
            groups.setdefault((switch, label if switch else ""), []).append(k)
    return [found[k] for k in in_turns([group[:MOST_JUDGED] for group in groups.values()])]


def failures_of(sweep: Sweep, gradient: bool) -> list[Failure]:
    """The jumps of the value, or of slopes where the value has none: one failure for each decision."""
    found = search_of(sweep).jumps
    of_values = {j.at.switch for j in found if not _is_slope(j)}
    kept = [j for j in found if _is_slope(j) == gradient and not (gradient and j.at.switch in of_values)]
    groups: dict[tuple[Switch | None, str], list[Jump]] = {}
    for j in kept:
        groups.setdefault((j.at.switch, "" if j.at.switch else j.at.spot.label), []).append(j)
    return [_failure(sweep, group) for group in groups.values()]


def _is_slope(jump: Jump) -> bool:
    return jump.index >= jump.at.values


def _failure(sweep: Sweep, group: Sequence[Jump]) -> Failure:
    """The jumps of one decision, along the argument in which they are gravest, with who locates them again."""
    lead = min(group, key=lambda j: (SEVERITIES.index(j.severity), _order(sweep, j), j.index))
    along = [j for j in group if j.at.spot == lead.at.spot]
    judgements = tuple(judgement_of(j, row) for row, j in enumerate(along))
    samples = [j.witness[0].sample for j in along]
    remote = [extremeness(s, sweep.arguments) for s in samples]
    examiner = JumpExaminer(sweep.program, sweep.oracle, spot=lead.at.spot, switch=lead.at.switch)
    own = replace(sweep, examiner=examiner, samples=samples, remote=remote, judgements=judgements)
    clamps = lead.at.switch is not None and lead.at.switch.is_clamp
    return Failure(lead.of, "jump", judgements, "clamp" if clamps else "branch", swept=own)


def _order(sweep: Sweep, jump: Jump) -> int:
    return [a.name for a in sweep.arguments].index(jump.at.spot.argument.name)


def judgement_of(jump: Jump, row: int = 0) -> Judgement:
    """A jump as a failed number at its witness."""
    with flint.ctx.workprec(WORKING_BITS):
        side, _, truth = jump.witness
        got, form = side.got[jump.index], jump.at.lines.form
        ulps = ulp_error(got, truth.ball, form)
    return Judgement(row, jump.of, got, truth, Kind.INACCURATE, jump.severity, jump.excess, ulps)


@dataclass(frozen=True)
class JumpExaminer(Examiner):
    """Locates the jump of one decision again, along the same number of other samples.

    Attributes:
        spot: the number that moves.
        switch: the decision; None where nothing shows it.
    """

    spot: Spot | None = None
    switch: Switch | None = None
    _known: dict[str, list[Jump]] = field(default_factory=dict, compare=False, repr=False)

    def judge_alone(self, sample: Sample, of: str) -> tuple[Sample, Judgement] | None:
        """The jump nearest to a sample along its line, at the side that is wrong; None where there is none."""
        jump = next((j for j in self.located(sample) if j.of == of), None)
        return None if jump is None else (jump.witness[0].sample, judgement_of(jump))

    def doubtful(self, samples: Sequence[Sample], errors_only: bool) -> list[bool]:
        """All of them."""
        return [True] * len(samples)

    def blamed(self, sample: Sample, judgement: Judgement) -> Step | None:
        """The decision."""
        if self.switch is None:
            return None
        return Step(self.switch.operation, (), (), False, place=self.switch.place)

    def located(self, sample: Sample) -> list[Jump]:
        """The jumps at the boundary nearest to a sample; what is found is kept, as simplifying asks again."""
        assert self.spot is not None  # every examiner of jumps has one
        key = _line_key(sample, self.spot)
        if key not in self._known:
            points = points_of(sample, self.program.target.arguments, self.program.form)
            self._known[key] = self._nearest(Lines(self.program, points, (self.spot,)))
        return self._known[key]

    def _nearest(self, line: Lines) -> list[Jump]:
        grid = grid_of(line, gradients=self.switch is None)
        found = steps(line, grid) if self.switch is None else boundaries(line, grid, self.switch)
        home = int(line.at_home[0])
        for boundary in sorted(found, key=lambda b: abs(b.below - home))[:2]:
            jumps = crossing_at(line, boundary, self.oracle).jumps() if self.oracle else []
            if jumps:
                return jumps
        return []

    def spans(self, sample: Sample) -> Mapping[str, Tensors]:
        """The two neighbouring floats, in place of the one number that moves."""
        jumps = self.located(sample)
        if not jumps or jumps[0].at.spot.argument.shape:
            return {}
        low, high = (float(s.sample[jumps[0].at.spot.argument.name]) for s in (jumps[0].below, jumps[0].above))
        return {jumps[0].at.spot.argument.name: Interval(low, high, True, True)}

    def enriched(self, finding: Finding, sample: Sample) -> Finding:
        """The finding with its neighbour and all that is known of the jump."""
        jump = next((j for j in self.located(sample) if j.of == finding.of), None)
        if jump is None:
            return finding
        place = "" if finding.where is None else f"{finding.where.file}:{finding.where.line}:{finding.where.operation}"
        mark = hashlib.sha256(f"{finding.id} {place} {jump.at.spot.label}".encode()).hexdigest()[:8]
        return msgspec.structs.replace(
            finding,
            id=f"{finding.code}-{mark}",
            neighbour=written(jump.witness[1].sample, self.program.form),
            jump=reported(jump),
        )


def _line_key(sample: Sample, spot: Spot) -> str:
    """All of a sample but the number that moves."""
    value = sample[spot.argument.name]
    moving = [repr(v) for v in _flat(value)]
    moving[spot.element] = ""
    return repr([(n, moving if n == spot.argument.name else v) for n, v in sample.items()])


def _flat(value: object) -> list[object]:
    return [leaf for v in value for leaf in _flat(v)] if isinstance(value, list) else [value]


def reported(jump: Jump) -> Reported:
    """A jump as findings state it."""
    form, crossing = jump.at.lines.form, jump.at

    def both(pick: Iterable[float]) -> list[object]:
        return [number(shortest(x, form)) for x in pick]

    with flint.ctx.workprec(WORKING_BITS):
        sides: tuple[Side, Side] = (jump.below, jump.above)
        size, middle = float(jump.size.mid()), crossover(crossing)
        return Reported(
            argument=crossing.spot.label,
            got=both(s.got[jump.index] for s in sides),
            truth=[number(crossing.true(s, jump.index).as_double()) for s in sides],
            size=number(float(f"{size:.6g}")),
            ulps=number(float(f"{jump.ulps:.4g}")),
            slopes=both(crossing.native_slope(s) for s in sides),
            true_slopes=[number(float(crossing.slope(s).mid())) for s in sides],
            wrong=jump.wrong,
            band=both(band(crossing, middle)),
            flips=crossing.around.flips,
            crossover=number(middle),
            shifts=shifts(jump),
        )
