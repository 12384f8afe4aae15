"""What a planted fault is, beside its stable twin."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from stabkit.arithmetic import Number


@dataclass(frozen=True)
class Planted:
    """A fault, its stable twin, and what must catch it, some of it declared."""

    claim: str
    faulty: Callable[..., Tensor]
    stable: Callable[..., Tensor]
    arguments: tuple[str, ...]
    reference: Callable[..., Number] | None = None
    properties: tuple[str, ...] = ()
