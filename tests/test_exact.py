"""The exact tensor: against float64, against balls, through views and branches, and what it must refuse by name."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flint
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from agreement import agrees, numbers
from flint import arb
from torch import Tensor, nn
from torch.distributions import Beta, Categorical, Gamma, Laplace, MixtureSameFamily, Normal, StudentT, kl_divergence

from stabkit.arithmetic import Undecided
from stabkit.audit_job import Job
from stabkit.auditor import audit_target
from stabkit.domain import Argument
from stabkit.events import Judged
from stabkit.exact.playback import play
from stabkit.exact.shadow import exact_trace, trace
from stabkit.exact.tensor import UnsupportedOperationError, balls_of, exact, lifted
from stabkit.finding import Place
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.oracle import ExactProgram, WiderProgram, exact_program, oracle_for
from stabkit.program import Program
from stabkit.search.points import probe_points
from stabkit.target import Target, resolve
from stabkit.verification import Examiner
from stabkit.zoo import find

DOUBLE, SINGLE = FORMATS["float64"], FORMATS["float32"]
X = torch.linspace(0.2, 0.9, 6, dtype=torch.float64)
Y = torch.linspace(0.7, 0.3, 6, dtype=torch.float64)


class Squared(torch.autograd.Function):
    """A custom function whose backward is deliberately not the derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * 3 * x


def through_views(x: Tensor) -> Tensor:
    y = x.clone()
    part = y.view(2, 3)[:, 1]
    part.mul_(2.5)
    y[2:5] += 3.0
    part.add_(1.0)
    return y * 3 * y.flip(0)


def filled_from_nothing(x: Tensor) -> Tensor:
    y = torch.zeros(6, dtype=x.dtype)
    y[:3] = x[3:]
    y.scatter_(0, torch.tensor([5]), x[:1])
    return torch.stack([y, x]).sum(0)


def branched(x: Tensor) -> Tensor:
    total = x.sum()
    return x * 2 if total.item() > 1 else x.exp()


UNARY: list[Callable[[Tensor], Tensor]] = [
    *(torch.exp, torch.log, torch.expm1, torch.log1p, torch.sqrt, torch.rsqrt, torch.sin, torch.cos, torch.tan),
    *(torch.asin, torch.acos, torch.atan, torch.sinh, torch.cosh, torch.tanh, torch.asinh, torch.atanh, torch.erf),
    *(torch.erfc, torch.erfinv, torch.lgamma, torch.digamma, torch.sigmoid, torch.logit, torch.reciprocal, torch.abs),
    *(torch.square, torch.exp2, torch.log2, torch.log10, torch.special.ndtr, torch.special.log_ndtr),
    *(torch.special.erfcx, torch.special.entr, torch.special.i0e, F.softplus, F.logsigmoid, F.silu, F.gelu, F.elu),
    *(F.relu, F.mish, F.softsign, F.hardtanh, F.celu, F.leaky_relu, F.selu),
    *(lambda x: x**3, lambda x: x**-1.5, lambda x: 2**x, lambda x: x.clamp(0.3, 0.8), lambda x: x.frac()),
]
COMBINED: list[Callable[[Tensor, Tensor], Tensor]] = [
    *(torch.atan2, torch.hypot, torch.logaddexp, torch.maximum, torch.minimum, torch.xlogy, torch.remainder),
    *(lambda x, y: x**y, lambda x, y: torch.where(x > y, x, y * 2), lambda x, y: torch.lerp(x, y, 0.3)),
    *(lambda x, y: torch.addcmul(x, x, y), lambda x, y: torch.addcdiv(x, x, y)),
    *(F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy, F.kl_div, F.poisson_nll_loss),
    *(F.binary_cross_entropy_with_logits, lambda x, y: F.soft_margin_loss(x, y.detach())),
    *(lambda x, y: F.gaussian_nll_loss(x, y, x + y), lambda x, y: F.cosine_similarity(x, y, 0)),
    *(lambda x, y: F.margin_ranking_loss(x, y, torch.ones(6)), torch.dist),
    *(lambda x, y: torch.outer(x, y).sum(1), lambda x, y: x @ y),
]
REDUCING: list[Callable[[Tensor], Tensor]] = [
    *(torch.sum, torch.mean, torch.prod, torch.var, torch.std, torch.amax, torch.amin, torch.max, torch.norm),
    *(lambda x: torch.softmax(x, 0), lambda x: torch.log_softmax(x, 0), lambda x: torch.logsumexp(x, 0)),
    *(lambda x: torch.cumsum(x, 0), lambda x: torch.cumprod(x, 0), lambda x: x.view(2, 3).max(1).values),
    *(lambda x: torch.linalg.vector_norm(x, 1), lambda x: torch.linalg.vector_norm(x, math.inf)),
    *(lambda x: torch.linalg.vector_norm(x, 3), lambda x: x.view(2, 3) @ x.view(3, 2)),
    *(lambda x: F.cross_entropy(x.view(2, 3), torch.tensor([2, 0])), lambda x: F.layer_norm(x, (6,))),
    *(lambda x: F.cross_entropy(x.view(2, 3), torch.tensor([2, 0]), label_smoothing=0.1),),
    *(lambda x: F.nll_loss(x.log().view(2, 3), torch.tensor([1, 2]), torch.tensor([0.5, 1.0, 2.0]).double()),),
    *(lambda x: x.view(2, 3)[:, [0, 2]] * 2, lambda x: x[x > 0.5], lambda x: torch.cat([x[:2], x[4:]])),
    *(
        lambda x: x.gather(0, torch.tensor([1, 1, 3])),
        lambda x: x.masked_fill(x > 0.5, 0.1).view(2, 3).tril(),
    ),
    *(lambda x: F.pad(x, (1, 2), value=0.5), lambda x: torch.triu(x.view(2, 3)), lambda x: x.repeat(2).roll(1)),
    *(through_views, filled_from_nothing, branched, Squared.apply),
]
DISTRIBUTIONS: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda x, y: Normal(x, y).log_prob(y),
    lambda x, y: Normal(x, y, validate_args=False).cdf(y),
    lambda x, y: Laplace(x, y).log_prob(x + 1),
    lambda x, y: Beta(x, y).log_prob(torch.tensor(0.4, dtype=x.dtype)),
    lambda x, y: Gamma(x, y).log_prob(y),
    lambda x, y: StudentT(x, y, y).log_prob(x),
    lambda x, y: Categorical(logits=x).log_prob(torch.tensor(2)),
    lambda x, y: kl_divergence(Normal(x, y), Normal(y, x)),
    lambda x, y: kl_divergence(Beta(x, y), Beta(y, x)),
    lambda x, y: MixtureSameFamily(Categorical(logits=x), Normal(y, x)).log_prob(torch.tensor(0.4, dtype=x.dtype)),
]


