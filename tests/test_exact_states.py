"""What an element is, finite with a sign, infinite or undefined, after each operation: as in float64 torch.

An exact zero has no sign, so inputs of -0 stand for 0, and what depends on the sign of a zero is undefined.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import flint
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from stabkit.arithmetic.ball import Ball
from stabkit.exact import playback  # noqa: F401  # it fills the operation table
from stabkit.exact.elementwise import BINARY, COMPARISONS, TESTS, UNARY
from stabkit.exact.tensor import balls_of, lifted

VALUES = (0.0, -0.0, 1.0, -1.0, 0.5, math.inf, -math.inf, math.nan)
ROWS = tuple(itertools.product((0.0, 1.0, -2.0, math.inf, -math.inf, math.nan), repeat=3))
OF_FUNCTIONAL = ("silu", "mish", "relu")


def is_negative_zero(x: float) -> bool:
    return x == 0 and math.copysign(1, x) < 0


# The sign of a zero decides: a pole that is reached from either side, or a copied sign.
SIGN_OF_ZERO: dict[str, Callable[..., bool]] = {
    **dict.fromkeys(("reciprocal", "digamma"), lambda x: x == 0),
    **dict.fromkeys(("div", "true_divide", "floor_divide"), lambda x, y: y == 0),
    "pow": lambda x, y: x == 0 and y == -1,
    "rsqrt": is_negative_zero,
    "signbit": is_negative_zero,
    "copysign": lambda x, y: is_negative_zero(y),
    "atan2": lambda y, x: is_negative_zero(x) or is_negative_zero(y),
}
# float64 torch gives NaN at infinity, where there is a limit, or a number for NaN.
NOT_IN_FLOAT64: dict[str, Callable[..., bool]] = {
    **dict.fromkeys(("special_i0", "special_i1", "i0", "special_bessel_j0", "special_bessel_j1"), math.isinf),
    **dict.fromkeys(("igamma", "igammac"), lambda a, x: math.isnan(a) or math.isnan(x)),
}


def torch_function(name: str) -> Callable[..., Tensor]:
    if name == "log_sigmoid":
        return F.logsigmoid
    if name in OF_FUNCTIONAL:
        return getattr(F, name)  # type: ignore[no-any-return]
    return getattr(torch.special, name[8:]) if name.startswith("special_") else getattr(torch, name)  # type: ignore[no-any-return]


def state_of_float(v: float) -> str:
    if math.isnan(v):
        return "undefined"
    if math.isinf(v):
        return "+inf" if v > 0 else "-inf"
    return "+" if v > 0 else "-" if v < 0 else "0"


def state_of_ball(b: Ball) -> str:
    if b.x.is_nan():
        return "undefined"
    if not b.x.is_finite():
        return "+inf" if b.x > 0 else "-inf" if b.x < 0 else "unbounded"
    return "0" if b.x.is_zero() else "+" if b.x > 0 else "-" if b.x < 0 else "of either sign"


def cases() -> Iterator[tuple[str, tuple[float, ...]]]:
    for table, count in ((UNARY, 1), (BINARY, 2), (COMPARISONS, 2), (TESTS, 1)):
        for name in table:
            for arguments in itertools.product(VALUES, repeat=count):
                excused = (SIGN_OF_ZERO.get(name), NOT_IN_FLOAT64.get(name))
                if not any(f is not None and f(*arguments) for f in excused):
                    yield name, arguments


def test_elements_are_in_the_state_that_float64_gives() -> None:
    wrong = []
    for name, arguments in cases():
        plain = [torch.tensor(v, dtype=torch.float64) for v in arguments]
        expected = torch_function(name)(*plain)
        with flint.ctx.workprec(200):
            found = torch_function(name)(*map(lifted, plain))
        if expected.dtype == torch.bool:
            wrong += [(name, arguments, bool(found))] if bool(found) != bool(expected) else []
            continue
        states = state_of_ball(balls_of(found)[()]), state_of_float(expected.item())
        wrong += [(name, arguments, *states)] if states[0] != states[1] else []
    assert not wrong


REDUCED: dict[str, Callable[[Tensor], Any]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "nansum": torch.nansum,
    "prod": torch.prod,
    "amax": torch.amax,
    "amin": torch.amin,
    "max": lambda x: torch.max(x, 0).values,
    "median": torch.median,
    "sort": lambda x: torch.sort(x).values,
    "sort, falling": lambda x: torch.sort(x, descending=True).values,
    "cummax": lambda x: torch.cummax(x, 0).values,
    "cumsum": lambda x: torch.cumsum(x, 0),
    "cumprod": lambda x: torch.cumprod(x, 0),
    "logsumexp": lambda x: torch.logsumexp(x, 0),
    "logcumsumexp": lambda x: torch.logcumsumexp(x, 0),
    "log_softmax": lambda x: torch.log_softmax(x, 0),
    "softmax": lambda x: torch.softmax(x, 0),
    "var": torch.var,
    "norm 1": lambda x: torch.linalg.vector_norm(x, 1),
    "norm 2": lambda x: torch.linalg.vector_norm(x, 2),
    "norm inf": lambda x: torch.linalg.vector_norm(x, math.inf),
    "places": torch.argmax,
    "clamp": lambda x: x.clamp(-1, 1),
    "softplus": F.softplus,
    "elu": F.elu,
    "gelu": F.gelu,
    "hardtanh": F.hardtanh,
    "leaky_relu": F.leaky_relu,
    "logit": torch.logit,
    "nan_to_num": torch.nan_to_num,
    "where": lambda x: torch.where(x > 0, x, -x),
    "dot": lambda x: x @ x,
    "huber": lambda x: F.huber_loss(x, torch.zeros_like(x), reduction="none"),
    "smooth_l1": lambda x: F.smooth_l1_loss(x, torch.zeros_like(x), reduction="none"),
}


# float64 subtracts the largest element first, which leaves inf - inf where the others are driven out.
WITHOUT_INFINITY = ("log_softmax", "softmax")


@pytest.mark.parametrize("name", REDUCED)
def test_rows_are_in_the_state_that_float64_gives(name: str) -> None:
    wrong = []
    for row in ROWS:
        if name in WITHOUT_INFINITY and math.inf in row:
            continue
        plain = torch.tensor(row, dtype=torch.float64)
        expected = [state_of_float(v) for v in REDUCED[name](plain).flatten().tolist()]
        with flint.ctx.workprec(200):
            found = [state_of_ball(b) for b in balls_of(REDUCED[name](lifted(plain))).reshape(-1)]
        wrong += [(row, found, expected)] if found != expected else []
    assert not wrong
