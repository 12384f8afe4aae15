"""What every stable form promises beside accuracy: dtypes, broadcasting, second derivatives, vmap and compile."""

import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from stabkit.domain import Built, real
from stabkit.floats import DTYPES
from stabkit.spec import Spec
from stabkit.target import leaves_of
from stabkit.zoo import families, find

STABLE = [s for s in find("zoo:gaussian") if not s.status.is_fault]
LOSSES = [s for s in families()["gaussian"] if not s.status.is_fault]
SEVERAL = [s for s in STABLE if len(list(leaves_of(s.parameters))) > 1]
every_form, every_loss, several_inputs = (
    pytest.mark.parametrize("spec", specs, ids=lambda s: s.name) for specs in (STABLE, LOSSES, SEVERAL)
)


def tensors(spec: Spec, count: int = 5, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Everyday inputs, the same at every call."""
    generator = torch.Generator().manual_seed(zlib.crc32(spec.name.encode()))
    drawn = []
    for a in leaves_of(spec.parameters):
        x = torch.randn(count, *a.shape, generator=generator, dtype=torch.float64)
        drawn.append((x if a.domain == real else x.exp()).to(dtype))
    return drawn


def on_tensors(spec: Spec) -> Callable[..., Tensor]:
    """The form as a function of tensors alone."""

    def call(*leaves: Tensor) -> Tensor:
        waiting, arguments = list(leaves), []
        for p in spec.parameters:
            if isinstance(p, Built):
                loc, scale = waiting.pop(0), waiting.pop(0)
                arguments.append(Normal(loc, scale, validate_args=False))
            else:
                arguments.append(waiting.pop(0))
        return spec.function(*arguments, **spec.constants)

    return call


def with_gradient(function: Callable[..., Tensor], leaves: list[Tensor]) -> list[Tensor]:
    """The value, and the slopes of its sum."""
    inputs = [x.clone().requires_grad_() for x in leaves]
    value = function(*inputs)
    return [value.detach(), *torch.autograd.grad(value.sum(), inputs)]


@every_form
def test_first_and_second_derivatives_agree_with_differences(spec: Spec) -> None:
    inputs = [x.requires_grad_() for x in tensors(spec, 3)]
    assert torch.autograd.gradcheck(on_tensors(spec), inputs)
    assert torch.autograd.gradgradcheck(on_tensors(spec), inputs)


@every_form
def test_vmap_equals_a_loop(spec: Spec) -> None:
    function, inputs = on_tensors(spec), tensors(spec)
    looped = torch.stack([function(*row) for row in zip(*inputs, strict=True)])
    assert torch.equal(torch.func.vmap(function)(*inputs), looped)
    numbers = tuple(range(len(inputs)))
    slopes = torch.func.vmap(torch.func.grad(function, numbers))(*inputs)
    assert all(torch.allclose(a, b) for a, b in zip(slopes, with_gradient(function, inputs)[1:], strict=True))


@every_form
def test_compiled_equals_eager(spec: Spec) -> None:
    torch._dynamo.reset()
    function, inputs = on_tensors(spec), tensors(spec)
    compiled = torch.compile(function, backend="eager", fullgraph=True)
    pairs = zip(with_gradient(compiled, inputs), with_gradient(function, inputs), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("dtype", DTYPES)
@every_form
def test_value_and_gradient_have_the_dtype_of_the_inputs(spec: Spec, dtype: torch.dtype) -> None:
    assert {x.dtype for x in with_gradient(on_tensors(spec), tensors(spec, dtype=dtype))} == {dtype}


@several_inputs
def test_mixed_dtypes_give_the_promoted_one_and_each_input_a_gradient_of_its_own(spec: Spec) -> None:
    first, *others = tensors(spec, dtype=torch.float16)
    mixed = with_gradient(on_tensors(spec), [first, *(x.float() for x in others)])
    assert [x.dtype for x in mixed] == [torch.float32, torch.float16, *(torch.float32 for _ in others)]


@several_inputs
def test_inputs_broadcast_and_receive_gradients_of_their_own_shape(spec: Spec) -> None:
    first, *others = tensors(spec)
    narrow = [first, *(x[:1] for x in others)]
    wide = [first, *(x[:1].expand(x.shape) for x in others)]
    got, expected = with_gradient(on_tensors(spec), narrow), with_gradient(on_tensors(spec), wide)
    assert torch.equal(got[0], expected[0])
    assert [g.shape for g in got[1:]] == [x.shape for x in narrow]
    assert all(torch.allclose(g.sum(0), e.sum(0)) for g, e in zip(got[1:], expected[1:], strict=True))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@every_loss
def test_a_reduction_is_that_of_the_elements_and_is_rounded_once(spec: Spec, reduction: str) -> None:
    inputs = tensors(spec)
    reduced = on_tensors(replace(spec, constants={**spec.constants, "reduction": reduction}))
    each = on_tensors(spec)(*inputs)
    assert reduced(*inputs).shape == ()
    assert float(reduced(*inputs)) == pytest.approx(float(getattr(each, reduction)()), rel=1e-15)
    halves = [x.half() for x in inputs]
    exact = getattr(on_tensors(spec)(*(x.float() for x in halves)), reduction)()
    assert reduced(*halves) == exact.half()


@every_loss
def test_a_reduction_that_does_not_exist_is_told(spec: Spec) -> None:
    wrong = on_tensors(replace(spec, constants={**spec.constants, "reduction": "average"}))
    with pytest.raises(ValueError, match=r"'average' is not one of 'none', 'mean', 'sum'; pass reduction='none'"):
        wrong(*tensors(spec))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_form
def test_cuda_agrees_with_the_cpu(spec: Spec) -> None:
    inputs = tensors(spec)
    here = with_gradient(on_tensors(spec), inputs)
    there = with_gradient(on_tensors(spec), [x.cuda() for x in inputs])
    assert all(b.is_cuda and torch.allclose(a, b.cpu(), rtol=1e-13) for a, b in zip(here, there, strict=True))
