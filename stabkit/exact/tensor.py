"""A torch tensor of exact real numbers: any program runs on it, forward and backward, every element an Arb ball.

Autograd works above it, so a backward pass runs exactly too. Elements lie in a flat array that views share; the tensor
itself is an index into that array, so an operation that only moves elements is run on the index. Casts between floating
dtypes are the identity; comparisons give plain boolean tensors, or raise Undecided where the precision does not tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from flint import arb
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from stabkit.arithmetic.ball import Ball
from stabkit.exact.place import program_place

Balls: TypeAlias = NDArray[Any]  # of Ball


class UnsupportedOperationError(NotImplementedError):
    """An operation of torch that has no exact counterpart here."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no exact counterpart")
        self.name = name


class ExactTensor(torch.Tensor):
    """Balls under a shape, strides and a dtype; `cells` is shared by views, `places` says where each lies in it."""

    cells: Balls
    places: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, cells: Balls, places: Tensor, dtype: torch.dtype) -> ExactTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, places.shape, strides=places.stride(), storage_offset=places.storage_offset(), dtype=dtype
        )
        made.cells, made.places = cells, places
        return made

    def __repr__(self, *, tensor_contents: object = None) -> str:  # type: ignore[override]
        return f"ExactTensor({balls_of(self)}, dtype={self.dtype})"

    def __format__(self, spec: str) -> str:
        return format(_double(self), spec) if self.dim() == 0 else repr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.numpy(), dtype=dtype)

    def numpy(self, *, force: bool = False) -> NDArray[Any]:
        """The elements rounded to doubles; that this left the exact world is noted."""
        return np.asarray(self._rounded("numpy"))

    def tolist(self) -> Any:
        """The elements rounded to doubles; that this left the exact world is noted."""
        return self._rounded("tolist")

    def _rounded(self, how: str) -> Any:
        leave(how)
        return np.vectorize(lambda b: float(b.x.mid()), otypes=[float])(balls_of(self)).tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return DISPATCH[0](func, args, dict(kwargs or {}))


def _double(x: ExactTensor) -> float:
    return float(balls_of(x).reshape(-1)[0].x.mid())


def item_of(x: ExactTensor) -> float:
    """A tensor of one element as a double; that this left the exact world is noted: what comes of it is rounded."""
    leave("item")
    return _double(x)


def leave(how: str) -> None:
    """Notes that a program takes numbers out of the exact world, and where."""
    noted = _DEPARTURES.get()
    if noted is not None:
        place = program_place()
        noted.append(f"{how}, {Path(place[0]).name}:{place[1]}" if place else how)


@contextmanager
def noted_departures() -> Iterator[list[str]]:
    """Collects how and where programs that run inside take numbers out of the exact world."""
    noted: list[str] = []
    token = _DEPARTURES.set(noted)
    try:
        yield noted
    finally:
        _DEPARTURES.reset(token)


_DEPARTURES: ContextVar[list[str] | None] = ContextVar("departures", default=None)
DISPATCH: list[Callable[[Any, Sequence[Any], dict[str, Any]], Any]] = []  # set by the operation table


def exact(values: Any, dtype: torch.dtype) -> ExactTensor:
    """A new tensor of balls, an array of them or a single one."""
    array = values if isinstance(values, np.ndarray) else _single(values)
    flat = np.ascontiguousarray(array).reshape(-1)
    return ExactTensor(flat, torch.arange(flat.size).reshape(array.shape), dtype)


def _single(value: Any) -> Balls:
    array = np.empty((), dtype=object)
    array[()] = value
    return array


def balls_of(value: Any) -> Balls:
    """The elements of an exact or plain tensor, or of a number, as an array of balls."""
    if isinstance(value, ExactTensor):
        taken = value.cells[value.places.numpy()]
        return taken if isinstance(taken, np.ndarray) else _single(taken)
    if isinstance(value, Tensor):
        with _disable_current_modes():  # they would lift the copies made here
            plain = value.detach()
            numbers = (plain.double() if plain.is_floating_point() else plain).flatten().tolist()
        array = np.empty(len(numbers), dtype=object)
        array[:] = [Ball(arb(v)) for v in numbers]
        return array.reshape(value.shape)
    return value if isinstance(value, np.ndarray) else _single(Ball(arb(value)))


def lifted(tensor: Tensor) -> Tensor:
    """A plain floating tensor as an exact one; others as they are."""
    if isinstance(tensor, ExactTensor) or not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        return tensor
    with _disable_current_modes():
        return ExactTensor(balls_of(tensor).reshape(-1), numbered(tensor), tensor.dtype)


def numbered(like: Tensor) -> Tensor:
    """The places of fresh elements, in the shape and, where they are dense, the strides of another tensor."""
    places = torch.empty_like(like, dtype=torch.int64)
    return places.copy_(torch.arange(places.numel()).reshape(places.shape))


def overwrite(target: Any, values: Any) -> ExactTensor:
    """Writes balls into an exact tensor, through its views."""
    if not isinstance(target, ExactTensor):
        raise UnsupportedOperationError("writing an exact number into a tensor made outside the program")
    array = np.broadcast_to(balls_of(values), tuple(target.shape))
    target.cells[target.places.numpy()] = array if target.dim() else array[()]
    return target


class _Factories(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes exact tensors of what a program creates from nothing, so that it may write exact numbers into them.

    What it computes of plain tensors alone, constants of its own, is computed exactly too.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not isinstance(result, Tensor) or isinstance(result, ExactTensor) or not result.is_floating_point():
            return result
        if func.overloadpacket.__name__ in FACTORIES:
            return lifted(result)
        is_new = not func._schema.is_mutable and not any(r.alias_info for r in func._schema.returns)
        return _of_constants(func, args, kwargs, result) if is_new else result


def _of_constants(func: Any, args: Sequence[Any], kwargs: dict[str, Any], native: Tensor) -> Tensor:
    """An operation on plain tensors in real arithmetic; where there is none, or many numbers, natively, as is noted."""
    if native.numel() > MOST_CONSTANTS:
        leave(f"{func.overloadpacket.__name__} of {native.numel()} constants")
        return native
    try:
        with _disable_current_modes():
            found: Tensor = DISPATCH[0](
                func, [_lifted_within(a) for a in args], {n: _lifted_within(v) for n, v in kwargs.items()}
            )
            return found
    except UnsupportedOperationError as error:
        leave(f"{error.name} of constants")
        return lifted(native)


def _lifted_within(value: Any) -> Any:
    return type(value)(map(_lifted_within, value)) if isinstance(value, (list, tuple)) else lifted(value)


MOST_CONSTANTS = 10_000  # of one operation, that are computed exactly
FACTORIES = frozenset(
    (
        *("zeros", "ones", "full", "empty", "arange", "eye", "scalar_tensor", "lift_fresh", "zeros_like"),
        *("ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty", "clone"),
        *("_to_copy", "rand", "randn", "normal", "rand_like", "randn_like", "bernoulli", "poisson", "binomial"),
        *("_standard_gamma", "_sample_dirichlet"),
    )
)


@contextmanager
def exact_world() -> Any:
    """Inside it, tensors that a program creates are exact."""
    with _Factories():  # type: ignore[no-untyped-call]
        yield
