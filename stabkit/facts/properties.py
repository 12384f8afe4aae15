"""What a loss is said to be, whatever rounding does to it: the notation of `--property`. Loads no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from stabkit.domain import Argument, Interval, Point, is_bool, is_index
from stabkit.errors import PropertyError

FORMS = (
    "value >= 0, value <= 1, increasing(x), decreasing(x), even(x), odd(x), symmetric(p,q), shift_invariant(logits), "
    "zero_when(p=q)"
)
OF_ONE = ("increasing", "decreasing", "even", "odd", "shift_invariant")
OF_TWO = {"symmetric": ",", "zero_when": "="}  # what stands between the two
BOUNDS = {">=": "at_least", "<=": "at_most"}
MONOTONE = {"increasing": 1, "decreasing": -1}
NAME = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?"


@dataclass(frozen=True)
class Property:
    """One fact.

    Attributes:
        kind: `at_least`, `at_most`, or the word that it is declared by.
        names: the arguments it speaks of; a distribution object stands for all its parameters.
        bound: of the value.
    """

    kind: str
    names: tuple[str, ...] = ()
    bound: float = 0.0

    @property
    def is_bound(self) -> bool:
        """Whether it bounds the value."""
        return self.kind in BOUNDS.values()

    def __str__(self) -> str:
        for sign, kind in BOUNDS.items():
            if self.kind == kind:
                return (
                    f"value {sign} {self.bound:g}"
                    if float(f"{self.bound:g}") == self.bound
                    else (f"value {sign} {self.bound!r}")
                )
        return f"{self.kind}({OF_TWO.get(self.kind, ',').join(self.names)})"


def parse_property(text: str) -> Property:
    """The property that one `--property` value declares.

    Raises:
        PropertyError: naming what cannot be read.

    Example:
        >>> parse_property("value >= 0")
        Property(kind='at_least', names=(), bound=0.0)
        >>> str(parse_property("symmetric( p , q )"))
        'symmetric(p,q)'
    """
    bound = re.fullmatch(r"\s*value\s*(>=|<=)\s*(\S+)\s*", text)
    if bound:
        return Property(BOUNDS[bound[1]], (), _bound(text, bound[2]))
    call = re.fullmatch(rf"\s*(\w+)\s*\(\s*({NAME})\s*(?:([,=])\s*({NAME})\s*)?\)\s*", text)
    if not call or call[1] not in (*OF_ONE, *OF_TWO):
        raise PropertyError(f"property {text!r}", "is not one that stabkit knows", f"write one of {FORMS}")
    kind, names = call[1], tuple(n for n in (call[2], call[4]) if n)
    if call[3] != OF_TWO.get(kind):
        usual = f"{kind}(p{OF_TWO[kind]}q)" if kind in OF_TWO else f"{kind}(x)"
        raise PropertyError(f"property {text!r}", f"does not read {usual}", "name the arguments so")
    if len(set(names)) < len(names):
        raise PropertyError(f"property {text!r}", "names one argument twice", "name two")
    return Property(kind, names)


def _bound(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise PropertyError(f"property {text!r}", "has no finite bound", "write for instance 'value >= 0'")
    return value


def meant_by(name: str, arguments: Sequence[Argument]) -> list[Argument]:
    """The tensors that a name of a property stands for."""
    return [a for a in arguments if a.name == name or a.name.startswith(f"{name}.")]


def check_property(fact: Property, arguments: Sequence[Argument]) -> None:
    """Raises PropertyError where the arguments are not there, or of a kind that it cannot speak of."""
    meant = [meant_by(n, arguments) for n in fact.names]
    for name, leaves in zip(fact.names, meant, strict=True):
        if not leaves:
            known = ", ".join(a.name for a in arguments)
            raise PropertyError(f"property '{fact}'", f"names {name!r}, which is no argument", f"name one of {known}")
    for a in meant[0] if fact.kind in OF_ONE else ():
        moves = isinstance(a.domain, (Interval, Point)) and not is_index(a.domain) and not is_bool(a.domain)
        if not moves or (fact.kind == "shift_invariant" and not a.shape):
            what = "vector of real numbers" if fact.kind == "shift_invariant" else "real number"
            raise PropertyError(f"property '{fact}'", f"needs a {what}, not {a}", "leave it out or redeclare it")
    if fact.kind in OF_TWO and [a.shape for a in meant[0]] != [a.shape for a in meant[1]]:
        raise PropertyError(f"property '{fact}'", "compares arguments of different shapes", "name two of one shape")
