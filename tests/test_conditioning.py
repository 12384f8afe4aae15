"""Where conditioning looks: every pair of inputs together and apart, both ways, inside the domains."""

import itertools

import torch

from stabkit.conditioning import moved_points, neighbourhood, sign_vectors
from stabkit.domain import Argument
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.search.points import draw

SINGLE, HALF = FORMATS["float32"], FORMATS["float16"]
TEXTS = ("p=unit", "x=real@[*,2]", "k=int[0,9]", "label=index[0,3)", "sign=choice{-1,1}", "mask=bool")
ARGUMENTS = [a for a in map(parse_parameter, TEXTS) if isinstance(a, Argument)]
SAMPLE = {"p": 1.0, "x": [3.0, -0.5], "k": 4.0, "label": 2, "sign": -1.0, "mask": True}


def test_any_two_inputs_move_together_in_some_directions_and_apart_in_others_both_ways() -> None:
    for count in (2, 3, 5, 8):
        for i, j in itertools.combinations(range(count), 2):
            assert {(v[i], v[j]) for v in sign_vectors(count)} == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    assert sorted(sign_vectors(1)) == [(-1,), (1,)]


def test_nothing_leaves_its_domain_and_discrete_values_stay() -> None:
    moved = neighbourhood(SAMPLE, SINGLE, ARGUMENTS)
    assert {s["p"] for s in moved} == {1.0, 1 - SINGLE.unit_roundoff}
    assert {tuple(s["x"]) for s in moved} >= {(3 * (1 + SINGLE.unit_roundoff), -0.5 * (1 + SINGLE.unit_roundoff))}
    for name in ("k", "label", "sign", "mask"):
        assert {s[name] for s in moved} == {SAMPLE[name]}


def test_many_samples_move_as_each_of_them_does() -> None:
    points = draw(ARGUMENTS, HALF, 20, torch.Generator().manual_seed(0))
    wholes = moved_points(points, HALF, ARGUMENTS)
    for row in range(20):
        sample = {n: (x[row].double() if x.is_floating_point() else x[row]).tolist() for n, x in points.items()}
        for alone, whole in zip(neighbourhood(sample, HALF, ARGUMENTS), wholes, strict=True):
            assert alone == {n: x[row].tolist() for n, x in whole.items()}
