"""One entry of a catalog: a function that others ship, and what each of its arguments may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stabkit.domain import Parameter
from stabkit.notation import parse_parameter


@dataclass(frozen=True)
class Entry:
    """A ready-made target: no definition, no label.

    Attributes:
        name: unique within its family; a variant's name starts with its function's.
        function: called with all parameters by name.
        parameters: its arguments and their domains.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]


def entry(name: str, function: Callable[..., Any], arguments: str) -> Entry:
    """An entry whose arguments are `--arg` texts with spaces between.

    Example:
        >>> import torch
        >>> [str(p) for p in entry("l1_loss", torch.nn.functional.l1_loss, "input=real target=data:real").parameters]
        ['input=real', 'target=data:real']
    """
    return Entry(name, function, tuple(map(parse_parameter, arguments.split())))
