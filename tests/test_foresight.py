"""Several samples by one exact replay: the same truths as one at a time, and what cannot be settled so is left."""

import pytest
import torch
from torch import Tensor

from stabkit.arithmetic.enclosure import Enclosure
from stabkit.arithmetic.evaluate import Truth
from stabkit.conditioning import conditioning
from stabkit.floats import FORMATS
from stabkit.foresight import foresee, together
from stabkit.notation import parse_parameter
from stabkit.oracle import ExactProgram, WiderProgram
from stabkit.program import Program, sample_of
from stabkit.search.points import draw
from stabkit.target import Target, resolve

SAMPLES = 10
NAMES = (
    *("torch:kl.normal_normal", "torch:kl.gumbel_normal", "torch:kl.categorical_categorical", "torch:kl.pareto_normal"),
    *("torch:losses.cosine_similarity", "torch:losses.cross_entropy", "torch:losses.binary_cross_entropy"),
)


def oracle_of(name: str, dtype: str) -> ExactProgram:
    return ExactProgram(Program(resolve(name, []), FORMATS[dtype], batched=True))


def numbers(truth: Truth) -> list[Enclosure]:
    return [*truth.values, *(e for row in truth.gradient.values() for e in row)]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_truths_found_together_are_those_found_alone(name: str, dtype: str) -> None:
    oracle, form = oracle_of(name, dtype), FORMATS[dtype]
    arguments = oracle.program.target.arguments
    slopes = [a.name for a in arguments if a.is_differentiable]
    points = draw(arguments, form, SAMPLES, torch.Generator().manual_seed(1))
    samples = {row: sample_of(points, row) for row in range(SAMPLES)}
    found = foresee(oracle, form, samples, slopes)
    assert found is not None
    known = 0
    for row in range(SAMPLES):
        truth = found.truth_of(row)
        if truth is None:
            continue
        alone = conditioning(oracle, samples[row], form, slopes, arguments)
        moved = zip(found.moved_of(row), alone, strict=True)
        for mine, theirs in [(truth, oracle.truth(samples[row], form, slopes)), *moved]:
            for a, b in zip(numbers(mine), numbers(theirs), strict=True):
                assert a.state is b.state
                assert a.ball.overlaps(b.ball) or not a.is_finite
        known += 1
    assert known > SAMPLES / 2


def tied(x: Tensor) -> Tensor:
    return torch.where(x / 3 * 3 > 1, x, 2 * x)


def test_a_sample_that_no_low_precision_settles_leaves_the_others_settled() -> None:
    program = Program(Target("tied", tied, (parse_parameter("x=real"),)), FORMATS["float32"], batched=True)
    found = together(program, [{"x": x} for x in (0.5, 2.0, 4.0, 1.0, -3.0, 0.25, 8.0)], ["x"], program.form)
    values = [None if t is None else t.values[0].as_double() for t in found]
    assert values == [1.0, 2.0, 4.0, None, -6.0, 0.5, 8.0]


def test_a_limit_is_left_to_the_sample_by_itself() -> None:
    oracle = oracle_of("torch:losses.vector_norm", "float32")
    found = foresee(oracle, FORMATS["float32"], {0: {"x": [0.0] * 3}, 1: {"x": [3.0, 4.0, 0.0]}}, ["x"])
    assert found is not None
    known = found.truth_of(1)
    assert known is not None
    assert known.values[0].as_double() == 5.0


def test_programs_whose_samples_run_alone_or_whose_oracle_is_another_are_not_foreseen() -> None:
    alone = Program(resolve("torch:losses.mse_loss", []), FORMATS["float32"])
    sample = {0: {"input": 1.0, "target": 0.0}}
    assert foresee(ExactProgram(alone), alone.form, sample, ["input"]) is None
    assert foresee(WiderProgram(alone), alone.form, sample, ["input"]) is None
    assert foresee(None, alone.form, sample, ["input"]) is None
