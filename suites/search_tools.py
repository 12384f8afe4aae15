"""Five ways to look for a fault, on the same domain and, where they need one, with the same judge.

Each returns the seconds until the first witness was known. A witness is a sample at which one of the fault's claims
fails when the sample runs by itself.
"""

from __future__ import annotations

import contextlib
import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from stabkit.suites.search_faults import Fault
from torch import Tensor

from stabkit.auditor import OF_CALLS, SWEEP_SHARE
from stabkit.checks import checks
from stabkit.domain import Argument, Booleans, Choice, Integers, Interval
from stabkit.floats import FORMATS, Format
from stabkit.judge import Judgement, Kind
from stabkit.oracle import oracle_for
from stabkit.program import Outcome, Points, Program, confirm_batching, points_of, points_of_many, sample_of
from stabkit.search.lattice import Lattice
from stabkit.search.points import probe_points
from stabkit.sweep import sweep
from stabkit.verification import Examiner, Known, Sample

AT_ONCE = 256  # samples of a step of training
WIDTHS = {"float16": 16, "bfloat16": 32, "float32": 32, "float64": 64}


class Stopped(BaseException):
    """The search is over; nothing that runs a user's program may take it for that program's own exception."""


@dataclass
class Hunt:
    """One fault looked for by one tool: the clock starts when the fault is at hand, before anything is set up.

    Attributes:
        seconds: how long to look.
        tried: samples looked at; by stabkit, those judged until the first witness, else all that ran.
        found: seconds until the first witness, None as long as there is none.
        witness: the first one.
    """

    fault: Fault
    seconds: float
    seed: int = 0
    started: float = field(default_factory=time.perf_counter)
    tried: int = 0
    found: float | None = None
    witness: Sample | None = None

    @property
    def is_over(self) -> bool:
        """Whether a witness is known or the time has passed."""
        return self.found is not None or time.perf_counter() - self.started > self.seconds

    def take(self, witness: Sample) -> None:
        """Notes the first witness and when it came."""
        if self.found is None:
            self.found, self.witness = time.perf_counter() - self.started, witness

    def program(self) -> Program:
        """What is looked at, in the dtype in which the fault shows."""
        program = Program(self.fault.target(), FORMATS[self.fault.dtype], seed=self.seed)
        return confirm_batching(program, probe_points(program, 5))[0]


def claims_broken(judgement: Judgement) -> tuple[str, ...]:
    """The claims that one judged number breaks."""
    in_gradient = judgement.of.startswith("gradient")
    if judgement.kind is Kind.NOT_FINITE:
        return ("gradient_is_finite",) if in_gradient else ("value_is_finite",)
    if judgement.kind is Kind.VANISHED:
        return ("range_is_not_cut_short",)
    if judgement.kind is Kind.INACCURATE:
        return ("gradient_is_accurate",) if in_gradient else ("value_is_accurate", "matches_reference")
    return ()


def is_meant(fault: Fault, judgement: Judgement) -> bool:
    """Whether a judged number breaks one of the fault's claims."""
    return any(claim in fault.claims for claim in claims_broken(judgement))


def convicts(fault: Fault, examiner: Examiner, sample: Mapping[str, Any]) -> bool:
    """Whether one of the fault's claims fails at a sample that runs by itself."""
    program = examiner.program
    points = points_of(sample, program.target.arguments, program.form)
    outcome = program.run(points)
    if bool(outcome.raised[0]):
        return False
    if "dtype_is_kept" in fault.claims and outcome.values.dtype != program.form.dtype:
        return True
    return any(is_meant(fault, j) for j in examiner.judge_row(sample_of(points, 0), outcome, 0, 0))


def judge_of(program: Program) -> Examiner:
    """Who judges samples of a program by the definition, or by the program itself on exact numbers."""
    return Examiner(program, oracle_for(program.target, None, program))


@dataclass(frozen=True)
class _Watching(Examiner):
    """An examiner that tells of every sample as soon as it is judged."""

    seen: Callable[[Sample, list[Judgement]], None] = lambda sample, judgements: None

    def judge_row(
        self, sample: Sample, outcome: Outcome, row: int, number: int, known: Known | None = None
    ) -> list[Judgement]:
        """Every number that the program gave at one sample, judged."""
        judgements = super().judge_row(sample, outcome, row, number, known)
        self.seen(sample, judgements)
        return judgements


def by_stabkit(hunt: Hunt) -> None:
    """The search of an audit of one dtype, stopped at the first failing number that fails again by itself."""
    program = hunt.program()
    plain = judge_of(program)

    def seen(sample: Sample, judgements: list[Judgement]) -> None:
        hunt.tried += 1
        if any(is_meant(hunt.fault, j) for j in judgements) and convicts(hunt.fault, plain, sample):
            hunt.take(sample)
            raise Stopped

    swept = sweep(_Watching(program, plain.oracle, seen=seen), hunt.seconds * SWEEP_SHARE, hunt.seed)
    hunt.tried = max(hunt.tried, swept.run)
    for check in checks():
        of_calls = check.claim.name in OF_CALLS and check.claim.name in hunt.fault.claims
        if of_calls and check.applies(swept) is None and list(check.failures(swept)):
            hunt.take(sample_of(probe_points(program, 1), 0))


