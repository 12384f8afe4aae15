"""The operations of one run, forward and backward, as they pass: names, numbers and lines of the program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from flint import arb
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stabkit.exact.place import Places, is_backward
from stabkit.exact.tensor import ExactTensor, balls_of

LARGEST_RECORDED = 256  # elements of one sample
MEMORY = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")  # they compute nothing

Doubles: TypeAlias = tuple[float, ...]
Reals: TypeAlias = tuple[arb, ...]


@dataclass(frozen=True)
class Alone:
    """One operation by itself, on the very inputs that the native run gave it.

    Attributes:
        result: the exact elements.
        condition: by how much a relative change of the inputs is amplified, at most over the elements.
    """

    result: Reals
    condition: float


@dataclass(frozen=True)
class Step:
    """One operation: its name and its tensors' elements as doubles.

    Attributes:
        reals: the same elements, inputs and then output, where the run was on exact numbers; else empty.
        place: file and line of the program that it stands for, of a backward operation those of its forward one.
        alone: the operation by itself, where it was asked for and has an exact counterpart.
    """

    name: str
    inputs: tuple[Doubles, ...]
    output: Doubles
    backward: bool
    reals: tuple[Reals, ...] = ()
    place: tuple[str, int] | None = None
    alone: Alone | None = None

    @cached_property
    def tails(self) -> tuple[Doubles, ...]:
        """What share of exact numbers the doubles of inputs and output leave out; empty for floats."""
        return tuple(tuple(map(_tail, row)) for row in self.reals)

    @property
    def label(self) -> str:
        """The name as findings state it."""
        return f"{self.name} (backward)" if self.backward else self.name

    def operands_of(self, element: int) -> Doubles:
        """What made one element of the result: that element of each operand of its size, of others the largest.

        Example:
            >>> Step("mul", ((1.0, 2.0), (-5.0,)), (-5.0, -10.0), False).operands_of(1)
            (2.0, -5.0)
        """
        count = len(self.output)
        return tuple(row[element] if len(row) == count else max(row, key=abs) for row in self.inputs if row)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the floating-point operations that run under it; views and copies are left out.

    Args:
        exact: the run is on exact numbers.
        by_itself: what an operation gives by itself on exact numbers, where that is asked for.
        most_elements: larger tensors are left out.
    """

    def __init__(
        self,
        exact: bool = False,
        by_itself: Callable[[Any, Any, Any], Alone | None] | None = None,
        most_elements: int = LARGEST_RECORDED,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.exact, self.by_itself, self.most_elements = exact, by_itself, most_elements
        self.steps: list[Step] = []
        self._places = Places()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        numbers = [x for x in leaves_in((*args, *kwargs.values())) if self._is_number(x)]
        if func.is_view or not numbers or func.overloadpacket.__name__ in MEMORY:
            result = func(*args, **kwargs)
            self._places.running()
            return result
        before, exactly = [_elements(x) for x in numbers], [_reals(x) for x in numbers] if self.exact else []
        alone = self.by_itself(func, args, kwargs) if self.by_itself else None
        result = func(*args, **kwargs)
        out = next((x for x in leaves_in((result,)) if isinstance(x, Tensor)), None)
        place = self._places.running()
        if out is not None and out.is_floating_point():
            name, backward = func.overloadpacket.__name__.strip("_"), is_backward()
            reals = (*exactly, _reals(out)) if self.exact else ()
            self.steps.append(Step(name, tuple(before), _elements(out), backward, reals, place, alone))
        return result

    def _is_number(self, x: Any) -> bool:
        if isinstance(x, Tensor):
            return x.is_floating_point() and x.numel() <= self.most_elements
        return isinstance(x, float)


def leaves_in(values: Iterable[Any]) -> Iterator[Any]:
    """What an operation takes or returns, lists of tensors opened."""
    for v in values:
        if isinstance(v, (list, tuple)):
            yield from leaves_in(v)
        else:
            yield v


def _elements(x: Any) -> Doubles:
    if isinstance(x, ExactTensor):
        return tuple(float(b.x.mid()) for b in balls_of(x).reshape(-1))
    return tuple(x.detach().double().flatten().tolist()) if isinstance(x, Tensor) else (float(x),)


def _reals(x: Any) -> Reals:
    return tuple(b.x for b in balls_of(x).reshape(-1)) if isinstance(x, ExactTensor) else ()


def _tail(x: arb) -> float:
    middle = x.mid()
    return float((middle - arb(float(middle))) / middle) if middle.is_finite() and not middle.is_zero() else 0.0
