"""What strategies draw: legal floats of the dtype, every part of the range, shrinking to plain numbers."""

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from stabkit.errors import DomainError, TargetError
from stabkit.floats import DTYPES, FORMATS, format_of, from_ordinals, neighbours, ordinals, thresholds
from stabkit.losses.gaussian import kl, kl_of_normals
from stabkit.notation import parse_domain
from stabkit.search.lattice import Lattice
from stabkit.strategies import (
    aim_at_excess_bits,
    boundaries,
    edge_cases,
    extreme_floats,
    floats_of,
    inputs_of,
    samples_of,
    tensors,
)
from stabkit.strategies.ranks import magnitude, rank_of, rounded, shorter
from stabkit.zoo import find as find_specs

QUICK = settings(max_examples=3000, database=None, deadline=None)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def drawn(strategy: st.SearchStrategy[Any], count: int = 300) -> list[Any]:
    """What a strategy draws when nothing is shrunk, health checks left on."""
    found: list[Any] = []

    @settings(max_examples=count, database=None, derandomize=True, phases=[Phase.generate])
    @given(strategy)
    def keep(value: Any) -> None:
        found.append(value)

    keep()
    return found


def simplest(strategy: st.SearchStrategy[Any], condition: Callable[[Any], Any], seed: int = 0) -> Any:
    """What a failing draw shrinks to."""
    return find(strategy, condition, settings=QUICK, random=random.Random(seed))


@every_dtype
def test_ranks_are_the_ordinals_of_torch(dtype: torch.dtype) -> None:
    form = format_of(dtype)
    top = int(ordinals(torch.tensor(form.largest, dtype=torch.float64).to(dtype)))
    ranks = torch.randint(0, top, (200,), generator=torch.Generator().manual_seed(0))
    ranks = torch.cat([ranks, torch.tensor([0, 1, 2, top])])
    floats = from_ordinals(ranks, form).double().tolist()
    assert [magnitude(r, form) for r in ranks.tolist()] == floats
    assert [rank_of(-x, form) for x in floats] == ranks.tolist()


@every_dtype
@given(x=st.floats(allow_nan=False, width=64))
def test_rounding_is_torchs(dtype: torch.dtype, x: float) -> None:
    form = format_of(dtype)
    expected = torch.tensor(x, dtype=torch.float64).to(dtype).double().item()
    if form.bits is torch.int16 and math.isfinite(expected):  # torch rounds those twice, by way of float32
        close = torch.tensor(expected, dtype=dtype)
        around = [n.double().item() for n in (neighbours(close, -1), close, neighbours(close))]
        assert abs(x - rounded(x, form)) == min(abs(x - n) for n in around if math.isfinite(n))
    elif form.bits is not torch.int16:
        assert rounded(x, form) == expected


def test_shorter_numbers_enclose_and_are_short() -> None:
    assert shorter(1000.3, 1) == (2000.0, 1000.0)
    assert shorter(-0.0123, 2) == (-0.012, -0.013)
    assert shorter(1.0, 0) == (1.0, 1.0)
    assert shorter(0.0, 2) == (0.0,)


@every_dtype
@pytest.mark.parametrize(
    "text", ["real", "positive", "[0,1]", "(-3.3,1e4]", "[-inf,80]", "(-1e-5,0)", "[0.3,0.4]", "[0,0]"]
)
def test_floats_are_legal_floats_of_the_dtype(dtype: torch.dtype, text: str) -> None:
    domain = parse_domain(text)
    found = drawn(floats_of(dtype, text), 60)
    lattice = Lattice(domain, format_of(dtype))  # type: ignore[arg-type]
    assert all(lattice.contains(x) for x in found)
    assert all(torch.tensor(x, dtype=torch.float64).to(dtype).double().item() == x for x in found)
    assert text == "[0,0]" or len(set(found)) > 10


@every_dtype
def test_floats_come_from_the_whole_range_and_from_everyday_numbers(dtype: torch.dtype) -> None:
    form, found = format_of(dtype), drawn(floats_of(dtype), 600)
    sizes = [abs(x) for x in found if x]
    binades = [math.frexp(x)[1] for x in sizes]
    assert min(binades) < form.emin
    assert max(binades) > form.emax - 3
    assert sum(0.01 < x < 100 for x in sizes) > 60
    parts = [int(3.999 * (b - form.emin) / (form.emax - form.emin)) for b in binades]
    assert all(parts.count(k) > 15 for k in range(4))
    assert {math.copysign(1, x) for x in found} == {1.0, -1.0}
    assert {0.0, 1.0} <= set(found)
    landmarks = {thresholds(form).exp_overflow, thresholds(form).square_overflow, form.largest, form.smallest_subnormal}
    assert landmarks & set(map(abs, found))


