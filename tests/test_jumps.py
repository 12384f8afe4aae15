"""Jumps between neighbouring floats: found, judged, told apart from kinks, rounding and what is meant."""

import math
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mpmath
import planted
import planted_jumps
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from stabkit.reports.jumps import jump_lines
from stabkit.suites.four_cases import analytic_crossover, expected_size, measure, table
from torch import Tensor

from stabkit.arithmetic import Number, NumberSystem
from stabkit.audit_job import Job
from stabkit.auditor import audit_target
from stabkit.continuity.jump_search import failures_of, search_of, unfinished
from stabkit.continuity.jumps import Jump
from stabkit.events import Judged
from stabkit.finding import Finding
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.oracle import oracle_for
from stabkit.program import Program, confirm_batching
from stabkit.search.boundaries import Boundary, boundaries, grid_of, lines_through, steps
from stabkit.search.lines import Lines, at_value_ranks, value_ranks
from stabkit.search.points import probe_points
from stabkit.sweep import Sweep
from stabkit.target import Target
from stabkit.verification import Examiner

each_dtype = pytest.mark.parametrize("dtype", FORMATS)


def swept(
    function: Callable[..., Tensor], arguments: str, dtype: str, truth: Any = None, constants: Any = None
) -> Sweep:
    """A sweep without points of its own: jumps are searched for from plain numbers."""
    parameters = tuple(map(parse_parameter, arguments.split()))
    target = Target(function.__name__, function, parameters, definition=truth, constants=constants or {})
    program = Program(target, FORMATS[dtype])
    program, _ = confirm_batching(program, probe_points(program, 5))
    return Sweep(Examiner(program, oracle_for(target, None, program)))


def along(function: Callable[..., Tensor], dtype: str, arguments: str = "x=real") -> tuple[Lines, list[Boundary]]:
    program = swept(function, arguments, dtype).program
    lines = lines_through(program, probe_points(program, 4))
    return lines, boundaries(lines, grid_of(lines, gradients=True))


def pairs(lines: Lines, found: list[Boundary]) -> set[tuple[float, float]]:
    """The two floats of each boundary."""
    ranks = torch.tensor([b.below for b in found], dtype=torch.int64)
    ends = [at_value_ranks(ranks + k, lines.form).double().tolist() for k in (0, 1)]
    return set(zip(*ends, strict=True))


def audited(job: Job) -> list[Finding]:
    return [f for e in audit_target(job) if isinstance(e, Judged) for f in e.findings if f.jump is not None]


def softplus(x: Tensor) -> Tensor:
    return F.softplus(x)


def elu(x: Tensor) -> Tensor:
    return F.elu(x)


def hardswish(x: Tensor) -> Tensor:
    return F.hardswish(x)


@pytest.mark.parametrize(
    ("function", "places"),
    [
        (softplus, {20.0}),
        (lambda x: F.huber_loss(x, torch.zeros_like(x), reduction="none", delta=0.75), {0.75}),
        (lambda x: F.smooth_l1_loss(x, torch.zeros_like(x), reduction="none", beta=0.5), {0.5}),
        (elu, {0.0}),
        (hardswish, {-3.0, 3.0}),
        (lambda x: F.softshrink(x, 0.25), {-0.25, 0.25}),
        (lambda x: x.clamp(-2, 1.5), {-2.0, 1.5}),
        (lambda x: torch.where(x * 3 > 1.5, x, -x), {0.5}),
        (lambda x: torch.floor(x * 2), {0.0, 0.5}),
    ],
)
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_decisions_are_located_to_neighbouring_floats(
    function: Callable[..., Tensor], places: set[float], dtype: str
) -> None:
    lines, found = along(function, dtype, "x=[-100,100]")
    located = pairs(lines, found)
    ends = torch.tensor(sorted(located), dtype=lines.form.dtype)
    assert torch.equal(value_ranks(ends[:, 1]) - value_ranks(ends[:, 0]), torch.ones(len(ends), dtype=torch.int64))
    assert all(any(place in pair for pair in located) for place in places)


