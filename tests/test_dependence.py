"""Arguments that bound one another: read, drawn, moved, shrunk and left room jointly, checked by plain comparisons."""

import math
from collections.abc import Callable
from typing import Any

import flint
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from stabkit.conditioning import moved_points, neighbourhood
from stabkit.dependence import room_around
from stabkit.distribution import distribution_of
from stabkit.domain import Argument, Between, Built, Interval, Parameter, Sorted, Support
from stabkit.errors import DomainError, TargetError
from stabkit.floats import FORMATS, Format, neighbours
from stabkit.notation import parse_parameter
from stabkit.program import Points, Program, sample_of
from stabkit.search.legal import are_legal, moved_inside, moved_past
from stabkit.search.narrowing import draw_near
from stabkit.search.points import draw, probe_points
from stabkit.search.shrink import shrink
from stabkit.target import Target, resolve, target_of

SINGLE = FORMATS["float32"]
every_format = pytest.mark.parametrize("form", FORMATS.values(), ids=lambda f: f.name)


def target(*texts: str) -> Target:
    return Target("t", lambda *_: 0, tuple(map(parse_parameter, texts)))


def arguments(*texts: str) -> tuple[Argument, ...]:
    return target(*texts).arguments


def drawn(texts: tuple[str, ...], form: Format, count: int = 1000) -> Points:
    return draw(arguments(*texts), form, count, Generator().manual_seed(0))


ORDERED: dict[tuple[str, ...], Callable[[dict[str, Tensor]], Tensor]] = {
    ("low=real", "high=(low,inf)"): lambda p: p["low"] < p["high"],
    ("high=(low,inf)", "low=real"): lambda p: p["low"] < p["high"],
    ("a=[0,1]", "b=[a,1]", "c=(b,2)"): lambda p: (
        (p["a"] >= 0) & (p["a"] <= p["b"]) & (p["b"] <= 1) & (p["b"] < p["c"]) & (p["c"] < 2)
    ),
    ("low=real", "high=real", "x=(low,high)"): lambda p: (p["low"] < p["x"]) & (p["x"] < p["high"]),
    ("low=real", "high=(low,inf)", "x=[low,high]@[*,3]"): lambda p: (
        (p["low"] <= p["x"].T) & (p["high"] >= p["x"].T)
    ).all(0),
    ("low=real@[*,2]", "high=(low,inf)@[*,2]", "top=real", "x=(high,top)@[*,2]"): lambda p: (
        (p["low"] < p["high"]) & (p["high"] < p["x"]) & (p["top"] > p["x"].T).T
    ).all(1),
    ("n=int[0,10]", "m=int[0,10]", "x=(n,m)"): lambda p: (p["n"] < p["x"]) & (p["x"] < p["m"]) & (p["m"] % 1 == 0),
    ("n=index[1,300)", "k=int[0,n]"): lambda p: (p["k"] >= 0) & (p["k"] <= p["n"]) & (p["k"] % 1 == 0),
    ("s=choice{1,5,9}", "t=point{7}", "x=(s,t)"): lambda p: (p["s"] < p["x"]) & (p["x"] < 7),
    ("p=Uniform(low:real,high:(low,inf))", "q=Uniform(low:(-inf,p.low],high:[p.high,inf))"): lambda p: (
        (p["q.low"] <= p["p.low"]) & (p["p.low"] < p["p.high"]) & (p["p.high"] <= p["q.high"])
    ),
    ("e=sorted([0,1])@[*,5]", "f=sorted(real)@[*,2,3]"): lambda p: (
        (p["e"].diff(dim=-1) >= 0).all(-1)
        & (p["f"].diff(dim=-1) >= 0).all(-1).all(-1)
        & ((p["e"] >= 0) & (p["e"] <= 1)).all(-1)
    ),
    ("low=[-5,0]", "e=sorted((low,9])@[*,4]"): lambda p: (
        (p["e"].diff(dim=-1) >= 0).all(-1) & (p["e"][:, 0] > p["low"]) & (p["e"][:, -1] <= 9)
    ),
}


