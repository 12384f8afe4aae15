"""Dead gradients: what is one, how far it is dead, and what is none."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from planted_facts import (
    cross_entropy_by_hand,
    detached_target,
    minus_log_sigmoid,
    saturated_and_clamped,
    squared_error,
)
from torch import Tensor

import stabkit
from stabkit.arithmetic import Number, NumberSystem
from stabkit.finding import Finding, Result, to_float


def audited(function: Callable[..., Tensor], arguments: dict[str, str], reference: object = None) -> Result:
    return stabkit.audit(function, arguments, reference=reference, dtypes=["float32"], seconds=8)  # type: ignore[arg-type]


def dead(result: Result) -> list[Finding]:
    return [f for f in result.findings if f.claim == "gradient_is_alive"]


def test_a_clamped_cross_entropy_is_dead_from_the_clamp_on() -> None:
    result = audited(cross_entropy_by_hand, {"x": "[-60,10]"}, minus_log_sigmoid)
    (found,) = dead(result)
    edge = math.log(1e-7 / (1 - 1e-7))  # where sigmoid(x) = 1e-7
    assert found.dead is not None
    assert (found.code, found.severity, found.got, found.dead.along) == ("STB203", "error", 0.0, "x")
    assert to_float(found.dead.nearest) == pytest.approx(edge, rel=1e-4)
    assert torch.func.grad(cross_entropy_by_hand)(torch.tensor(to_float(found.dead.nearest))) != 0
    (extent,) = found.region
    assert (extent.low, extent.whole) == (-60.0, False)
    assert to_float(extent.high) == pytest.approx(edge, rel=1e-2)
    binades = [math.log2(60 / -edge), 2 * 149 + math.log2(60) + math.log2(10)]
    assert found.dead.share == pytest.approx(binades[0] / binades[1], abs=0.02)
    assert not any(f.claim == "gradient_is_accurate" and f.got == 0 for f in result.findings)


def test_a_gradient_that_is_cut_is_dead_everywhere_and_told_as_cut() -> None:
    result = audited(detached_target, {"x": "[-9,9]", "y": "[-9,9]"}, squared_error)
    (found,) = dead(result)
    assert (found.of, found.cause) == ("gradient:y", "detached")
    assert found.dead is not None
    assert (found.dead.along, found.dead.nearest) == ("", None)
    assert {f.claim for f in result.findings} == {"gradient_is_alive"}


def test_saturation_that_a_clamp_hides_is_seen_without_a_reference() -> None:
    (found,) = dead(audited(saturated_and_clamped, {"x": "[2,30]"}))
    assert found.cause == "cancellation"
    assert found.oracle == "program"


def hinge(ctx: NumberSystem, x: Number) -> Number:
    """max(0, 1 - x)."""
    return ctx.maximum(1 - x, ctx.number(0))


def between(ctx: NumberSystem, x: Number) -> Number:
    """x between -1 and 1."""
    return ctx.maximum(ctx.minimum(x, ctx.number(1)), ctx.number(-1))


@pytest.mark.parametrize(
    ("loss", "definition"), [(lambda x: F.relu(1 - x), hinge), (lambda x: x.clamp(-1, 1), between)]
)
@pytest.mark.parametrize("with_reference", [True, False])
def test_a_hinge_or_a_clamp_that_is_meant_is_not_dead(
    loss: Callable[[Tensor], Tensor], definition: object, with_reference: bool
) -> None:
    result = audited(loss, {"x": "[-5,5]"}, definition if with_reference else None)
    assert result.targets[0].status == "audited"
    assert [f for f in result.findings if f.severity != "note"] == []


def test_one_live_element_keeps_a_vector_alive() -> None:
    def loss(x: Tensor) -> Tensor:
        return x[..., 0].detach() * 3 + x[..., 1]

    result = audited(loss, {"x": "[1,9]@[*,2]"}, lambda ctx, x: 3 * x[0] + x[1])
    assert dead(result) == []
    assert {f.of for f in result.findings if f.claim == "gradient_is_accurate"} == {"gradient:x[0]"}