def test_a_switch_that_no_operation_shows_is_followed_by_its_step() -> None:
    def secret(x: Tensor) -> Tensor:
        return x + torch.from_numpy((x.detach().numpy() > 1.7) * 0.3).to(x.dtype)

    program = swept(secret, "x=[-9,9]", "float32").program
    lines = lines_through(program, probe_points(program, 4))
    found = steps(lines, grid_of(lines, gradients=True))
    (pair,) = pairs(lines, found)
    assert (torch.tensor(pair, dtype=torch.float32).numpy() > 1.7).tolist() == [False, True]
    assert math.nextafter(pair[0], 2) - pair[0] < pair[1] - pair[0] == 2**-23


def test_softplus_in_float64_jumps_above_20_and_its_reproduction_finds_the_same() -> None:
    job = Job("torch.nn.functional:softplus", ("input=real",), dtypes=("float64",), seconds=20.0)
    (found,) = audited(job)
    above = math.nextafter(20.0, math.inf)
    with mpmath.workdps(40):
        truth = mpmath.log1p(mpmath.exp(mpmath.mpf(above)))
        ulps = (truth - above) / mpmath.mpf(2) ** -48
    assert (found.code, found.of, found.cause, found.certified) == ("STB701", "value", "branch", True)
    assert (found.witness, found.neighbour) == ({"input": above}, {"input": 20.0})
    assert found.got == F.softplus(torch.tensor(above, dtype=torch.float64)).item() == above
    assert found.truth == pytest.approx(float(truth), rel=1e-15)
    assert found.jump is not None
    assert found.jump.ulps == pytest.approx(-float(ulps), rel=1e-3)
    assert found.jump.ulps == pytest.approx(-5.8e5, rel=0.01)
    assert (found.jump.wrong, found.jump.flips, found.jump.crossover) == ("above", 1, 20.0)
    words = shlex.split(found.repro)
    (again,) = audited(Job("torch.nn.functional:softplus", (words[words.index("--arg") + 1],), dtypes=("float64",)))
    assert (again.id, again.witness, again.got) == (found.id, found.witness, found.got)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_taylor_switch_of_the_continuous_bernoulli_is_found(dtype: str) -> None:
    def log_prob(p: Tensor, x: Tensor) -> Tensor:
        return torch.distributions.ContinuousBernoulli(p).log_prob(x)

    result = swept(log_prob, "p=(0,1) x=data:[0,1]", dtype)
    found = [j for j in search_of(result).jumps if j.of == "value"]
    near = {round(p, 3): j for j in found for p in [float(j.below.sample["p"])]}
    assert set(near) <= {0.499, 0.501}
    assert near
    for jump in found:
        side, _, _ = jump.witness
        p, x = (mpmath.mpf(side.sample[n]) for n in ("p", "x"))
        with mpmath.workdps(50):
            constant = mpmath.log(2 * mpmath.atanh(1 - 2 * p) / (1 - 2 * p))
            truth = x * mpmath.log(p) + (1 - x) * mpmath.log1p(-p) + constant
            assert abs(side.got[0] - truth) > 16 * FORMATS[dtype].unit_roundoff * abs(truth)


@each_dtype
@pytest.mark.parametrize("loss", ["huber_loss", "smooth_l1_loss"])
def test_the_corners_of_huber_and_smooth_l1_are_none(loss: str, dtype: str) -> None:
    result = swept(getattr(F, loss), "input=real target=real", dtype, constants={"reduction": "none"})
    assert search_of(result).jumps == ()


def accuracy(x: Tensor) -> Tensor:
    return (x > 0.3).to(x.dtype) + 0 * x


def masked(x: Tensor) -> Tensor:
    return torch.where(x > 1, torch.log(x.clamp(min=1)) + 0.2, torch.zeros_like(x))


def steps_of_ten(x: Tensor) -> Tensor:
    return torch.floor(x * 10) / 10 + x


def rectified(x: Tensor) -> Tensor:
    return torch.relu(x - 0.3) + x.abs()


def stairs(x: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(x))


@each_dtype
@pytest.mark.parametrize("loss", [accuracy, masked, steps_of_ten, rectified, stairs, planted.naive_one_minus_cosine])
def test_what_is_meant_and_what_rounding_does_is_no_jump(loss: Callable[..., Tensor], dtype: str) -> None:
    assert search_of(swept(loss, "x=[-9,9]", dtype)).jumps == ()


def floor_of(ctx: NumberSystem, x: Number) -> Number:
    """0 below 1, 1 from there on, as a hull at the step."""
    return (1 + (x - 1) / ctx.absolute(x - 1)) / 2