def exact(points: Points) -> dict[str, Tensor]:
    return {n: x.double() for n, x in points.items()}


@every_format
@pytest.mark.parametrize("texts", ORDERED, ids=" ".join)
def test_every_draw_and_probe_is_legal_and_what_left_is_moved_back(texts: tuple[str, ...], form: Format) -> None:
    found, points = arguments(*texts), drawn(texts, form)
    assert bool(ORDERED[texts](exact(points)).all())
    assert all(bool(x.double().isfinite().all()) for x in points.values())
    assert bool(are_legal(points, found, form).all())
    assert bool(ORDERED[texts](exact(probe_points(Program(target(*texts), form), 20))).all())
    wild = {n: x.flip(0) if x.is_floating_point() and n != "t" else x for n, x in points.items()}
    for k, name in enumerate(n for n, x in wild.items() if x.is_floating_point() and n != "t"):
        wild[name] = wild[name].roll(k * 7, 0)
        wild[name][:3] = torch.tensor([math.nan, math.inf, -math.inf]).reshape(-1, *(1 for _ in wild[name].shape[1:]))
    assert not bool(ORDERED[texts](exact(wild)).all())
    back = moved_inside(wild, found, form)
    assert bool(ORDERED[texts](exact(back)).all())
    assert bool(are_legal(back, found, form).all())
    assert not bool(are_legal(wild, found, form).all())


@every_format
def test_bounds_are_far_apart_nearly_equal_and_met(form: Format) -> None:
    p = exact(drawn(("low=real", "high=(low,inf)", "x=[low,high]"), form, 4000))
    above = neighbours(p["low"].to(form.dtype)).double()
    for rare in (p["high"] == above, p["x"] == p["low"], p["x"] == p["high"], p["high"] - p["low"] > form.largest / 4):
        assert 0.005 < float(rare.double().mean()) < 0.4
    inside = (p["x"] > p["low"]) & (p["x"] < p["high"]) & (p["low"].abs() < 20) & (p["high"].abs() < 20)
    assert float(inside.double().mean()) > 0.15


def test_sorted_vectors_have_ties_and_plain_domains_are_drawn_as_before() -> None:
    e = drawn(("e=sorted([0,1])@[*,5]",), SINGLE)["e"]
    ties = (e.diff(dim=-1) == 0).any(-1)
    assert 0.05 < float(ties.double().mean()) < 0.9
    assert bool((e == 0).any())
    assert bool((e == 1).any())


SUPPORTED = (
    "Uniform(low:real,high:(low,inf))", "Pareto(scale:positive,alpha:positive)", "Normal(loc:real,scale:positive)",
    "Beta(concentration1:positive,concentration0:positive)", "Gamma(concentration:positive,rate:positive)",
    "LogNormal(loc:real,scale:positive)", "Bernoulli(probs:unit)", "Poisson(rate:positive)",
    "Binomial(probs:unit,total_count:=10)", "Binomial(total_count:int[1,20],probs:unit)", "Geometric(probs:open-unit)",
    "Categorical(logits:real@[*,4])",
)  # fmt: skip
VECTORS = (
    "Uniform(low:real@[*,3],high:(low,inf)@[*,3])", "Dirichlet(concentration:positive@[*,3])",
    "LowRankMultivariateNormal(loc:real@[*,3],cov_factor:real@[*,3,1],cov_diag:positive@[*,3])",
)  # fmt: skip


@every_format
@pytest.mark.parametrize("family", [*SUPPORTED, *VECTORS])
def test_values_lie_where_torch_says_the_support_is(family: str, form: Format) -> None:
    built, shape = parse_parameter(f"p={family}"), "@[*,3]" if family in VECTORS else ""
    assert isinstance(built, Built)
    if "LowRank" in family and form.bits is torch.int16:
        return  # torch factors no matrix in 16 bits
    found = drawn((f"p={family}", f"value=data:support(p){shape}"), form)
    value = found["value"]
    assert value.dtype is form.dtype
    if "Dirichlet" in family:  # torch allows a sum 1e-6 from 1, which rounding to 16 bits leaves
        assert bool((value >= 0).all())
        assert float((value.double().sum(-1) - 1).abs().max()) <= 3 * form.unit_roundoff
        return
    support: Any = distribution_of(built, found, validate_args=False).support
    assert bool(support.check(value).all())
    assert len(value.unique()) > 1


