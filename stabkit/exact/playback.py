"""A program replayed on exact real numbers at one sample, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from flint import arb
from torch import Tensor

from stabkit.arithmetic.ball import Ball
from stabkit.arithmetic.enclosure import Enclosure
from stabkit.arithmetic.evaluate import Truth
from stabkit.domain import Argument
from stabkit.exact import (  # noqa: F401  # they fill the operation table
    activations,
    aggregates,
    distances,
    indexed,
    linear_algebra,
    losses,
    margins,
    order,
    predicates,
)
from stabkit.exact.tensor import ExactTensor, UnsupportedOperationError, balls_of, exact, exact_world
from stabkit.program import Caller, Program, dtype_of


@contextmanager
def exactly(watched_by: AbstractContextManager[Any] | None = None) -> Iterator[None]:
    """Inside it exact tensors can be computed with, and a dispatch mode may see every operation."""
    with exact_world(), watched_by or nullcontext():
        yield


def play(
    program: Program,
    sample: Mapping[str, Any],
    gradient_of: Sequence[str],
    watched_by: AbstractContextManager[Any] | None = None,
) -> Truth:
    """What the program computes in real arithmetic, at Arb's current precision.

    Tensors report the audited dtype, so what the program reads off it is what it really uses; casts between floating
    dtypes change nothing.

    Args:
        sample: numbers or nested lists by argument name; floats, or balls next to them.
        gradient_of: the arguments to differentiate the summed components by.
        watched_by: a dispatch mode that sees every operation.

    Raises:
        UnsupportedOperationError: for an operation that has no exact counterpart.
        Undecided: where the precision does not settle a comparison.
    """
    caller = Caller(program)
    leaves = {a.name: _leaf(a, sample[a.name], program, a.name in gradient_of) for a in program.target.arguments}
    with exactly(watched_by):
        result, slopes = caller.differentiated(leaves)
    if not isinstance(result, ExactTensor):
        raise UnsupportedOperationError("leaving torch, or a result that does not depend on the input,")
    slopes = {n: slopes.get(n, torch.zeros(leaves[n].shape)) for n in gradient_of}
    values = tuple(Enclosure.of(b.x) for b in balls_of(result).reshape(-1))
    gradient = {n: tuple(Enclosure.of(b.x) for b in balls_of(g).reshape(-1)) for n, g in slopes.items()}
    return Truth(values, gradient, 0)


def _leaf(argument: Argument, value: Any, program: Program, differentiate: bool) -> Tensor:
    dtype = dtype_of(argument, program.form)
    shape = (1, *argument.shape) if argument.batch else argument.shape
    if not dtype.is_floating_point:
        return torch.tensor(value, dtype=dtype).reshape(shape)
    numbers = np.empty(shape, dtype=object)
    flat = numbers.reshape(-1)
    for k, number in enumerate(_flattened(value)):
        flat[k] = Ball(arb(number))
    return exact(numbers, dtype).requires_grad_(differentiate)


def _flattened(value: Any) -> list[Any]:
    return [leaf for v in value for leaf in _flattened(v)] if isinstance(value, (list, tuple)) else [value]
