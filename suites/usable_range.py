"""How far from 0 a function of one number can be used: the last float before it fails, and its neighbour.

The lattice of floats is walked by its ordinals. Nothing is taken to be monotone: a first pass probes floats
uniform in ordinals and every small whole number (in float16 and bfloat16 every float), later passes close in on
the first failure met, and a success met beyond a failure is kept as such.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from stabkit.floats import Format, from_ordinals, ordinals

PROBES = 2**14  # floats a pass at least, and twice as many at most: all that float16 has on one side of 0
MOST_STEPS = 2048  # whole numbers that are probed one by one, as far as all of them are floats


@dataclass(frozen=True)
class Limit:
    """Where a walk from 0 along the floats of one sign first meets one that fails.

    Attributes:
        last: the last float before; None where 0 itself fails.
        beyond: its neighbour, which fails; None where no float probed fails.
        again: a float further out at which nothing fails; None where none was met.
        confirmed: whether both neighbours, evaluated alone, do what they did within a batch.
    """

    last: float | None
    beyond: float | None
    again: float | None = None
    confirmed: bool = True

    @property
    def step(self) -> int | None:
        """The last whole step of 1 that comes before any failure; None where there is none, or no failure."""
        return None if self.last is None or self.beyond is None else math.trunc(self.last)


def limit_of(usable: Callable[[Tensor], Tensor], form: Format, direction: int = -1) -> Limit:
    """The limit of `usable` on the walk from 0 to -largest, or to +largest.

    Args:
        usable: which of the floats [N] can be used, as booleans [N].
        direction: -1 or 1.

    Example:
        >>> from stabkit.floats import FORMATS
        >>> limit_of(lambda p: torch.exp(p) > 0, FORMATS["float16"]).last
        -17.328125
    """

    def floats(ranks: Tensor) -> Tensor:
        return direction * from_ordinals(ranks, form)

    top = int(ordinals(torch.tensor(form.largest, dtype=form.dtype)))
    low, high, again = -1, top + 1, top + 1  # the last success, the first failure and the first success behind it
    while high - low > 1:
        ranks = _between(low, high) if low >= 0 else _first_pass(form, top)
        succeeds = usable(floats(ranks))
        failures = ranks[~succeeds].tolist()
        if low < 0 and not failures:
            return Limit(floats(ranks[-1:]).item(), None)
        high = min([high, *failures])
        low = max([low, *ranks[succeeds & (ranks < high)].tolist()])
        again = min([again, *ranks[succeeds & (ranks > high)].tolist()])
        if low < 0:
            break
    last, beyond, further = (floats(torch.tensor([rank])) for rank in (low, high, again))
    confirmed = not usable(beyond).item() and (low < 0 or bool(usable(last).item()))
    return Limit(last.item() if low >= 0 else None, beyond.item(), further.item() if again <= top else None, confirmed)


@cache
def _first_pass(form: Format, top: int) -> Tensor:
    """Ordinals from 0 to `top`: both ends, uniform ones between, and those of the whole numbers near 0."""
    whole = torch.arange(1, min(2**form.precision, MOST_STEPS) + 1).to(form.dtype)
    return torch.tensor(sorted({0, top, *_between(0, top).tolist(), *ordinals(whole).tolist()}))


def _between(low: int, high: int) -> Tensor:
    """Ordinals strictly between two others, ascending: all of them if one pass takes so many."""
    stride = max((high - low) // PROBES, 1)
    return torch.arange(low + stride, high, stride)