def unit_step(x: Tensor) -> Tensor:
    return (x > 1).to(x.dtype) + 0 * x


def late_step(x: Tensor) -> Tensor:
    return (x > 1.25).to(x.dtype) + 0 * x


def test_a_definition_that_steps_excuses_the_step_and_no_other_one() -> None:
    assert search_of(swept(unit_step, "x=[-4,4]", "float32", floor_of)).jumps == ()
    (found,) = failures_of(swept(late_step, "x=[-4,4]", "float32", floor_of), gradient=False)
    assert found.swept is not None
    assert {s["x"] for s in found.swept.samples} <= {1.25, math.nextafter(1.25, 2), 1.25 + 2**-22, 1.25 + 2**-23}


def test_the_formulas_of_a_program_by_itself_make_warnings_and_the_definition_errors() -> None:
    def jump_of(truth: Any) -> Jump:
        (found,) = search_of(swept(planted_jumps.switched_softplus, "x=[-9,9]", "float32", truth)).jumps
        return found

    alone, judged = jump_of(None), jump_of(planted_jumps.softplus)
    assert (alone.severity, alone.own, alone.wrong) == ("warning", True, "both")
    assert (judged.severity, judged.own, judged.wrong) == ("error", False, "above")
    step = 1 - math.log1p(math.e)
    assert float(alone.size.mid()) == pytest.approx(step, rel=1e-5)
    assert float(judged.size.mid()) == pytest.approx(step, rel=1e-5)


def test_samples_that_run_one_at_a_time_are_searched_too() -> None:
    def mean_of_softplus(x: Tensor) -> Tensor:
        return planted_jumps.switched_softplus(x).mean()

    found = failures_of(swept(mean_of_softplus, "x=[-9,9]@[2]", "float32"), gradient=False)
    assert [(f.of, f.judgements[0].severity) for f in found] == [("value", "warning")]


def test_a_finding_of_two_arguments_says_how_place_and_size_move() -> None:
    source = Path(planted_jumps.__file__)
    job = Job(f"{source}:four_case_logistic", ("c=[-4,-0.25]", "s=[0.25,1]"), dtypes=("float32",), seconds=40.0)
    (found,) = audited(job)
    assert found.jump is not None
    assert found.where is not None
    assert found.where.operation == "gt"
    assert found.severity == "warning"
    low, high = found.jump.band
    assert low <= found.jump.crossover <= high
    for shift in found.jump.shifts:
        k, z = 1 / shift.value, shift.place / shift.value
        mass = math.sinh(k) / (math.cosh(k) + math.cosh(z))
        assert mass == pytest.approx(0.05, rel=1e-3)
        assert abs(shift.size) == pytest.approx(abs(math.log(mass * (1 + math.cosh(z)) / k)), rel=1e-2)
    said = jump_lines(found)
    assert said[0].startswith("the float beside it is c=-")
    assert f"in real arithmetic at {found.jump.crossover!r}" in said[1]
    assert said[2].startswith("with s: 0.25 at c=-1.736")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_four_case_loss_switches_and_steps_as_the_formulas_say(dtype: str) -> None:
    rows = list(measure(FORMATS[dtype], (3.0, 6.0)))
    assert [(r.inverse_scale, r.side) for r in rows] == [(3.0, -1), (3.0, 1), (6.0, -1), (6.0, 1)]
    assert all(r.is_inside and r.is_jump for r in rows)
    for r in rows:
        cancelled = FORMATS[dtype].unit_roundoff / 1e-5 * (3 if r.side > 0 else 0.01)
        assert r.size == pytest.approx(r.expected, rel=1e-3, abs=cancelled)
    assert expected_size(6.0) == pytest.approx(0.387, abs=5e-4)
    scale = math.exp(-6)
    k = 1 / 255 / scale
    z = analytic_crossover(6.0) / scale
    assert math.sinh(k) / (math.cosh(k) + math.cosh(z)) == pytest.approx(1e-5, rel=1e-9)
    assert len(list(table(rows))) == 5


def test_a_search_that_time_ended_is_no_pass() -> None:
    late = replace(swept(unit_step, "x=[-4,4]", "float32", floor_of), deadline=0.0)
    assert search_of(late).jumps == ()
    assert unfinished(late) == "time ended the search for jumps at 0 boundaries"
    assert unfinished(swept(unit_step, "x=[-4,4]", "float32", floor_of)) == ""
