"""The notation of --arg: what it means, that it prints as it reads, and what a mistake is told."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stabkit.domain import Argument, Built, Choice, Fixed, Integers, Interval, Point, guess_domain, positive, real, unit
from stabkit.errors import DomainError
from stabkit.floats import FORMATS
from stabkit.notation import parse_domain, parse_parameter
from stabkit.search.lattice import Lattice
from stabkit.search.points import draw

READABLE = [
    "x=real", "x=positive", "x=nonnegative", "x=unit", "x=open-unit", "x=(0.0,10000.0]", "x=[-inf,80.0]",
    "x=int[0,255]", "k=index[0,10)", "b=bool", "t=choice{-1,1}", "w=simplex@[*,4]", "x=data:unit@[*,3,2]", "x=real@[8]",
    "p=Normal(loc=real,scale=positive)".replace("loc=", "loc:").replace("scale=", "scale:"),
    "p=Beta(concentration1:(0.0,9.0]@[*,2],concentration0:positive@[*,2])", "reduction=='none'", "full==True",
    "x=point{[0.5,-inf]}@[*,2]",
]  # fmt: skip


@pytest.mark.parametrize("text", READABLE)
def test_a_parameter_prints_as_it_reads(text: str) -> None:
    assert parse_parameter(str(parse_parameter(text))) == parse_parameter(text)
    assert str(parse_parameter(text)) == text


def test_each_domain_means_what_it_says() -> None:
    assert parse_domain("(0,1e4]") == Interval(0.0, 1e4, low_closed=False, high_closed=True)
    assert parse_domain("int[0,255]") == Integers(0, 255)
    assert parse_domain("index[0,10)") == Integers(0, 9, index=True)
    assert parse_domain("choice{-1,1}") == Choice((-1.0, 1.0))
    assert parse_parameter("x=data:real@[*,8]") == Argument("x", real, data=True, shape=(8,), batch=True)
    assert parse_parameter("x=real@[8]") == Argument("x", real, shape=(8,), batch=False)
    assert parse_parameter("m==None") == Fixed("m", parse_parameter("m==None").domain)  # type: ignore[arg-type, union-attr]
    built = parse_parameter("p=Normal(loc:real,scale:positive)")
    assert isinstance(built, Built)
    assert [a.name for a in built.arguments] == ["p.loc", "p.scale"]
    assert parse_parameter("x=point{-inf}").domain == Point(-math.inf)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "value", "remedy"),
    [
        ("x", "'x'", "NAME=DOMAIN"),
        ("x=plausible", "'plausible'", "use one of"),
        ("x=[2,1]", "'[2,1]'", "smaller bound first"),
        ("x=(1,1)", "'(1,1)'", "close it"),
        ("x=[a b,1]", "'a b'", "decimals"),
        ("x=[nan,1]", "'nan'", "decimals"),
        ("x=real@8", "'8'", "@[*]"),
        ("x=simplex", "simplex", "@[*,3]"),
        ("x==nope", "'nope'", "quote strings"),
        ("x=int[0.2,0.5]", "int[0.2,0.5]", "widen"),
        ("x=point{'a'}", "'a'", "point{"),
        ("2x=real", "'2x=real'", "NAME=DOMAIN"),
    ],
)
def test_a_mistake_is_told_with_value_rule_and_remedy(text: str, value: str, remedy: str) -> None:
    with pytest.raises(DomainError) as caught:
        parse_parameter(text)
    assert value in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("log_scale1", real),
        ("logits", real),
        ("scale", positive),
        ("var", positive),
        ("probs", unit),
        ("x", real),
        ("mu", real),
    ],
)
def test_names_suggest_domains(name: str, domain: Interval) -> None:
    assert guess_domain(name) == domain


def test_bounds_round_inwards() -> None:
    half, single = FORMATS["float16"], FORMATS["float32"]
    assert Lattice(parse_domain("[1e-24,1]"), half).low == half.smallest_subnormal  # type: ignore[arg-type]
    assert Lattice(parse_domain("[0,0.9999999999999]"), single).high == 1 - 2**-24  # type: ignore[arg-type]
    assert Lattice(parse_domain("[0,1e300]"), single).high == single.largest  # type: ignore[arg-type]
    assert Lattice(positive, single).low == single.smallest_subnormal
    assert Lattice(parse_domain("[0.1,0.1]"), half).is_empty  # type: ignore[arg-type]


@given(st.data(), st.sampled_from(sorted(FORMATS)))
def test_every_drawn_value_lies_inside(data: st.DataObject, name: str) -> None:
    form = FORMATS[name]
    low = data.draw(st.floats(-1e4, 1e4))
    high = data.draw(st.floats(low, 2e4).filter(lambda h: h > low + 1e-3 + abs(low) / 50))
    closed = data.draw(st.tuples(st.booleans(), st.booleans()))
    argument = Argument("x", Interval(low, high, *closed), shape=(2,))
    values = draw([argument], form, 256, torch.Generator().manual_seed(0))["x"].double()
    assert values.shape == (256, 2)
    assert bool(((values > low) | (values == low) & closed[0]).all())
    assert bool(((values < high) | (values == high) & closed[1]).all())


def test_draws_are_legal_for_every_kind_of_domain_and_repeat_for_a_seed() -> None:
    texts = (
        "l=[-inf,80]",
        "k=index[0,10)",
        "b=bool",
        "t=choice{-1,1}",
        "w=simplex@[*,4]",
        "n=int[0,300]",
        "f=point{2.5}",
    )
    arguments = [a for a in map(parse_parameter, texts) if isinstance(a, Argument)]
    first, again = (draw(arguments, FORMATS["bfloat16"], 500, torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert first["k"].dtype is torch.int64
    assert set(first["k"].tolist()) == set(range(10))
    assert first["b"].dtype is torch.bool
    assert set(first["t"].tolist()) == {-1.0, 1.0}
    assert bool((first["l"] == -math.inf).any())
    assert float((first["w"].double().sum(-1) - 1).abs().max()) < 0.02
    assert bool((first["n"].double() % 1 == 0).all())
    assert set(first["f"].tolist()) == {2.5}


def test_a_domain_without_a_float_of_the_dtype_says_so() -> None:
    with pytest.raises(DomainError, match="holds no float16 number"):
        draw([Argument("x", Interval(7e4, 8e4, True, True))], FORMATS["float16"], 4, torch.Generator())
