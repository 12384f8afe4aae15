"""Constants, indices, flags and other plain tensors among exact ones; and what is no number of the program's own."""

from collections.abc import Callable

import flint
import mpmath
import pytest
import torch
from flint import arb
from torch import Tensor

from stabkit.exact import replay
from stabkit.exact.tensor import UnsupportedOperationError

X = torch.tensor([0.5, 2.0, 7.0], dtype=torch.float64)
WHOLE, FLAGS = torch.tensor([3, 2, 1]), torch.tensor([True, False, True])


def written(x: Tensor) -> Tensor:
    y = x * 1
    y[FLAGS] = torch.tensor(4)
    return y


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.where(x > 1, x, WHOLE),
        lambda x: torch.where(x > 1, WHOLE, x),
        lambda x: torch.where(x > 1, x, FLAGS),
        lambda x: x.masked_fill(x > 1, torch.tensor(3)),
        lambda x: torch.cat([x, WHOLE]),
        lambda x: torch.stack([x, WHOLE]),
        lambda x: x.gather(0, WHOLE - 1),
        lambda x: x[FLAGS],
        lambda x: x * (x - 2).bool(),
        lambda x: x * x.to(torch.bool),
        lambda x: torch.round(x * 11, decimals=-1),
        lambda x: x.var(correction=2),
        lambda x: x * torch.linspace(0, 1, 3, dtype=torch.float64),
        written,
    ],
)
def test_plain_tensors_among_exact_ones_are_numbers(function: Callable[[Tensor], Tensor]) -> None:
    expected, found = function(X), replay(function, X)
    assert found.value.shape == expected.shape
    assert [float(v.mid()) for v in found.value.reshape(-1)] == pytest.approx(expected.flatten().tolist(), rel=1e-14)
    assert found.departures == ()


def test_constants_are_computed_exactly() -> None:
    constant, three = torch.tensor(-20.0), torch.tensor(3)
    cases: list[tuple[Callable[[Tensor], Tensor], Callable[[], mpmath.mpf]]] = [
        (lambda x: torch.log(1 + torch.exp(constant)) * x, lambda: mpmath.log1p(mpmath.exp(-20))),
        (lambda x: x * (three / 10), lambda: mpmath.mpf(3) / 10),
        (lambda x: x * torch.sqrt(three), lambda: mpmath.sqrt(3)),
        (lambda x: x * (torch.arange(1, 4) / 10).sum(), lambda: mpmath.mpf(6) / 10),
        (lambda x: x * torch.linspace(0, 1, 4).sum(), lambda: mpmath.mpf(2)),
    ]
    with mpmath.workdps(60), flint.ctx.workprec(200):
        for function, true in cases:
            value = replay(function, torch.tensor(1.0)).value.item()
            assert abs(value - arb(mpmath.nstr(true(), 55))) < arb(10) ** -50


def test_what_has_no_meaning_in_real_numbers_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedOperationError, match="bits of a tensor"):
        replay(lambda x: x.view(torch.int64).double(), X)
    with pytest.raises(UnsupportedOperationError, match="scatter"):
        replay(lambda x: x.scatter(0, torch.tensor([0]), 5.0, reduce="multiply"), X)


def test_a_row_that_is_wholly_masked_has_no_attention() -> None:
    q = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    mask = torch.tensor([[True, True], [False, False]])

    @torch.no_grad()
    def attend(x: Tensor) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, mask)

    expected, found = attend(q), replay(attend, q)
    assert [float(v.mid()) for v in found.value.reshape(-1)] == expected.flatten().tolist()


def test_one_over_zero_is_what_predicates_see_of_it() -> None:
    zero = torch.tensor([0.0], dtype=torch.float64)
    for function in (
        lambda x: torch.nan_to_num(1 / x.abs(), posinf=7.0),
        lambda x: torch.where(torch.isinf(1 / x.abs()), 1.0, torch.exp(-1 / x.abs())),
        lambda x: (1 / x > 5).double() + x,
    ):
        assert float(replay(function, zero).value[0].mid()) == float(function(zero)[0])


def test_numbers_compared_with_whole_scalars_are_compared_in_their_dtype() -> None:
    x = torch.tensor([2.0**24], dtype=torch.float32)
    assert float(replay(lambda x: torch.where(x == 16777217, x, -x), x).value[0].mid()) == 2.0**24


def test_many_constants_stay_as_they_are_and_certify_nothing() -> None:
    many = torch.linspace(0, 1, 20_000, dtype=torch.float64)
    found = replay(lambda x: x * torch.exp(many).sum(), torch.tensor(1.0))
    assert found.departures[0].partition(",")[0] == "exp of 20000 constants"
