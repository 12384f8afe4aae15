"""Observing a call: it waits for no device, works in every mode of autograd, and does not observe itself."""

import io
from typing import Any

import pytest
import torch
from torch.distributions import Normal
from torch.utils._python_dispatch import TorchDispatchMode

import stabkit


class _Waits(TorchDispatchMode):
    """Fails where a number is brought to the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_observing_brings_no_number_to_the_host_before_the_end() -> None:
    with stabkit.record(lambda *x, **more: None, io.StringIO()) as watched, _Waits():
        with pytest.raises(AssertionError):
            torch.ones(1).item()
        for tensor in (torch.rand(4, 3), torch.arange(3), torch.tensor([True])):
            watched(x=tensor)
            watched(x=Normal(tensor.float(), 1.0, validate_args=False))
    assert watched.calls == 6


def test_inference_mode_and_no_grad_are_watched_and_nothing_is_data_where_nothing_is_differentiated() -> None:
    with stabkit.record(lambda x, y: x, io.StringIO()) as watched:
        for mode in (torch.inference_mode(), torch.no_grad(), torch.enable_grad()):
            with mode:
                watched(torch.tensor([0.5]), torch.tensor([0.25]))
    assert [str(a) for a in watched.arguments] == ["x=[0.5,0.5]", "y=[0.25,0.25]"]


def test_functions_that_observing_itself_uses_can_be_watched() -> None:
    with stabkit.record(torch.where, io.StringIO()) as where, stabkit.record(torch.stack, io.StringIO()) as stack:
        torch.where(torch.tensor([True]), torch.tensor([0.5]), torch.tensor([0.25]))
        torch.stack([torch.ones(1)])
    assert (where.calls, stack.calls) == (1, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_observing_on_a_gpu_does_not_wait_for_it() -> None:
    x, label = torch.tensor([[0.5, 0.75]], device="cuda"), torch.tensor([1], device="cuda")
    with stabkit.record(lambda x, y: x, io.StringIO()) as watched:
        torch.cuda.set_sync_debug_mode("error")
        try:
            watched(x, label)
            watched(x * 2, label)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert [str(a) for a in watched.arguments] == ["x=[0.5,1.5]@[*,2]", "y=index[0,2)"]