def test_a_support_that_cannot_be_drawn_from_says_so() -> None:
    wishart = "p=Wishart(df:positive,covariance_matrix:real@[*,2,2])"
    with pytest.raises(TargetError, match=r"PositiveDefinite.*cannot be drawn from"):
        arguments(wishart, "x=support(p)@[*,2,2]")
    with pytest.raises(TargetError, match="computed from its parameters"):
        arguments("p=GeneralizedPareto(loc:real,scale:positive,concentration:=-0.5)", "x=support(p)")
    with pytest.raises(TargetError, match=r"not in torch\.distributions"):
        arguments("p=Uniforn(low:real,high:real)", "x=support(p)")
    with pytest.raises(DomainError, match="needs a distribution named 'q'"):
        arguments("p=Normal(loc:real,scale:positive)", "x=support(q)")
    with pytest.raises(DomainError, match="needs a vector"):
        arguments("p=Dirichlet(concentration:positive@[*,3])", "x=support(p)")


@pytest.mark.parametrize(
    ("texts", "rule"),
    [
        (("low=real", "high=(lwo,inf)"), "did you mean 'low'"),
        (("x=[a,1]",), "decimals"),
        (("low=(-inf,high)", "high=(low,inf)"), "low → high → low go round in a circle"),
        (("x=(x,inf)",), "x → x go round in a circle"),
        (("a=real", "b=[-1,a)", "x=(a,b)"), "leave no number between them"),
        (("v=real@[*,2]", "x=(v,inf)@[*,3]"), "has [2] numbers a sample, x [3]"),
        (("v=real@[*,2]", "x=(v,inf)"), "has [2] numbers a sample, x []"),
        (("v=real@[*,2]", "x=sorted((v,inf))@[*,2]"), "give the bound no shape"),
        (("b=bool", "x=(b,inf)"), "is bool, which bounds nothing"),
        (("v=real", "n=int[0,v]"), "declare it as v=int[1,10]"),
    ],
)
def test_what_cannot_bound_is_told(texts: tuple[str, ...], rule: str) -> None:
    with pytest.raises(DomainError) as caught:
        arguments(*texts)
    assert rule in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("x=sorted(real)", "x=sorted(real)@[*,3]"),
        ("x=sorted(bool)@[*,3]", "sorted([0,1])"),
        ("x=sorted(int[0,n])@[*,3]", "sorted([0,1])"),
        ("x=index[0,n)", "indices need numbers"),
        ("x=int[0,n)", "int[0,n]"),
        ("x=support()", "does not name a distribution"),
        ("x=choice{a,1}", "'a'"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, rule: str) -> None:
    with pytest.raises(DomainError) as caught:
        parse_parameter(text)
    assert rule in str(caught.value)


def test_bounds_that_leave_a_dtype_no_number_are_told() -> None:
    with pytest.raises(DomainError, match="no float16 number"):
        drawn(("low=[7e4,9e4]", "high=(low,inf)"), FORMATS["float16"])
    for texts in (("low=point{5}", "x=(low,3]"), ("n=int[6,10]", "m=int[1,3]", "k=int[n,m]")):
        with pytest.raises(DomainError, match="left no float32 number"):
            drawn(texts, SINGLE)


def test_a_name_inside_a_distribution_means_its_sibling_first() -> None:
    found = arguments("low=positive", "p=Uniform(low:real,high:(low,inf))", "x=[low,p.high]")
    assert [str(a) for a in found] == ["low=positive", "low=real", "high=(p.low,inf)", "x=[low,p.high]"]
    assert resolve("torch:kl.uniform_uniform", []).arguments[2].domain == Between(-math.inf, "p.low", False, True)


