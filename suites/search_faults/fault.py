"""What is recorded of a fault that a search has to find."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stabkit.notation import parse_parameter
from stabkit.target import Target


@dataclass(frozen=True)
class Fault:
    """A program that is wrong somewhere in its domain, and the proof that it is.

    Attributes:
        function: the program.
        twin: a program of the same arguments that is right at the witness.
        definition: what is true for one sample, over any number system.
        arguments: as after `--arg`.
        dtype: in which it shows.
        claims: it is found when one of them fails.
        of: the number that is wrong at the witness: `value`, `value[i]`, `gradient:NAME` or `gradient:NAME[i]`.
        at: inputs at which it shows, as JSON, to be rounded to the dtype; text, because Hypothesis tries the numbers
            that it reads in the sources.
        kind: what goes wrong.
        width: where, and so how hard it is to meet by chance.
        source: a thread or function where it is known from; empty for a planted one.
        alone: it is to be found without its definition, the program being its own truth.
    """

    name: str
    function: Callable[..., Tensor]
    twin: Callable[..., Tensor]
    definition: Callable[..., Any]
    arguments: tuple[str, ...]
    dtype: str
    claims: tuple[str, ...]
    of: str
    at: str
    kind: str
    width: str
    source: str = ""
    alone: bool = False

    @property
    def is_real(self) -> bool:
        """Whether it is code in use, or a small copy of it."""
        return bool(self.source)

    @property
    def witness(self) -> dict[str, Any]:
        """Inputs at which it shows."""
        found: dict[str, Any] = json.loads(self.at)
        return found

    def target(self, function: Callable[..., Tensor] | None = None) -> Target:
        """What is to be audited: the program, or another one of the same arguments."""
        parameters = tuple(parse_parameter(text) for text in self.arguments)
        definition = None if self.alone else self.definition
        return Target(self.name, function or self.function, parameters, len(parameters), definition)


def in_float64(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same program run in float64, its result rounded to the dtype of the inputs."""

    def wide(*inputs: Tensor) -> Tensor:
        return function(*(x.double() if x.is_floating_point() else x for x in inputs)).to(inputs[0].dtype)

    return wide
