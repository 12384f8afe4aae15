"""Where the search looks, what it prefers, and how it shrinks."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from stabkit.domain import Argument, Interval, real
from stabkit.floats import FORMATS, nearest
from stabkit.notation import parse_domain
from stabkit.search.extents import Probe, edge, extents
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


def probe(fails: Callable[[dict[str, Any]], bool], left: int = 400) -> Probe:
    return Probe(fails, left)


def test_an_edge_is_the_last_distance_that_holds_and_the_next() -> None:
    asked: list[int] = []

    def holds(grid: list[int]) -> list[bool]:
        asked.extend(grid)
        return [d < 12345 for d in grid]

    assert edge(holds, 2**40) == (12344, 12345)
    assert max(asked) <= 2**40
    assert edge(lambda grid: [False for _ in grid], 2**30) == (0, 1)
    assert edge(holds, 0) == (0, None)


def test_extents_end_where_the_failure_does_and_name_what_does_not_matter() -> None:
    arguments = (Argument("x", real), Argument("y", real), Argument("k", parse_domain("index[0,9)")))
    region, immaterial = extents(
        {"x": -20.0, "y": 3.0, "k": 2}, arguments, SINGLE, probe(lambda s: -30 <= s["x"] <= -17.3)
    )
    assert immaterial == ["y", "k"]
    (extent,) = region
    assert (extent.argument, extent.whole) == ("x", False)
    assert -30 <= extent.low < -29.7
    assert -17.5 < extent.high <= -17.3


def test_a_failure_up_to_both_ends_of_the_domain_is_told_as_such() -> None:
    argument = Argument("s", Interval(1.0, 8.0, True, True), shape=(2,))
    found, _ = extents({"s": [2.0, 3.0]}, [argument], SINGLE, probe(lambda s: s["s"][1] < 5))
    assert [(e.argument, e.whole) for e in found] == [("s[0]", True), ("s[1]", False)]
    assert (found[0].low, found[0].high) == (1.0, 8.0)


def test_what_the_budget_does_not_reach_is_left_out() -> None:
    arguments = (Argument("x", real), Argument("y", real))
    tried = []

    def fails(sample: dict[str, Any]) -> bool:
        tried.append(sample)
        return abs(sample["x"]) > 1 and abs(sample["y"]) > 1

    found, immaterial = extents({"x": 4.0, "y": 4.0}, arguments, SINGLE, probe(fails, 26))
    assert len(tried) <= 26
    assert ([e.argument for e in found], immaterial) == (["x"], [])


def test_vectors_shrink_as_a_whole_and_arguments_towards_each_other() -> None:
    arguments = (Argument("v", real, shape=(3,)), Argument("w", real, shape=(3,)))
    sample = {"v": [1.37, -2.24, 5.5], "w": [0.125, 7.75, 3.0625]}
    tried = []

    def fails(s: dict[str, Any]) -> bool:
        tried.append(s)
        return True

    assert shrink(sample, arguments, SINGLE, fails, tries=50) == {"v": [0.0] * 3, "w": [0.0] * 3}
    assert len(tried) <= 4
    equal = shrink({"x": 7.0, "y": 7.123}, (Argument("x", real), Argument("y", real)), SINGLE,
                   lambda s: s["x"] == 7 and 7 <= s["y"] < 7.5, tries=80)  # fmt: skip
    assert equal == {"x": 7.0, "y": 7.0}


def test_discrete_arguments_shrink_towards_their_first_values() -> None:
    arguments = (
        Argument("k", parse_domain("index[0,100)")),
        Argument("b", parse_domain("bool")),
        Argument("c", parse_domain("choice{-1,1}")),
    )
    found = shrink({"k": 77, "b": True, "c": 1.0}, arguments, SINGLE, lambda s: s["k"] >= 5, tries=80)
    assert found == {"k": 5, "b": False, "c": -1.0}


def test_powers_of_two_are_simpler_than_their_decimals() -> None:
    assert complexity(2.0**-20) < complexity(9.54e-7)
    found = shrink({"x": 2.0**-20 * 1.01}, [Argument("x", real)], SINGLE, lambda s: 9.5e-7 < s["x"] < 9.65e-7, 80)
    assert found["x"] == 2.0**-20


def test_what_is_known_to_pass_is_not_tried_again() -> None:
    tried: list[str] = []

    def fails(sample: dict[str, Any]) -> bool:
        tried.append(repr(sample))
        return sample["x"] > 700

    shrink({"x": 1234.5678, "y": 5.25}, (Argument("x", real), Argument("y", real)), SINGLE, fails, tries=200)
    assert len(tried) == len(set(tried))
