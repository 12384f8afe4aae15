"""From what calls held to declarations: each reads back as itself and leaves out nothing that was observed."""

import io
import math
import shlex
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, LogNormal, Multinomial, Normal

import stabkit
from stabkit.domain import Interval
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.recording.declaration import domain_of, shapes_of
from stabkit.recording.observed import Observed
from stabkit.search.lattice import Lattice


def declared(*calls: tuple[Any, ...]) -> list[str]:
    """The declarations of a function's arguments after these calls, each of which must read back as itself."""
    with stabkit.record(lambda x, y=None: x, io.StringIO()) as watched:
        for call in calls:
            watched(*call)
    for parameter in watched.arguments:
        assert parse_parameter(str(parameter)) == parameter
    return [str(parameter) for parameter in watched.arguments]


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (torch.tensor([-4.05, 5.13]), "x=[-4.1,5.2]"),
        (torch.tensor([2.12e-7, 3.31]), "x=[2.1e-07,3.4]"),
        (torch.tensor([0.0, 0.5]), "x=[0.0,0.5]"),
        (torch.tensor([0.0, 0.5, 1.0]), "x=unit"),
        (torch.tensor([-0.0, 0.5]), "x=[0.0,0.5]"),
        (torch.tensor([5e-324, 1.79e308], dtype=torch.float64), "x=[5e-324,1.79e+308]"),
        (torch.tensor([-math.inf, 3.12]), "x=[-inf,3.2]"),
        (torch.tensor([0.25, math.inf]), "x=[0.25,inf]"),
        (torch.tensor([math.inf, -math.inf]), "x=[-inf,inf]"),
        (torch.tensor([0.0, 255.0, 3.0]), "x=int[0,255]"),
        (torch.tensor([0.0, 256.0]), "x=[0.0,260.0]"),
        (torch.tensor([1e30]), "x=[1e+30,1.1e+30]"),
        (torch.tensor([-1.0, 1.0, 1.0]), "x=choice{-1,1}"),
        (torch.tensor([-1.0, 0.0, 1.0]), "x=int[-1,1]"),
        (torch.tensor([3, 9, 0]), "x=index[0,10)"),
        (torch.tensor([3, -100]), "x=index[-100,4)"),
        (torch.tensor([255], dtype=torch.uint8), "x=index[0,256)"),
        (torch.tensor([True]), "x=bool"),
        (torch.tensor([[0.25, 0.75], [1.0, 0.0]]), "x=simplex@[*,2]"),
        (torch.tensor([[0.25, 0.75], [1.0, 0.5]]), "x=[0.25,1.0]@[*,2]"),
        (torch.tensor([0.25, 0.75]), "x=[0.25,0.75]"),
        (torch.tensor([0.5, 65504.0], dtype=torch.float16), "x=[0.5,66000.0]"),
        (torch.tensor(0.25), "x=[0.25,0.25]"),
        (torch.ones(2, 3, 512, 512) / 3, "x=[0.33,0.34]@[*,3,128,128]"),
    ],
)
def test_one_tensor_is_declared(tensor: Tensor, text: str) -> None:
    assert declared((tensor,)) == [text]