def test_the_upper_of_two_bounds_is_guessed_above_the_lower() -> None:
    def loss(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return (x - low) / (high - low)

    assert [str(a) for a in target_of(loss, "t", []).guesses] == ["x=real", "low=real", "high=(low,inf)"]
    assert str(target_of(loss, "t", [parse_parameter("low==0.5")]).guesses[-1]) == "high=real"
    assert str(target_of(loss, "t", [parse_parameter("high=positive")]).arguments[-1]) == "high=positive"


names = st.sampled_from(("low", "p.loc", "_q1", "infinity_", "e5"))
numbers = st.floats(allow_nan=False)
closed = st.tuples(st.booleans(), st.booleans())
betweens = st.one_of(
    st.builds(lambda n, b, c: Between(n, b, *c), names, numbers | names, closed),
    st.builds(lambda n, b, c: Between(b, n, *c), names, numbers, closed),
    st.builds(lambda n, b: Between(b, n, True, True, True), names, st.integers(-(2**53), 2**53)),
)
intervals = st.builds(lambda a, b, c: Interval(min(a, b), max(a, b), *c), numbers, numbers, closed).filter(
    lambda i: i.low < i.high
)
plain = betweens | intervals | st.builds(Support, st.sampled_from(("p", "q_2")))
ascending = st.builds(Sorted, intervals | betweens.filter(lambda b: not b.whole))
shapes = st.lists(st.integers(1, 9), max_size=2).map(tuple)
tensors = st.one_of(
    st.builds(lambda d, data, s, b: Argument("x", d, data, s, b or not s), plain, st.booleans(), shapes, st.booleans()),
    st.builds(lambda d, data, s: Argument("x", d, data, (*s, 4)), ascending, st.booleans(), shapes),
)


@settings(max_examples=80, deadline=None)
@given(tensors)
def test_what_is_printed_reads_back(argument: Argument) -> None:
    assert parse_parameter(str(argument)) == argument
    inner: Parameter = Built("p", "Uniform", (Argument("p.low", argument.domain, argument.data, argument.shape),))
    assert parse_parameter(str(inner)) == inner


def test_shrinking_stays_jointly_legal() -> None:
    found, tried = arguments("low=real", "high=(low,inf)", "x=[low,high]"), []

    def fails(sample: dict[str, Any]) -> bool:
        tried.append(sample)
        return bool(sample["x"] > 6)

    start = {"low": 3.7251, "high": 9.1234567, "x": 7.123}
    assert shrink(start, found, SINGLE, fails, 60) == {"low": 0.0, "high": 8.0, "x": 8.0}
    assert tried
    assert all(s["low"] < s["high"] and s["low"] <= s["x"] <= s["high"] for s in tried)
    ordered: list[dict[str, Any]] = []
    edges = shrink(
        {"e": [1.234, 5.678]}, arguments("e=sorted(real)@[*,2]"), SINGLE, lambda s: not ordered.append(s), 60
    )
    assert edges == {"e": [0.0, 0.0]}
    assert all(s["e"] == sorted(s["e"]) for s in ordered)


def follows(low: list[Any], high: list[Any]) -> bool:
    return all(a <= b for a, b in zip(low, high, strict=True))


@every_format
def test_moved_inputs_stay_in_order_and_many_move_as_each_does(form: Format) -> None:
    texts = ("low=real@[*,2]", "high=(low,inf)@[*,2]", "x=[low,high]@[*,2]", "e=sorted(real)@[*,3]")
    found, near = arguments(*texts), drawn(texts, form, 60)
    near["high"][:30] = neighbours(near["low"][:30])
    near["x"][:15], near["x"][15:30] = near["low"][:15], near["high"][15:30]
    wholes = None if form.name == "float64" else moved_points(near, form, found)  # doubles hold no moved double
    farthest = flint.arb(1.01 * form.unit_roundoff)
    for row in range(0, 60, 3):
        sample = sample_of(near, row)
        with flint.ctx.workprec(256):
            for k, moved in enumerate(neighbourhood(sample, form, found)):
                assert follows(moved["low"], moved["high"])
                assert follows(moved["low"], moved["x"])
                assert follows(moved["x"], moved["high"])
                assert follows(moved["e"][:-1], moved["e"][1:])
                for name, value in sample.items():
                    for x, there in zip(value, moved[name], strict=True):
                        assert abs(flint.arb(there) - x) <= farthest * abs(flint.arb(x))
                if wholes is not None:
                    assert moved == {n: x[row].tolist() for n, x in wholes[k].items()}


def test_limits_are_taken_from_where_the_others_leave_room() -> None:
    found = arguments("low=[0,9]", "high=(low,inf)", "x=[low,high]", "e=sorted(real)@[*,3]", "n=int[0,9]")
    room = room_around(found, {"low": 1.0, "high": 2.0, "x": 1.0, "e": [1.0, 1.0, 3.0], "n": 3.0})
    assert room("low", 1.0) == (True, False)
    assert room("x", 1.0) == (False, True)
    assert room("high", 2.0) == (True, True)
    assert room("e", 1.0) == (False, False)
    assert room("e", 3.0) == (True, True)
    assert room("n", 3.0) == (False, False)
    assert room_around(found, {"low": 0.0, "high": 2.0, "x": 1.0, "e": [0.0] * 3, "n": 3.0})("low", 0.0) == (
        False,
        True,
    )


def test_what_a_varied_argument_crosses_gives_way_to_it_by_a_margin() -> None:
    found = arguments("low=real", "high=(low,inf)")
    points = {"low": torch.tensor([1.0, 50.0, -3.0]), "high": torch.tensor([2.0, 2.0, -1e4])}
    first = moved_past(points, found, SINGLE, "low")
    assert first["low"].tolist() == [1.0, 50.0, -3.0]
    assert first["high"].tolist()[0] == 2.0
    assert bool((first["high"][1:] - first["low"][1:] >= 1).all())
    last = moved_past(points, found, SINGLE, "high")
    assert last["high"].tolist() == [2.0, 2.0, -1e4]
    assert bool((last["low"] < last["high"]).all())


VALID: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Tensor]], Tensor]]] = {
    "order": (("x=real@[*,6]",), lambda p: (p["x"].diff(dim=-1) > 0).all(-1)),
    "shell": (("x=[-1,1]@[*,4]",), lambda p: (p["x"].square().sum(-1) - 0.5).abs() < 4e-3),
    "label": (("x=real", "k=index[0,40)"), lambda p: (p["k"] == 3) & (p["x"] > 1)),
    "box": (("x=real", "y=(x,inf)"), lambda p: (p["x"] > 1) & (p["x"] < 1.5) & (p["y"] > 100) & (p["y"] < 1e4)),
}


