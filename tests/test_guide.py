"""The guided search: distances read off operations, and samples led to where they go wrong."""

import math
import time

import pytest
import torch
from torch import Generator, Tensor

from stabkit.floats import FORMATS, neighbours, thresholds
from stabkit.notation import parse_parameter
from stabkit.program import Points, Program
from stabkit.search.guide import Led, lead
from stabkit.search.hazards import Watch, watched
from stabkit.search.points import draw
from stabkit.search.sampler import Sampler
from stabkit.search.screen import end_rows
from stabkit.target import Target

FLOAT32 = FORMATS["float32"]


def program_of(function, *arguments: str, dtype: str = "float32", batched: bool = True) -> Program:  # type: ignore[no-untyped-def]
    return Program(Target("f", function, tuple(map(parse_parameter, arguments))), FORMATS[dtype], batched=batched)


def led(program: Program, seconds: float = 60.0) -> Led:
    generator = Generator().manual_seed(0)
    points = draw(program.target.arguments, program.form, 64 if program.batched else 8, generator)
    return lead(program, points, time.monotonic() + seconds, generator)


def distances(
    function, *columns: list[float], dtype: torch.dtype = torch.float32
) -> dict[tuple[str, str], list[float]]:  # type: ignore[no-untyped-def]
    leaves = [torch.tensor(c, dtype=dtype) for c in columns]
    with Watch(len(columns[0]), FLOAT32) as watch:
        function(*leaves)
    return {(s.name, s.towards): d.tolist() for s, d in watch.distances.items()}


def test_distances_are_binades_from_where_an_operation_goes_wrong() -> None:
    found = distances(torch.log, [1.0, 2.0**-100, 0.0])
    assert found["log", "zero"] == [150, 50, 0]
    assert distances(torch.exp, [0.0, 64 * math.log(2), 200.0])["exp", "overflow"] == [128, pytest.approx(64), 0]
    assert distances(torch.mul, [2.0**-60, 2.0**-100], [2.0**-60] * 2)["mul", "underflow"] == [6, 0]
    assert distances(torch.sub, [1.0, 1.0], [0.5, 1.0])["sub", "cancellation"] == [23, 0]
    assert distances(torch.add, [1.0, 1.0], [2.0**-24, 2.0**-4])["add", "absorption"] == [0, 20]
    assert distances(torch.sigmoid, [30.0, 0.0])["sigmoid", "one"] == [0, 23]


def test_what_is_compared_is_as_far_apart_as_there_are_floats_between() -> None:
    x = neighbours(torch.tensor([0.3, 0.3, 0.3]), 7).tolist()
    assert distances(lambda x: x > 0.3, [x[0], 0.3, -0.3])["gt", "equality"][:2] == [3, 0]
    assert distances(lambda x: x.clamp(min=1e-6), [torch.tensor(1e-6).item()])["clamp", "equality"] == [0]
    assert distances(torch.maximum, [1.0, -1.0], [1.0, 1.0])["maximum", "equality"] == [0, pytest.approx(31, abs=0.1)]


def test_each_sample_is_measured_by_its_worst_element() -> None:
    found = distances(lambda x: torch.log(x.reshape(2, 2)).sum(1), [1.0, 2.0**-20, 4.0, 8.0])
    assert ("log", "zero") not in found, "elements of two samples in a row belong to neither"
    leaf = torch.tensor([[1.0, 2.0**-20], [4.0, 8.0]])
    with Watch(2, FLOAT32) as watch:
        torch.log(leaf).sum(1)
    assert {s.towards: d.tolist() for s, d in watch.distances.items() if s.name == "log"}["zero"] == [130, 152]


def nan_at_one_float(x: Tensor) -> Tensor:
    return torch.where(x == 0.3, math.nan, x * x)


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_fault_one_float_wide_is_found(dtype: str) -> None:
    program = program_of(nan_at_one_float, "x=real", dtype=dtype)
    found = led(program)
    assert program.run(found.points).values[: found.first].isnan().any()


def test_one_float_is_found_one_sample_at_a_time_too() -> None:
    program = program_of(lambda x: nan_at_one_float(x).sum(), "x=real@[2]", batched=False)
    assert program.run(led(program).points).values.isnan().any()


