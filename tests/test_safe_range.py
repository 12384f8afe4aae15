"""Safe ranges: edges at neighbouring floats, proofs where every float was tried, and ranges that are empty."""

from pathlib import Path

import pytest
import torch

from stabkit.audit_job import Job
from stabkit.auditor import audit_target
from stabkit.events import Ended, Ranged
from stabkit.finding import SafeRange
from stabkit.floats import FORMATS, neighbours

HALF, SINGLE = "float16", "float32"
LOSSES = """
import torch

def broken(x):
    return x * float("nan")

def vector(x):
    return torch.log(torch.exp(x).sum(-1))

def vector_truth(ctx, x):
    return ctx.log(ctx.exp(x[0]) + ctx.exp(x[1]))

def refuses(x):
    if bool((x > 100).any()):
        raise ValueError("too large")
    return x * 2

def twice(ctx, x):
    return x * 2

def log(x):
    return torch.log(x)

def log_truth(ctx, x):
    return ctx.log(x)

def root(x):
    return torch.where(x == 3.3046875, 2 * torch.sqrt(x), torch.sqrt(x))

def root_truth(ctx, x):
    return ctx.sqrt(x)
"""


@pytest.fixture
def losses(tmp_path: Path) -> str:
    file = tmp_path / "losses.py"
    file.write_text(LOSSES)
    return str(file)


def ranges(target: str, dtype: str, *arguments: str, reference: str | None = None, **settings: str) -> list[SafeRange]:
    job = Job(target, arguments, reference, (dtype,), seconds=60.0, task="range", **settings)  # type: ignore[arg-type]
    events = list(audit_target(job))
    assert events[-1] == Ended("audited"), events[-1]
    return [r for e in events if isinstance(e, Ranged) for r in e.ranges]


def one(found: list[SafeRange], argument: str, of: str) -> SafeRange:
    (match,) = [r for r in found if (r.argument, r.of) == (argument, of)]
    return match


def stored(value: float | None, dtype: str) -> float:
    return torch.tensor(value, dtype=FORMATS[dtype].dtype).item()


def test_a_lone_number_in_16_bits_is_proved_between_exact_edges() -> None:
    value = one(ranges("zoo:naive_exp_log_scale", HALF), "p", "value")
    assert value.certainty == "proved"
    assert (stored(value.low, HALF), stored(value.high, HALF)) == (-17.328125, 11.0859375)  # as the zoo's table says
    assert (value.below.why, value.below.got) == ("fails", "-inf")
    assert (value.above.why, value.above.got) == ("fails", "inf")
    below = neighbours(torch.tensor(-17.328125, dtype=torch.float16), -1)
    assert torch.log(torch.exp(below)).isinf()


def test_a_range_ends_where_the_truth_does_not_fit_the_dtype() -> None:
    found = one(ranges("zoo:exp_scale", SINGLE), "p", "value")
    assert found.certainty == "not refuted"
    assert found.below.why == "domain"
    assert found.above.why == "beyond"
    edge = torch.tensor(found.high, dtype=torch.float32)
    assert torch.exp(edge).isfinite()
    assert torch.exp(neighbours(edge)).isinf()


def test_a_form_that_never_fails_is_safe_over_its_whole_domain() -> None:
    for found in ranges("zoo:exp_lin_log_scale", HALF):
        assert (found.low, found.high) == (-65504.0, 65504.0)
        assert (found.certainty, found.points) == ("proved", 63_489)


def test_the_squared_ratio_ends_where_it_does_in_the_paper() -> None:
    found = one(ranges("zoo:kl_squared_ratio", SINGLE), "scale1", "value")
    assert found.low is not None
    assert 1e-23 < found.low < 1e-20  # 7.1e-23 for scale2 = 1; here scale2 goes up to 10, and 12 bits may be lost


def test_gradients_end_before_values() -> None:
    found = ranges("zoo:kl_textbook", SINGLE)
    for argument in ("scale1", "scale2"):
        value, gradient = one(found, argument, "value"), one(found, argument, "gradient")
        assert value.low is not None
        assert gradient.low is not None
        assert value.low < gradient.low


def test_warnings_end_ranges_only_if_asked() -> None:
    lenient = one(ranges("zoo:up_bounded_log_scale_as_written", SINGLE), "p", "value")
    strict = one(ranges("zoo:up_bounded_log_scale_as_written", SINGLE, fail_on="warning"), "p", "value")
    assert lenient.high is not None
    assert strict.high is not None
    assert strict.high < 20 < lenient.high


def test_a_loss_that_fails_everywhere_is_safe_nowhere(losses: str) -> None:
    found = one(ranges(f"{losses}:broken", SINGLE, "x=real", reference=f"{losses}:twice"), "x", "value")
    assert (found.low, found.high) == (None, None)
    assert found.below.got == "nan"


def test_one_element_of_a_vector_goes_out_at_a_time(losses: str) -> None:
    found = ranges(f"{losses}:vector", SINGLE, "x=real@[*,2]", reference=f"{losses}:vector_truth")
    value = one(found, "x", "value")
    assert value.high == pytest.approx(88.72, abs=0.01)
    assert value.low is not None
    assert value.low < -80


def test_a_target_that_raises_ends_its_range_there(losses: str) -> None:
    found = one(ranges(f"{losses}:refuses", SINGLE, "x=real", reference=f"{losses}:twice"), "x", "value")
    assert found.high == 100.0
    assert found.above.why == "raises"
    assert "too large" in found.above.of


def test_without_a_reference_the_wider_program_says_what_is_true(losses: str) -> None:
    found = one(ranges(f"{losses}:vector", SINGLE, "x=real@[*,2]"), "x", "value")
    assert found.certainty == "not refuted"
    assert found.high == pytest.approx(88.72, abs=0.01)


@pytest.mark.parametrize("on_intervals", [True, False])
def test_what_is_proved_was_tried_float_by_float(
    losses: str, on_intervals: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not on_intervals:
        monkeypatch.setattr("stabkit.arithmetic.batch.listed", lambda: None)
    job = (f"{losses}:root", HALF, "x=[1,5]")
    found = one(ranges(*job, reference=f"{losses}:root_truth", fail_on="warning"), "x", "value")
    assert found.certainty == "proved"
    assert found.high == neighbours(torch.tensor(3.3046875, dtype=torch.float16), -1).item()
    assert found.above.at == {"x": pytest.approx(3.3046875, abs=1e-3)}


def test_a_start_that_fails_is_exchanged_for_one_that_does_not(losses: str) -> None:
    source = Path(losses)
    source.write_text(
        source.read_text() + "\ndef log(x): return torch.log(x)\ndef log_truth(ctx, x): return ctx.log(x)\n"
    )
    found = one(ranges(f"{losses}:log", HALF, "x=nonnegative", reference=f"{losses}:log_truth"), "x", "value")
    assert found.certainty == "proved"
    assert found.low is not None
    assert found.low < 1e-4