@pytest.mark.parametrize("name", VALID)
def test_samples_near_valid_ones_are_mostly_valid_and_new(name: str) -> None:
    texts, is_valid = VALID[name]
    found, points = arguments(*texts), drawn(texts, SINGLE, 8000)
    valid = is_valid(exact(points))
    assert 0 < float(valid.double().mean()) < 0.02
    near = draw_near(points, valid, found, SINGLE, 1000, Generator().manual_seed(1))
    assert bool(are_legal(near, found, SINGLE).all())
    again = is_valid(exact(near))
    assert float(again.double().mean()) > 0.5
    table = torch.cat([x.double().reshape(1000, -1) for x in near.values()], 1)[again]
    assert len(table.unique(dim=0)) > 0.5 * len(table)


def test_without_a_valid_sample_the_whole_domain_is_drawn_from() -> None:
    found, points = arguments("x=real"), drawn(("x=real",), SINGLE, 50)
    near = draw_near(points, torch.zeros(50, dtype=torch.bool), found, SINGLE, 50, Generator().manual_seed(0))
    assert torch.equal(near["x"], points["x"])


def test_wide_ranges_of_whole_numbers_are_drawn_from_within_and_small_ones_too() -> None:
    k = drawn(("k=index[0,2147483648)",), SINGLE)["k"]
    assert int(k.max()) <= 2**31 - 1
    assert int(k.min()) >= 0
    assert 0.1 < float((k < 2000).double().mean()) < 0.6