def test_subnormals_are_left_out_where_asked() -> None:
    for dtype in ("float16", "float32"):
        least = FORMATS[dtype].smallest_normal
        assert any(0 < abs(x) < least for x in drawn(floats_of(dtype)))
        found = drawn(floats_of(dtype, allow_subnormal=False))
        assert not any(0 < abs(x) < least for x in found)
        assert 0.0 in found


@every_dtype
def test_failures_shrink_to_plain_numbers(dtype: torch.dtype) -> None:
    form = format_of(dtype)

    def plain(strategy: st.SearchStrategy[float], condition: Callable[[float], bool]) -> bool:
        """Whether it shrinks to a number of one digit, as far as the dtype can hold one."""
        x = simplest(strategy, condition)
        return x == rounded(float(f"{x:.0e}"), form)

    assert plain(floats_of(dtype), lambda x: x > 1000.3)
    assert plain(floats_of(dtype), lambda x: x < -1000.3)
    assert plain(floats_of(dtype), lambda x: 0 < x < 1e-5)
    assert plain(floats_of(dtype, "(0,1]"), lambda x: x < 0.3)
    assert simplest(floats_of(dtype), lambda x: x < 5) == 0
    assert simplest(floats_of(dtype), lambda x: 1000.3 < x < 2500) == 2000


@every_dtype
def test_extremes_hold_the_ends_and_the_thresholds(dtype: torch.dtype) -> None:
    form, found = format_of(dtype), set(drawn(extreme_floats(dtype), 800))
    t = thresholds(form)
    for x in (form.largest, form.smallest_normal, form.smallest_subnormal, t.exp_overflow, t.square_overflow, 1.0):
        beside = neighbours(torch.tensor([x], dtype=torch.float64).to(dtype)).double().item()
        assert x in found
        assert math.isinf(beside) or beside in found
    assert set(drawn(extreme_floats(dtype, "[0.25,0.75]"), 200)) >= {0.25, 0.5, 0.75}


def test_boundaries_are_the_floats_next_to_constants() -> None:
    found = set(drawn(boundaries("bfloat16", [20, -1e-12]), 400))
    assert {19.75, 19.875, 20.0, 20.125, 20.5} <= found
    assert len(found) == 18
    assert min(drawn(boundaries("float32", [0.0, 5.0], "[5,9]"), 50)) == 5
    with pytest.raises(DomainError, match="has none in"):
        boundaries("float16", [7.0, 1e9], "[0,1]")


DECLARED = {
    "count": "int[-3,300]",
    "label": "index[0,10)@[*,2]",
    "mask": "bool@[*,3]",
    "sign": "choice{-1,1}",
    "weights": "simplex@[*,4]",
    "fixed": "point{[0.5,2]}@[*,2]",
    "x": "real@[*,2,3]",
    "long": "data:[0,1]@[*,500]",
    "q": "Normal(loc:real,scale:positive)",
    "reduction": "='none'",
}


@every_dtype
@pytest.mark.parametrize("batch", [None, 3])
def test_inputs_are_inside_every_kind_of_domain(dtype: torch.dtype, batch: int | None) -> None:
    lead = () if batch is None else (batch,)
    many = drawn(inputs_of(DECLARED, dtype=dtype, batch=batch), 25)
    for given_ in many:
        assert list(given_) == list(DECLARED)
        floats = {n: given_[n] for n in ("count", "sign", "weights", "fixed", "x", "long")}
        assert {x.dtype for x in floats.values()} == {dtype}
        shapes = {"x": (2, 3), "long": (500,), "weights": (4,), "sign": (), "count": (), "fixed": (2,)}
        assert {n: tuple(x.shape) for n, x in floats.items()} == {n: (*lead, *shapes[n]) for n in floats}
        count = given_["count"].double()
        assert bool(((count >= -3) & (count <= 300) & (count == count.round())).all())
        assert given_["label"].dtype == torch.int64
        assert bool(((given_["label"] >= 0) & (given_["label"] < 10)).all())
        assert given_["mask"].dtype == torch.bool
        assert bool((given_["sign"].abs() == 1).all())
        sums = given_["weights"].double().sum(-1)
        assert torch.allclose(sums, torch.ones_like(sums), atol=8 * format_of(dtype).unit_roundoff)
        assert bool(((given_["long"] >= 0) & (given_["long"] <= 1)).all())
        assert bool((given_["q"].scale > 0).all())
        assert given_["q"].loc.dtype == dtype
        assert given_["reduction"] == "none"
    assert len({bool(g["mask"].any()) for g in many}) == 2


