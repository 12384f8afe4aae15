"""Where the search looks, what it prefers, and how it shrinks."""

import math

import pytest
import torch

from stabkit.domain import Argument, Interval, real
from stabkit.floats import FORMATS, nearest
from stabkit.notation import parse_domain
from stabkit.search.lattice import STRATA, Lattice
from stabkit.search.legal import moved_inside
from stabkit.search.points import draw, extremeness
from stabkit.search.screen import NOT_FINITE, choose
from stabkit.search.shrink import complexity, shrink

SINGLE = FORMATS["float32"]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("stratum", STRATA)
@pytest.mark.parametrize("text", ["real", "positive", "[0,1]", "(-1,1)", "[1e-24,1e3]", "[-inf,80]"])
def test_every_stratum_stays_inside_every_interval(stratum: str, text: str) -> None:
    domain = parse_domain(text)
    assert isinstance(domain, Interval)
    lattice = Lattice(domain, SINGLE)
    values = lattice.draw(stratum, 500, seeded())
    assert all(lattice.contains(v) for v in values.tolist())
    assert all(nearest(v, SINGLE) == v for v in values.tolist())


def test_ordinal_draws_cover_all_exponents_and_linear_draws_the_middle() -> None:
    lattice = Lattice(Interval(0.0, 1e4, False, True), SINGLE)
    ordinal, linear = (lattice.draw(s, 4000, seeded()) for s in ("ordinal", "linear"))
    assert float(ordinal.min()) < 1e-36
    assert float(ordinal.median()) < 1e-10
    assert 3e3 < float(linear.median()) < 7e3


def test_landmarks_hold_the_bounds_and_legal_infinities() -> None:
    marks = Lattice(parse_domain("[-inf,80]"), SINGLE).landmarks.tolist()  # type: ignore[arg-type]
    assert {80.0, float("-inf"), 0.0, 1.0, -SINGLE.largest} <= set(marks)


def test_arguments_are_often_equal_or_nearly_so() -> None:
    points = draw([Argument("a", real), Argument("b", real)], SINGLE, 4000, seeded())
    a, b = points["a"].double(), points["b"].double()
    assert 0.02 < float((a == b).double().mean()) < 0.3
    near = ((a - b).abs() < 1e-3 * a.abs()) & (a != b)
    assert float(near.double().mean()) > 0.02


def test_extremeness_counts_binades_outside_the_everyday_range() -> None:
    arguments = (Argument("x", real), Argument("s", Interval(0.0, float("inf"), False, False)))
    assert extremeness({"x": 20.0, "s": 1e-6}, arguments) == 0
    assert extremeness({"x": 40.0, "s": 1.0}, arguments) == pytest.approx(1)
    assert extremeness({"x": 0.0, "s": 2.5e-7}, arguments) == pytest.approx(2)
    assert 1000 < extremeness({"x": 5e-324, "s": 1.0}, arguments) < 1100  # finite where 1e-6/x is not


def test_the_most_suspect_the_nearest_and_some_others_are_chosen() -> None:
    score = torch.zeros(1000)
    score[5], score[17], score[400] = NOT_FINITE, 30.0, 9.0
    rows = choose({"value": score}, torch.arange(1000.0), per_channel=9, at_random=20, generator=seeded())
    assert {5, 17, 400} <= set(rows)
    assert 20 <= len(rows) <= 23


def test_shrinking_ends_at_simple_numbers_that_still_fail() -> None:
    arguments = (Argument("x", real), Argument("y", real))
    found = shrink({"x": 1234.5678, "y": -0.001234}, arguments, SINGLE, lambda s: s["x"] > 700, tries=200)
    assert found["y"] == 0.0
    assert found["x"] == 1000.0


def test_shrinking_keeps_the_domain_and_the_budget() -> None:
    tried = []

    def fails(sample: dict[str, float]) -> bool:
        tried.append(sample["s"])
        return sample["s"] < 1e-3

    argument = Argument("s", Interval(1e-7, 1.0, True, True))
    assert shrink({"s": 3.21e-5}, [argument], SINGLE, fails, tries=7)["s"] < 1e-3
    assert len(tried) <= 7
    assert all(1e-7 <= v <= 1 for v in tried)


def test_numbers_are_ordered_by_what_it_takes_to_write_them() -> None:
    assert sorted([1.2345, 2.5, 1.0, 0.0], key=complexity) == [0.0, 1.0, 2.5, 1.2345]
    assert complexity(1e-24) > complexity(1e-3)


def test_candidates_that_are_not_doubtful_are_not_tried() -> None:
    tried = []

    def fails(sample: dict[str, float]) -> bool:
        tried.append(sample["x"])
        return sample["x"] > 50

    found = shrink(
        {"x": 123.456}, [Argument("x", real)], SINGLE, fails, 80, lambda samples: [s["x"] > 50 for s in samples]
    )
    assert found["x"] == 100.0
    assert all(x > 50 for x in tried)


def test_what_left_its_domain_is_moved_to_the_nearest_legal_float() -> None:
    arguments = (Argument("x", Interval(0.0, math.inf, False, True)), Argument("y", parse_domain("[-1,1]")))
    points = {"x": torch.tensor([-3.0, math.inf, 2.0]), "y": torch.tensor([-3.0, math.nan, 0.5])}
    inside = moved_inside(points, arguments, FORMATS["float32"])
    assert inside["x"].tolist() == [FORMATS["float32"].smallest_subnormal, math.inf, 2.0]
    assert inside["y"].tolist() == [-1.0, -1.0, 0.5]
