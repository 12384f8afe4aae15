"""Replays without guards: no clamp by fixed bounds, no small constant added."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor

from stabkit.exact.tensor import ExactTensor, balls_of, exact

LARGEST_EPS = 1e-3  # a constant added beyond that is part of the formula
_CLAMPS = frozenset(("clamp", "clip", "clamp_min", "clamp_max"))
_SUMS = frozenset(("add", "sub"))


def without_guard(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor | None:
    """What a guarding operation gives when guards are removed: its operand; None for every other operation."""
    removed = _REMOVED.get()
    if removed is None or not _guards(name.removesuffix("_"), args, kwargs):
        return None
    removed.append(name)
    operand = args[0]
    return operand if name.endswith("_") else exact(balls_of(operand).copy(), operand.dtype)


def _guards(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    if not args or not isinstance(args[0], ExactTensor):
        return False
    others = [*args[1:], *kwargs.values()]
    if name in _CLAMPS:
        return not any(isinstance(v, Tensor) for v in others)
    return name in _SUMS and len(others) == 1 and isinstance(others[0], float) and 0 < abs(others[0]) <= LARGEST_EPS


@contextmanager
def guards_removed() -> Iterator[list[str]]:
    """Inside it, programs run on exact numbers without their guards; yields the operations that were left out."""
    removed: list[str] = []
    token = _REMOVED.set(removed)
    try:
        yield removed
    finally:
        _REMOVED.reset(token)


_REMOVED: ContextVar[list[str] | None] = ContextVar("removed guards", default=None)