def test_pairs_of_arguments_are_often_equal_or_nearly_so() -> None:
    found = drawn(samples_of(kl, dtype="float32"), 400)
    pairs = [(s["scale1"], s["scale2"]) for s in found]
    assert sum(a == b for a, b in pairs) > 20
    assert sum(a != b and abs(a - b) < 1e-3 * a for a, b in pairs) > 5


def test_specs_functions_and_names_bring_their_domains() -> None:
    (spec,) = find_specs("zoo:kl")
    for target in (spec, kl, "zoo:kl"):
        found = drawn(inputs_of(target, {"mean1": "[3,4]"}, dtype="float64"), 20)
        assert all(g["scale1"] > 0 and 3 <= g["mean1"] <= 4 for g in found)
        assert all(kl(**g).dtype == torch.float64 for g in found)
    assert all(kl_of_normals(**g).shape == () for g in drawn(inputs_of(kl_of_normals), 10))
    guessed = drawn(inputs_of(lambda x, sigma: x / sigma), 30)
    assert all(g["sigma"] > 0 for g in guessed)
    edges = drawn(edge_cases({"x": "real", "n": "bool"}, dtype="float16"), 100)
    marks = {
        x for mark in drawn(extreme_floats("float16"), 1000) for x in (mark, rounded(mark * 1.5, FORMATS["float16"]))
    }
    assert sum(g["x"].item() in marks for g in edges) > 80


def test_inputs_shrink_argument_by_argument() -> None:
    assert simplest(samples_of({"x": "real", "y": "positive@[*,2]"}), lambda s: s["x"] > 5) == {
        "x": 10.0,
        "y": [1.0, 1.0],
    }
    assert float(simplest(tensors("float32", (20,)), lambda x: bool((x > 50).any())).max()) == 100
    assert simplest(tensors("float16", 3, "simplex"), lambda x: x[0] > 0.9).tolist() == [1.0, 0.0, 0.0]


def test_mistakes_are_told() -> None:
    with pytest.raises(DomainError, match="dtype 'float8' is not one of"):
        floats_of("float8")
    with pytest.raises(DomainError, match="is not an interval of floats"):
        floats_of("float16", "bool")
    with pytest.raises(DomainError, match="holds no float16 number"):
        floats_of("float16", "[1e6,1e7]")
    with pytest.raises(DomainError, match="needs a vector"):
        tensors("float16", (), "simplex")
    with pytest.raises(TargetError, match="did you mean 'scale"):
        inputs_of(kl, {"scale": "real"})
    with pytest.raises(DomainError, match="holds no bfloat16 number"):
        drawn(inputs_of({"n": "int[257,257]"}, dtype="bfloat16"))


def test_aiming_needs_no_bits_to_be_lost_and_says_how_many_are() -> None:
    from flint import arb

    from stabkit.arithmetic.enclosure import Enclosure
    from stabkit.judge import judge

    form, seen = FORMATS["float32"], []

    @settings(max_examples=3, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.just(1.0))
    def aim(x: float) -> None:
        for got in (1.0, 1.0 + 2.0**-20, 0.5, math.nan):
            number = judge(0, "value", got, Enclosure.of(arb(x)), form, lambda: arb(0), 1.0)
            seen.append(aim_at_excess_bits([number], form, str(got)))

    aim()
    assert seen[:4] == [-64.0, 4.0, 23.0, 100.0]


@given(
    samples_of(
        {
            "low": "real",
            "high": "(low,inf)",
            "x": "[low,high]",
            "v": "sorted(unit)@[*,4]",
            "n": "int[0,9]",
            "k": "int[0,n]",
        },
        dtype="float16",
    )
)
def test_arguments_that_bound_one_another_are_drawn_legally(sample: dict[str, Any]) -> None:
    assert sample["low"] < sample["high"]
    assert sample["low"] <= sample["x"] <= sample["high"]
    assert sorted(sample["v"]) == sample["v"]
    assert 0 <= sample["k"] <= sample["n"]


@given(inputs_of({"p": "Uniform(low:real,high:(low,inf))", "value": "support(p)"}))
def test_values_lie_in_the_support_of_what_they_are_drawn_beside(inputs: dict[str, Any]) -> None:
    assert inputs["p"].support.check(inputs["value"]).all()