@pytest.mark.parametrize("function", UNARY + REDUCING, ids=lambda f: getattr(f, "__name__", "function"))
def test_operations_of_one_tensor_agree_with_float64(function: Callable[[Tensor], Tensor]) -> None:
    agrees(function, X)


@pytest.mark.parametrize("function", COMBINED + DISTRIBUTIONS, ids=lambda f: getattr(f, "__name__", "function"))
def test_operations_of_two_tensors_agree_with_float64(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    agrees(function, X, Y)


def test_a_module_with_parameters_runs_exactly() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    agrees(lambda x: model(x[None]).sum(1), X)


def test_scripted_functions_run_exactly() -> None:
    @torch.jit.script
    def scripted(x: Tensor) -> Tensor:
        return torch.log(1 + torch.exp(x))

    agrees(scripted, X)


def test_what_float64_rounds_away_is_kept() -> None:
    with flint.ctx.workprec(300):
        x = exact(balls_of(torch.tensor([1e-30], dtype=torch.float64)), torch.float64)
        assert numbers((1 + x) - 1) == [1e-30]
        assert numbers(x.half().double()) == [1e-30]  # casts change nothing
        assert numbers(F.softplus(x * 0 + 30.0) - 30)[0] == pytest.approx(math.exp(-30), rel=1e-12)  # no threshold


def test_a_comparison_that_the_precision_does_not_settle_asks_for_more() -> None:
    with flint.ctx.workprec(60):
        third = exact(balls_of(torch.ones(1).double()), torch.float64) / 3
        with pytest.raises(Undecided):
            _ = third * 3 > 1


def test_comparison_scalars_are_rounded_as_torch_rounds_them() -> None:
    x = lifted(torch.tensor([0.1]))
    assert not bool((x > 0.1).item())


def test_an_operation_without_counterpart_names_itself() -> None:
    with pytest.raises(UnsupportedOperationError, match="linalg_eigh"):
        torch.linalg.eigh(lifted(torch.eye(2)))
    assert exact_program(program(lambda x: torch.linalg.eigvalsh(x[:, None, None])[:, 0]), None, 1e18)[0] is None


def program(function: Callable[..., Tensor], *arguments: str, dtype: str = "float32") -> Program:
    parameters = tuple(parse_parameter(a) for a in arguments or ("x=real",))
    return Program(Target("loss", function, parameters, len(parameters)), FORMATS[dtype], batched=True)


def test_a_program_is_its_own_certified_oracle_and_climbs_until_it_is_settled() -> None:
    p = program(lambda x: torch.log(torch.sigmoid(x + 80) - torch.sigmoid(x + 79)))
    oracle = oracle_for(p.target, None, p)
    assert isinstance(oracle, ExactProgram)
    truth = oracle.truth({"x": 40.0}, SINGLE, ["x"])
    assert truth.values[0].as_double() == pytest.approx(-119 + math.log(1 - math.exp(-1)), rel=1e-12)
    assert truth.gradient["x"][0].as_double() == pytest.approx(-1, rel=1e-12)
    assert truth.precision > 128


def test_where_the_program_is_undefined_its_limit_is_the_truth() -> None:
    oracle = oracle_for((p := program(lambda x: x * torch.log(x), "x=nonnegative")).target, None, p)
    assert oracle is not None
    assert oracle.truth({"x": 0.0}, SINGLE, ()).values[0].as_double() == 0


def test_a_program_without_counterpart_falls_back_to_float64_and_says_why() -> None:
    p = program(lambda x: torch.linalg.eigvalsh(x[:, None, None] * torch.eye(2))[:, 0])
    oracle = oracle_for(p.target, None, p)
    assert isinstance(oracle, WiderProgram)
    assert "eigh" in oracle.why


@pytest.mark.parametrize("leave", ["numpy", "item", "tolist", "asarray", "whole item"])
def test_numbers_that_leave_the_exact_world_are_noticed_and_certify_nothing(leave: str) -> None:
    def leaving(x: Tensor) -> Tensor:
        third = (x / 3).detach()
        ways = {"asarray": np.asarray, "item": lambda t: t[0].item(), "whole item": lambda t: (t * 0)[0].item()}
        back = ways[leave](third) if leave in ways else getattr(third, leave)()
        return x * torch.as_tensor(back, dtype=x.dtype)

    oracle = oracle_for((p := program(leaving)).target, None, p)
    assert isinstance(oracle, ExactProgram)
    assert not oracle.certified
    assert "test_exact.py:" in oracle.why


def test_equal_numbers_that_no_precision_tells_apart_take_both_sides() -> None:
    p = program(lambda x: torch.where(x / 3 * 3 > x, x + 1, 1 + x * 1))
    oracle = oracle_for(p.target, None, p)
    assert oracle is not None
    assert oracle.truth({"x": 0.7}, SINGLE, ["x"]).values[0].as_double() == pytest.approx(1.7, rel=1e-15)


def test_a_tie_is_answered_alike_from_both_sides() -> None:
    p = program(lambda x: (x / 3 * 3 < x).to(x.dtype) + (x > x / 3 * 3).to(x.dtype) + x)
    oracle = oracle_for(p.target, None, p)
    assert oracle is not None
    hull = oracle.truth({"x": 0.7}, SINGLE, ()).values[0].ball
    assert hull.contains(arb(0.7))
    assert hull.contains(arb(0.7) + 2)


def test_sides_of_a_tie_that_do_not_meet_make_a_kink() -> None:
    oracle = oracle_for((p := program(lambda x: (x / 3 * 3 - x).abs() + x)).target, None, p)
    assert oracle is not None
    truth = oracle.truth({"x": 0.7}, SINGLE, ["x"])
    assert truth.values[0].as_double() == 0.7
    jump = oracle_for((p := program(lambda x: torch.where(x / 3 * 3 > x, x + 1, x))).target, None, p)
    assert jump is not None
    kink = jump.truth({"x": 0.7}, SINGLE, ["x"]).values[0]
    assert kink.kink
    assert kink.ball.contains(arb(0.7))
    assert kink.ball.contains(arb(1.7))


def test_both_traces_list_the_same_operations() -> None:
    p = program(lambda x: torch.log(1 + torch.exp(x)))
    native, exactly = trace(p, {"x": -20.0}), exact_trace(p, {"x": -20.0})
    assert exactly is not None
    assert [s.name for s in native] == [s.name for s in exactly]
    assert "exp" in {s.name for s in native}


@pytest.mark.parametrize("name", ["kl_textbook", "nll_of_log_scale", "exp_lin_scale", "bounded_log_scale", "normal_kl"])
def test_programs_of_the_zoo_mean_their_definitions(name: str) -> None:
    (spec,) = find(f"zoo:{name}")
    target = Target(name, spec.function, spec.parameters, 9, spec.definition, spec.constants)
    p = Program(target, SINGLE, batched=True)
    names = [a.name for a in target.arguments if isinstance(a, Argument) and a.is_differentiable]
    points = probe_points(p, 6)
    reference = oracle_for(target, None, p)
    assert reference is not None
    for row in range(6):
        sample = {n: float(x[row]) for n, x in points.items()}
        with flint.ctx.workprec(300):
            mine = play(p, sample, names)
        theirs = reference.truth(sample, SINGLE, names)
        assert mine.values[0].as_double() == pytest.approx(theirs.values[0].as_double(), rel=1e-12, abs=1e-15)
        for n in names:
            assert mine.gradient[n][0].as_double() == pytest.approx(
                theirs.gradient[n][0].as_double(), rel=1e-9, abs=1e-12
            )


def test_elements_keep_infinities_and_nan_apart() -> None:
    x = lifted(torch.tensor([0.0, -1.0, 1.0]))
    logs = balls_of(torch.log(x))
    assert logs[0].x == arb.neg_inf()
    assert logs[1].x.is_nan()
    assert torch.log(x).isinf().tolist() == [True, False, False]


LINES = """import torch


def loss(x):
    small = torch.exp(x)
    total = 1 + small
    return torch.log(total)
"""


def test_a_finding_names_the_line_and_the_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lines.py").write_text(LINES)
    monkeypatch.chdir(tmp_path)
    events = list(audit_target(Job("lines.py:loss", ("x=[-300,300]",), dtypes=("float32", "float64"), seconds=40.0)))
    found = [f for e in events if isinstance(e, Judged) for f in e.findings]
    places = {(f.claim, f.cause): f.where for f in found}
    assert places["value_is_finite", "overflow"] == Place("lines.py", 5, "exp")
    absorbed = places["value_is_accurate", "absorption"]
    assert absorbed is not None
    assert (absorbed.file, absorbed.line in (6, 7)) == ("lines.py", True)


def test_backward_operations_stand_at_the_line_of_their_forward_ones(tmp_path: Path) -> None:
    file = tmp_path / "lines.py"
    file.write_text(LINES)
    p = Program(resolve(f"{file}:loss", [parse_parameter("x=real")]), SINGLE, batched=True)
    lines = {(s.name, s.backward): s.place for s in trace(p, {"x": 1.0})}
    assert lines["log", False] == (str(file), 7)
    assert lines["div", True] == (str(file), 7)  # by log's operand
    assert lines["mul", True] == (str(file), 5)  # by exp's


def test_the_branch_not_taken_is_named_where_its_slopes_are_nan() -> None:
    p = program(lambda x: torch.where(x > 0, x * torch.sqrt(x), x * 0), "x=[0,10]")
    examiner = Examiner(p, oracle_for(p.target, None, p))
    sample, judgement = examiner.judge_alone({"x": 0.0}, "gradient:x") or pytest.fail("it raised")
    assert math.isnan(judgement.got)
    assert examiner.cause(sample, judgement) == "unselected_branch"


def test_a_clamp_inside_a_kernel_is_told_as_one() -> None:
    p = program(lambda x: F.binary_cross_entropy(x, torch.ones_like(x), reduction="none"), "x=[0,1]")
    truth = replace(p.target, definition=lambda ctx, x: -ctx.log(x))
    examiner = Examiner(p, oracle_for(truth, None, p))
    sample, judgement = examiner.judge_alone({"x": 1e-44}, "value") or pytest.fail("it raised")
    assert (judgement.got, judgement.severity) == (100.0, "error")
    assert examiner.cause(sample, judgement) == "clamp"


@pytest.mark.parametrize(
    ("function", "x", "cause"),
    [
        (lambda x: torch.log(torch.exp(x).sum(-1)), [0.0, 200.0], "overflow"),
        (lambda x: (1e-30 * x**2).sum(-1), [0.0, 1e30], "overflow"),
        (lambda x: torch.log(x**2).sum(-1), [1e-30, 1.999], "underflow"),
        (lambda x: torch.log(x.half().to(x.dtype) ** 2).sum(-1), [1.2345, 5.0], "cast"),
    ],
)
def test_a_cause_is_read_off_the_element_that_fails(
    function: Callable[[Tensor], Tensor], x: list[float], cause: str
) -> None:
    p = program(function, "x=real@[*,2]")
    examiner = Examiner(p, oracle_for(p.target, None, p))
    sample, judgement = examiner.judge_alone({"x": x}, "value") or pytest.fail("it raised")
    assert judgement.kind.is_failure
    assert examiner.cause(sample, judgement) == cause


def test_what_vanishes_below_float64_itself_is_an_underflow() -> None:
    p = program(lambda x: torch.log((1 / x) ** 2) + 0 * x, "x=positive", dtype="float64")
    examiner = Examiner(p, oracle_for(p.target, None, p))
    sample, judgement = examiner.judge_alone({"x": 5e175}, "value") or pytest.fail("it raised")
    assert judgement.got == -math.inf
    assert examiner.cause(sample, judgement) == "underflow"


def test_memory_that_is_only_allocated_is_no_step() -> None:
    def filled(x: Tensor) -> Tensor:
        return torch.empty_like(x).copy_(x * 2) + x.new_empty(x.shape).fill_(1.0)

    program = Program(Target("filled", filled, (parse_parameter("x=real"),)), FORMATS["float32"])
    assert "empty" not in " ".join(step.name for step in trace(program, {"x": 3.0}))
