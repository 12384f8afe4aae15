"""What enclosures settle: never a number that the judge would fail, and nearly every number that it would pass."""

import math

import pytest
import torch
from flint import arb

from stabkit.arithmetic.bounds import Bounds
from stabkit.floats import FORMATS
from stabkit.judge import Judgement, Kind, judge
from stabkit.oracle import oracle_for
from stabkit.program import Outcome, Points, Program
from stabkit.proof import Parts, Proof, _right, prove
from stabkit.search.points import draw
from stabkit.target import resolve
from stabkit.verification import Examiner

COUNT = 250
FAULTS = ("kl_textbook", "kl_exp", "naive_exp_log_scale", "up_bounded_log_scale_as_written", "exp_lin_scale_unclipped")
STABLE = ("kl_of_log_scales", "nll", "exp_lin_scale", "up_bounded_log_scale")


class Case:
    """Samples of one zoo entry, run, and what enclosures say about them."""

    def __init__(self, name: str, dtype: str) -> None:
        target = resolve(f"zoo:{name}", [])
        self.program = Program(target, FORMATS[dtype], batched=True)
        self.oracle = oracle_for(target, None, self.program)
        assert self.oracle is not None
        self.points: Points = draw(target.arguments, self.program.form, COUNT, torch.Generator().manual_seed(3))
        self.outcome: Outcome = self.program.run(self.points)
        self.proof: Proof | None = prove(self.program, self.oracle, self.points, self.outcome)

    def judged(self, row: int) -> list[Judgement]:
        sample = {n: x[row].double().tolist() for n, x in self.points.items()}
        return Examiner(self.program, self.oracle).judge_row(sample, self.outcome, row, row)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", FAULTS + STABLE)
def test_what_is_settled_passes_the_judge_and_what_is_cleared_has_no_error(name: str, dtype: str) -> None:
    case = Case(name, dtype)
    if case.proof is None:
        pytest.skip("the kernels of this build of torch are not listed")
    for row in range(COUNT):
        judgements = case.judged(row)
        for of in ("value", "gradient"):
            mine = [j for j in judgements if j.of.startswith(of)]
            if bool(getattr(case.proof.settled, of)[row]):
                assert not any(j.kind.is_failure for j in mine)
            if bool(getattr(case.proof.cleared, of)[row]):
                assert not any(j.severity == "error" for j in mine)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("name", STABLE)
def test_nearly_all_samples_of_a_stable_form_are_settled(name: str, dtype: str) -> None:
    proof = Case(name, dtype).proof
    assert proof is None or float(proof.settled.both.double().mean()) > 0.9


def test_samples_that_fail_are_left_open() -> None:
    case = Case("kl_squared_ratio", "float32")
    if case.proof is None:
        pytest.skip("the kernels of this build of torch are not listed")
    failing = [row for row in range(COUNT) if any(j.kind.is_failure for j in case.judged(row))]
    assert len(failing) > 20
    assert not bool(case.proof.settled.both[failing].any())


def test_nothing_is_settled_in_float64_but_most_is_cleared() -> None:
    proof = Case("kl_of_log_scales", "float64").proof
    if proof is None:
        pytest.skip("the kernels of this build of torch are not listed")
    assert not bool(proof.settled.both.any())
    assert float(proof.narrow.double().mean()) > 0.7
    assert proof.truth_of(0) is None


def test_truths_that_are_ready_are_the_ones_that_balls_give() -> None:
    case = Case("kl_textbook", "float32")
    if case.proof is None:
        pytest.skip("the kernels of this build of torch are not listed")
    compared = 0
    for row in range(60):
        known = case.proof.truth_of(row)
        sample = {n: float(x[row]) for n, x in case.points.items()}
        if known is not None and case.oracle is not None:
            exact = case.oracle.truth(sample, case.program.form, list(case.points))
            assert known.values[0].as_double() == pytest.approx(exact.values[0].as_double(), rel=1e-9, abs=1e-46)
            compared += 1
    assert compared > 20


def test_a_true_number_beyond_the_dtype_is_not_within() -> None:
    case = Case("exp_scale", "float16")
    if case.proof is None:
        pytest.skip("the kernels of this build of torch are not listed")
    too_large = case.points["p"].double() > math.log(65520)
    assert bool(too_large.any())
    assert torch.equal(~case.proof.within.value, too_large)


def test_a_statement_on_numbers_becomes_one_on_value_and_gradient() -> None:
    yes, no = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    assert Parts.of([yes, no]).both.tolist() == [False]
    assert Parts.of([yes]).gradient.tolist() == [True]
    assert (Parts.of([yes, no]) | Parts.of([no, yes])).both.tolist() == [True]


def test_a_result_beyond_the_dtype_counts_as_infinite_to_judge_and_proof_alike() -> None:
    half = FORMATS["float16"]
    bounds = Bounds(*(torch.tensor([[61250.0, 612500.0, 612500.0]], dtype=torch.float64) for _ in range(2)))
    got = torch.tensor([[1e8, 1e8, -1e8]], dtype=torch.float64)
    assert _right(got, bounds, torch.zeros(()).double(), half, 4.0).tolist() == [[False, True, False]]
    kinds = [
        judge(0, "value", float(g), t, half, lambda: arb(0), 1.0).kind
        for g, t in zip(got[0], bounds.at(0), strict=True)
    ]
    assert kinds == [Kind.INACCURATE, Kind.RANGE_LIMIT, Kind.INACCURATE]
