"""What is audited: a torch function, its definition, its domain, and whether it is known to be at fault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stabkit.domain import Parameter


@dataclass(frozen=True)
class Status:
    """How a form is labelled: `claim` and `cause` name the known fault of a faulty one."""

    claim: str | None = None
    cause: str | None = None

    @property
    def is_fault(self) -> bool:
        return self.claim is not None


stable = Status()


def fault(claim: str, cause: str) -> Status:
    """The label of a form that is known to break `claim`."""
    return Status(claim, cause)


@dataclass(frozen=True)
class Spec:
    """One entry of the zoo.

    Attributes:
        name: unique within the zoo.
        function: the torch implementation.
        definition: the mathematics meant; takes a number system, then the tensors' parameters in order.
        parameters: its arguments and their domains.
        status: `stable`, or the known fault.
        source: where the form is from.
        constants: keyword arguments that both function and definition receive.
    """

    name: str
    function: Callable[..., Any]
    definition: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    status: Status
    source: str
    constants: Mapping[str, Any] = field(default_factory=dict)