def test_whole_numbers_that_are_differentiated_are_where_they_happened_to_be() -> None:
    assert declared((torch.tensor([0.0, 2.0], requires_grad=True),)) == ["x=[0.0,2.0]"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_softmax_of_every_dtype_is_a_simplex_and_its_logarithm_is_none(dtype: torch.dtype) -> None:
    logits = torch.linspace(-9, 7, 40_000).reshape(4, 10_000).sin() * 8
    assert declared((logits.to(dtype).softmax(-1),)) == ["x=simplex@[*,10000]"]
    assert declared((logits.to(dtype).softmax(-1) * 1.25,)) != ["x=simplex@[*,10000]"]


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=6))
def test_every_number_observed_is_a_legal_value_of_what_is_declared(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    with stabkit.record(lambda x: x, io.StringIO()) as watched:
        watched(x)
    domain = watched.arguments[0].domain  # type: ignore[union-attr]
    assert isinstance(domain, Interval)
    assert parse_parameter(str(watched.arguments[0])) == watched.arguments[0]
    assert all(Lattice(domain, FORMATS["float32"]).contains(v) for v in values)
    finite = [v for v in values if math.isfinite(v)]
    if len(finite) == len(values):
        assert (domain.low > 0) == (min(values) > 0)
        assert (domain.high < 0) == (max(values) < 0)


def test_extremes_run_over_all_calls_and_dtypes() -> None:
    calls = [(torch.tensor([0.5, v], dtype=d),) for v, d in ((-2.0, torch.float16), (7.25, torch.float64))]
    assert declared(*calls) == ["x=[-2.0,7.3]"]
    assert declared((torch.tensor([[0.5, 0.5]]),), (torch.tensor([[0.5, 0.25]]),)) == ["x=[0.25,0.5]@[*,2]"]
    assert declared((torch.tensor([1.0]),), (torch.tensor([1.5]),)) == ["x=[1.0,1.5]"]


@pytest.mark.parametrize(
    ("layouts", "shapes"),
    [
        ([{"x": (8, 3), "y": (8,)}], {"x": (True, (3,)), "y": (True, ())}),
        ([{"x": (8, 3), "y": (3,)}], {"x": (True, (3,)), "y": (False, (3,))}),
        ([{"x": (3, 3), "y": (3,)}, {"x": (8, 3), "y": (3,)}], {"x": (True, (3,)), "y": (False, (3,))}),
        ([{"x": (8, 3), "y": (1, 3)}], {"x": (True, (3,)), "y": (False, (1, 3))}),
        ([{"y": (1, 3), "x": (8, 3)}], {"y": (False, (1, 3)), "x": (True, (3,))}),
        ([{"x": (5, 2), "y": (7, 2)}], {"x": (False, (5, 2)), "y": (False, (7, 2))}),
        ([{"x": (5, 2), "y": (7, 2), "t": ()}], {"x": (False, (5, 2)), "y": (False, (7, 2)), "t": (False, (1,))}),
        ([{"x": (8, 3, 2), "t": ()}], {"x": (True, (3, 2)), "t": (True, (1, 1))}),
        ([{"x": (), "t": ()}], {"x": (True, ()), "t": (True, ())}),
        ([{"x": (4, 9), "y": (4, 9)}, {"x": (2, 6), "y": (2, 6)}], {"x": (True, (6,)), "y": (True, (6,))}),
    ],
)
def test_the_batch_is_what_arguments_share(layouts: list[Any], shapes: dict[str, Any]) -> None:
    assert shapes_of(layouts)[0] == shapes


def test_sizes_that_vary_are_noted() -> None:
    assert shapes_of([{"x": (4, 9)}, {"x": (3, 9)}])[1] == []
    assert shapes_of([{"x": (4, 9)}, {"x": (4, 6)}])[1] == [
        "x: its shape varies from call to call; the smallest sizes are declared"
    ]


@pytest.mark.parametrize(
    ("distribution", "text"),
    [
        (Bernoulli(logits=torch.tensor([0.5])), "x=Bernoulli(logits:[0.5,0.5])"),
        (Bernoulli(probs=torch.tensor([0.5])), "x=Bernoulli(probs:[0.5,0.5])"),
        (Categorical(probs=torch.tensor([[0.5, 1.5]])), "x=Categorical(probs:simplex@[*,2])"),
        (LogNormal(torch.tensor([0.5]), torch.tensor([0.25])), "x=LogNormal(loc:[0.5,0.5],scale:[0.25,0.25])"),
        (Normal(0.5, 0.25), "x=Normal(loc:[0.5,0.5],scale:[0.25,0.25])"),
    ],
)
def test_distributions_are_declared_by_what_they_were_built_from(distribution: Distribution, text: str) -> None:
    if isinstance(distribution, Bernoulli):
        distribution.entropy()  # computes the other parameter
    assert declared((distribution,)) == [text]


def test_what_cannot_be_declared_is_noted() -> None:
    def loss(x: Tensor, *rest: Any, **more: Any) -> Tensor:
        return x

    with stabkit.record(loss, io.StringIO()) as watched:
        watched(
            torch.tensor([0.5]), torch.tensor([1.0]), mode="it's", size=(1, 2), nothing=None, dtype=torch.float32,
            infinite=math.inf, several=[torch.ones(1)], empty=torch.ones(0), sparse=torch.eye(2).to_sparse(),
            meta=torch.ones(2, device="meta"),
            independent=Independent(Normal(torch.zeros(2), torch.ones(2)), 1), counts=Multinomial(3, torch.ones(2)),
            extra=torch.tensor([2.5]),
        )  # fmt: skip
    assert [str(a) for a in watched.arguments] == [
        "x=[0.5,0.5]", """mode=="it's\"""", "size==(1, 2)", "nothing==None", "extra=[2.5,2.5]",
    ]  # fmt: skip
    unsaid = ["*rest", "dtype", "infinite", "several", "empty", "sparse", "meta", "independent", "counts"]
    assert [n.partition(":")[0] for n in watched.notes if "cannot be declared" in n] == unsaid
    assert shlex.split(watched.command)[4::2] == [str(a) for a in watched.arguments]


def test_an_argument_in_several_forms_is_declared_as_a_tensor() -> None:
    with stabkit.record(lambda x: x, io.StringIO()) as watched:
        for value in (0.5, None, torch.tensor([0.75])):
            watched(value)
    assert [str(a) for a in watched.arguments] == ["x=[0.75,0.75]"]
    assert "x: literal in 2 of 3 calls" in watched.notes


def test_an_observed_domain_says_what_it_means() -> None:
    assert str(domain_of(Observed("float", math.inf, -math.inf, nans=3))) == "real"
    assert str(domain_of(Observed("float", 0.25, 0.5, whole=False, nans=1, simplex=True), row=2)) == "[0.25,0.5]"
