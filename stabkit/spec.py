"""What is audited: a torch function, its definition, its domain, and whether it is known to be at fault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from stabkit.domain import Parameter


@dataclass(frozen=True)
class Status:
    """How a form is labelled: `claim` and `cause` name the known fault of a faulty one."""

    claim: str | None = None
    cause: str | None = None

    @property
    def is_fault(self) -> bool:
        return self.claim is not None


@dataclass(frozen=True)
class Tolerance:
    """What the error rule lets pass.

    Attributes:
        bits: excess bits up to which a number is right; more is a warning.
        natural_scale: S, in the unit of the value: errors of u S are of no consequence, and errors are errors beyond
            half the significand of that.
    """

    bits: float = 4.0
    natural_scale: float = 1.0


USUAL_TOLERANCE = Tolerance()
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

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        definition: Callable[..., Any],
        parameters: tuple[Parameter, ...],
        status: Status,
        source: str,
        suffix: str = "",
        **constants: Any,
    ) -> Self:
        """The spec of a function under its own name; `suffix` tells several choices of constants apart."""
        return cls(function.__name__ + suffix, function, definition, parameters, status, source, constants)


Definition = TypeVar("Definition", bound=Callable[..., Any])


def also(*alternatives: Callable[..., Any]) -> Callable[[Definition], Definition]:
    """Marks further definitions of the same quantity, with the same parameters; their truths are intersected."""

    def mark(definition: Definition) -> Definition:
        vars(definition)["alternatives"] = alternatives
        return definition

    return mark


def definitions_of(definition: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """A definition and those that `also` names beside it."""
    return definition, *getattr(definition, "alternatives", ())
