"""Properties: how they are read, and what breaks them natively."""

import math

import pytest
import torch
from torch import Tensor

import stabkit
from stabkit.domain import Argument, Interval, real
from stabkit.errors import PropertyError, StabkitError
from stabkit.facts.properties import FORMS, Property, check_property, parse_property
from stabkit.finding import Finding, to_float
from stabkit.notation import parse_parameter


@pytest.mark.parametrize("text", FORMS.replace("p,q", "p;q").split(", "))
def test_every_form_that_errors_name_is_read_and_written_back(text: str) -> None:
    text = text.replace(";", ",")
    assert str(parse_property(text)) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("convex(x)", "is not one that stabkit knows"),
        ("value > 0", "is not one that stabkit knows"),
        ("value >= much", "has no finite bound"),
        ("value <= inf", "has no finite bound"),
        ("increasing(x,y)", "does not read increasing(x)"),
        ("symmetric(p=q)", "does not read symmetric(p,q)"),
        ("zero_when(p,q)", "does not read zero_when(p=q)"),
        ("symmetric(p,p)", "names one argument twice"),
        ("", "is not one that stabkit knows"),
    ],
)
def test_what_cannot_be_read_is_told_with_value_rule_and_remedy(text: str, says: str) -> None:
    with pytest.raises(PropertyError) as caught:
        parse_property(text)
    assert repr(text) in caught.value.value
    assert caught.value.rule == says
    assert caught.value.remedy


def test_properties_must_fit_the_arguments() -> None:
    arguments = [Argument("x", real), parse_parameter("label=index[0,3)"), Argument("v", real, shape=(3,))]
    check_property(parse_property("even(x)"), arguments)  # type: ignore[arg-type]
    for text, says in (
        ("even(y)", "name one of x, label, v"),
        ("increasing(label)", "leave it out"),
        ("shift_invariant(x)", "leave it out"),
        ("symmetric(x,v)", "of one shape"),
    ):
        with pytest.raises(PropertyError, match=says):
            check_property(parse_property(text), arguments)  # type: ignore[arg-type]


def test_a_distribution_object_stands_for_its_parameters() -> None:
    built = [Argument(f"{n}.{k}", Interval(0.5, 2, True, True)) for n in "pq" for k in ("loc", "scale")]
    check_property(Property("symmetric", ("p", "q")), built)
    with pytest.raises(PropertyError, match="no argument"):
        check_property(Property("symmetric", ("p", "r")), built)


def broken(function: object, arguments: dict[str, str], *properties: str, dtype: str = "float32") -> list[Finding]:
    result = stabkit.audit(function, arguments, properties=properties, dtypes=[dtype], seconds=8)  # type: ignore[arg-type]
    assert result.targets[0].status in ("audited", "failed"), result.targets[0].reason
    return [f for f in result.findings if f.breaks]


def test_a_step_down_is_found_at_its_two_neighbouring_floats() -> None:
    def loss(x: Tensor) -> Tensor:
        return torch.where(x < 1, x, 0.5 + torch.log(x))

    (found,) = broken(loss, {"x": "[0.1,9]"}, "increasing(x)")
    assert found.neighbour is not None
    assert (found.severity, found.oracle, found.claim) == ("error", "property", "properties_hold")
    assert {found.witness["x"], found.neighbour["x"]} == {1.0, 0.99999994}
    assert {to_float(found.got), to_float(found.truth)} == {0.5, torch.tensor(0.99999994).item()}
    assert "--property 'increasing(x)'" in found.repro
    again = broken(loss, {"x": f"point{{{found.witness['x']}}}"}, "increasing(x)")
    assert [(f.id, f.witness, f.neighbour) for f in again] == [(found.id, found.witness, found.neighbour)]
    assert broken(loss, {"x": "[0.1,9]"}, "decreasing(x)") != []
    assert broken(loss, {"x": "[1,9]"}, "increasing(x)") == []


def test_symmetry_and_zero_on_the_diagonal_of_distributions() -> None:
    def loss(p: torch.distributions.Normal, q: torch.distributions.Normal) -> Tensor:
        return (p.loc - q.loc) ** 2 + (p.scale - q.scale).abs()

    def skewed(p: torch.distributions.Normal, q: torch.distributions.Normal) -> Tensor:
        return loss(p, q) + 0.01 * p.scale

    arguments = dict.fromkeys("pq", "Normal(loc:[-1,1],scale:[1,2])")
    both = ("symmetric(p,q)", "zero_when(p=q)")
    assert broken(loss, arguments, *both) == []
    found = broken(skewed, arguments, *both)
    assert {f.breaks for f in found} == set(both)
    (pair,) = [f for f in found if f.neighbour is not None]
    assert pair.witness["p.scale"] == pair.neighbour["q.scale"] != pair.witness["q.scale"]  # type: ignore[index]


def test_odd_and_even_take_signs_into_account() -> None:
    assert broken(torch.sinh, {"x": "[-3,3]"}, "odd(x)") == []
    assert [f.breaks for f in broken(torch.sinh, {"x": "[-3,3]"}, "even(x)")] == ["even(x)"]
    assert broken(torch.cosh, {"x": "[-3,3]"}, "even(x)", "value >= 1") == []


def test_a_naive_softmax_that_overflows_is_not_shift_invariant() -> None:
    def naive(logits: Tensor) -> Tensor:
        return -torch.log(torch.exp(logits[..., 0]) / torch.exp(logits).sum(-1))

    def stable(logits: Tensor) -> Tensor:
        return -torch.log_softmax(logits, -1)[..., 0]

    domain = {"logits": "[-2000,2000]@[*,2]"}
    (found,) = broken(naive, domain, "shift_invariant(logits)")
    assert found.neighbour is not None
    shifts = [b - a for a, b in zip(found.witness["logits"], found.neighbour["logits"], strict=True)]
    assert shifts[0] == shifts[1] != 0
    assert broken(stable, domain, "shift_invariant(logits)") == []


def test_a_bound_in_decimals_is_not_broken_by_its_own_rounding() -> None:
    assert broken(lambda x: x.clamp(max=0.7), {"x": "[0,1]"}, "value <= 0.7", dtype="float32") == []
    (found,) = broken(lambda x: x.clamp(max=0.7), {"x": "[0,1]"}, "value <= 0.6999")
    assert to_float(found.truth) == 0.6999


def test_what_every_truth_shows_is_a_property_and_its_breach_a_warning() -> None:
    def loss(x: Tensor) -> Tensor:
        return torch.exp(x) - 1 - x

    found = broken(loss, {"x": "[-1,1]"})
    assert [(f.breaks, f.severity) for f in found] == [("value >= 0", "warning")]
    assert to_float(found[0].got) < 0 <= to_float(found[0].truth)
    assert math.expm1(to_float(found[0].witness["x"])) >= to_float(found[0].witness["x"])

    def wobbly(x: Tensor) -> Tensor:
        return (torch.exp(x) - 1) / x

    (step,) = broken(wobbly, {"x": "[1e-4,1]"})
    assert (step.breaks, step.severity) == ("increasing(x)", "warning")


def test_mistakes_in_python_are_raised() -> None:
    with pytest.raises(StabkitError, match="no argument"):
        stabkit.audit(torch.cosh, {"x": "real"}, properties=["even(y)"])
    with pytest.raises(PropertyError, match="is not one that stabkit knows"):
        stabkit.audit(torch.cosh, {"x": "real"}, properties="pretty(x)")