def by_hypothesis(hunt: Hunt) -> None:
    """What one writes without stabkit's search: floats inside the bounds, and the truth at each of them."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    judge = judge_of(hunt.program())
    form, arguments = judge.program.form, judge.program.target.arguments
    samples = st.fixed_dictionaries({a.name: _strategy(a, form) for a in arguments})

    @seed(hunt.seed)
    @settings(
        max_examples=10**9,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(samples)
    def holds(sample: Sample) -> None:
        _try(hunt, judge, sample)

    holds()


def _try(hunt: Hunt, judge: Examiner, sample: Sample) -> None:
    """Looks at one sample; ends the search where it is a witness or the time has passed."""
    if hunt.is_over:
        raise Stopped
    hunt.tried += 1
    if convicts(hunt.fault, judge, sample):
        hunt.take(sample)
        raise Stopped


def _strategy(argument: Argument, form: Format) -> Any:
    """Hypothesis' own strategy for one argument."""
    from hypothesis import strategies as st

    domain = argument.domain
    if isinstance(domain, Interval):
        lattice = Lattice(domain, form, argument.name)
        found: Any = st.floats(lattice.low, lattice.high, width=WIDTHS[form.name])  # type: ignore[arg-type]
    elif isinstance(domain, Integers):
        found = st.integers(domain.low, domain.high)
    else:
        found = st.sampled_from(_few_values(argument))
    for size in reversed(argument.shape):
        found = st.lists(found, min_size=size, max_size=size)
    return found


def _few_values(argument: Argument) -> tuple[Any, ...]:
    """All values of a domain that lists them.

    Raises:
        TypeError: for other domains, which no fault of the benchmark has.
    """
    if isinstance(argument.domain, Choice):
        return argument.domain.values
    if isinstance(argument.domain, Booleans):
        return (False, True)
    raise TypeError(f"{argument} has no strategy")


def _uniform_samples(arguments: tuple[Argument, ...], form: Format, seed: int) -> Iterator[Sample]:
    """Samples drawn uniformly between the bounds, for ever; an open side ends at the largest float."""
    numbers = random.Random(seed)

    def element(argument: Argument) -> Any:
        domain = argument.domain
        if isinstance(domain, Interval):
            lattice = Lattice(domain, form, argument.name)
            share = numbers.random()
            return float(lattice.clamp(torch.tensor((1 - share) * lattice.low + share * lattice.high)))
        if isinstance(domain, Integers):
            return numbers.randint(domain.low, domain.high)
        return numbers.choice(_few_values(argument))

    def filled(argument: Argument, shape: tuple[int, ...]) -> Any:
        return [filled(argument, shape[1:]) for _ in range(shape[0])] if shape else element(argument)

    while True:
        yield {a.name: filled(a, a.shape) for a in arguments}


def by_uniform(hunt: Hunt) -> None:
    """Uniform random samples, each judged."""
    judge = judge_of(hunt.program())
    for sample in _uniform_samples(judge.program.target.arguments, judge.program.form, hunt.seed):
        _try(hunt, judge, sample)


def by_gradcheck(hunt: Hunt) -> None:
    """Slopes against differences in float64, at uniform random samples; a mismatch that the twin has too is none."""
    target, form = hunt.fault.target(), FORMATS["float64"]
    for sample in _uniform_samples(target.arguments, form, hunt.seed):
        if hunt.is_over:
            return
        hunt.tried += 1
        points = points_of(sample, target.arguments, form)
        leaves = [points[a.name].requires_grad_(a.is_differentiable) for a in target.arguments]
        if _mismatch(hunt.fault.function, leaves) and not _mismatch(hunt.fault.twin, leaves):
            hunt.take(sample)


def _mismatch(function: Callable[..., Tensor], leaves: list[Tensor]) -> bool:
    """Whether gradcheck complains; an exception of the function's own is no complaint."""
    try:
        return not torch.autograd.gradcheck(function, leaves, raise_exception=False)
    except (RuntimeError, ValueError, TypeError):
        return False


def by_anomaly(hunt: Hunt) -> None:
    """What is not finite, forward or backward, in steps of many uniform random samples in anomaly mode."""
    judge = judge_of(hunt.program())
    program = judge.program
    drawn = _uniform_samples(program.target.arguments, program.form, hunt.seed)
    while not hunt.is_over:
        batch = [next(drawn) for _ in range(AT_ONCE)]
        hunt.tried += AT_ONCE
        points = points_of_many(batch, program.target.arguments, program.form)
        for row in _not_finite(program, points):
            if not hunt.is_over and convicts(hunt.fault, judge, batch[row]):
                hunt.take(batch[row])


def _not_finite(program: Program, points: Points) -> list[int]:
    """The rows at which a value or a slope is not finite, or anomaly mode raises."""
    with warnings.catch_warnings(), torch.autograd.detect_anomaly(check_nan=True):
        warnings.simplefilter("ignore")
        outcome = program.run(points)
    bad = outcome.raised | ~outcome.values.isfinite().all(1)
    for slopes in outcome.gradients.values():
        bad = bad | ~slopes.reshape(len(bad), -1).isfinite().all(1)
    return bad.nonzero().flatten().tolist()


TOOLS: dict[str, Callable[[Hunt], None]] = {
    "stabkit": by_stabkit,
    "hypothesis": by_hypothesis,
    "uniform": by_uniform,
    "gradcheck": by_gradcheck,
    "anomaly": by_anomaly,
}


def hunt_for(fault: Fault, tool: str, seconds: float, seed: int = 0) -> Hunt:
    """Looks for one fault with one tool, in this process."""
    hunt = Hunt(fault, seconds, seed)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(), contextlib.suppress(Stopped):
        warnings.simplefilter("ignore")
        TOOLS[tool](hunt)
    return hunt