def test_the_least_input_that_overflows_is_found() -> None:
    found = led(program_of(torch.exp, "x=real"))
    (overflow,) = (h for h in found.hazards if h.towards == "overflow")
    least = neighbours(torch.tensor(thresholds(FLOAT32).exp_overflow)).item()
    assert torch.tensor(overflow.at["x"]).item() == pytest.approx(least, abs=2e-5)


def test_two_numbers_are_led_together_until_they_cancel() -> None:
    def difference(x: Tensor, y: Tensor) -> Tensor:
        return torch.log(x) - torch.log(y)

    program = program_of(difference, "x=[3,1e30]", "y=[3,1e30]")
    points = led(program).points
    apart = (points["x"] / points["y"] - 1).abs()
    assert ((apart < 1e-5) & (apart > 0)).any()


def test_faults_that_take_two_hazards_at_once_are_found() -> None:
    def narrow(x: Tensor, y: Tensor) -> Tensor:
        return torch.where((x == 0.3) & (y > 1e-20) & (y < 1.01e-20), math.nan, x + y)

    program = program_of(narrow, "x=[0,1]", "y=positive")
    assert program.run(led(program).points).values.isnan().any()


def test_hazards_that_cannot_be_approached_are_told() -> None:
    found = led(program_of(lambda x: torch.log(1 + torch.exp(x)), "x=[-20,20]"))
    told = {(h.operation, h.towards): h for h in found.hazards}
    assert not told["log", "zero"].approached
    assert told["log", "zero"].nearest == 1, "1 + exp x stays above 1"
    assert told["log", "one"].approached
    assert not told["exp", "overflow"].approached


def test_slopes_are_watched_too() -> None:
    found = led(program_of(torch.sqrt, "x=[0,4]"))
    assert any(h.operation == "div (backward)" and h.towards == "zero" and h.approached for h in found.hazards)


def test_samples_that_raise_are_passed_over() -> None:
    def picky(x: Tensor) -> Tensor:
        if (x < 0).any():
            raise ValueError("negative")
        return torch.log(x)

    reading = watched(program_of(picky, "x=real"), {"x": torch.tensor([-1.0, 4.0])})
    zero = {s.towards: d.tolist() for s, d in reading.distances.items() if s.name == "log"}["zero"]
    assert zero == [math.inf, 152]


def test_constants_of_the_program_are_drawn() -> None:
    program = program_of(lambda x: torch.where(x > 0.7, x, x * 3.0), "x=[-10,10]")
    sampler = Sampler(program, 5.0, Generator().manual_seed(0))
    points: Points = sampler.few().points
    marks = neighbours(torch.tensor([0.7]), -1), torch.tensor([0.7]), neighbours(torch.tensor([0.7]))
    assert all((points["x"] == mark).any() for mark in marks)


def test_later_samples_are_drawn_near_the_few_that_are_defined() -> None:
    program = program_of(lambda x, y: torch.log(x - y) + torch.log(1.001 * y - x), "x=[0,1]", "y=[0,1]")
    sampler = Sampler(program, 5.0, Generator().manual_seed(0))

    def share_defined(points: Points) -> float:
        return float(program.run(points).values.isfinite().double().mean())

    first = sampler.drawn(first=True).points
    sampler.learn(first, program.run(first), {})
    assert share_defined(first) < 0.1
    assert share_defined(sampler.drawn(first=False).points) > 3 * share_defined(first)


def test_whole_vectors_are_drawn_alike() -> None:
    vector = (parse_parameter("x=[-9,9]@[*,5]"),)
    points = draw(vector, FLOAT32, 2000, Generator().manual_seed(0))["x"]  # type: ignore[arg-type]
    alike = (points == points[:, :1]).all(1)
    nearly = ((points - points[:, :1]).abs() <= 0.01 * points[:, :1].abs()).all(1) & ~alike
    assert min(int(alike.sum()), int(nearly.sum())) > 15


def test_whole_numbers_are_judged_at_both_ends() -> None:
    label = parse_parameter("k=index[0,1000)")
    points = {"k": torch.randint(0, 1000, (4096,), generator=Generator().manual_seed(0))}
    rows = end_rows(points, (label,))  # type: ignore[arg-type]
    assert {0, 1, 999} <= set(points["k"][rows].tolist())
