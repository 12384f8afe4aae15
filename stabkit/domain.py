"""What an argument may be, and the guesses made where nothing was declared; `notation` reads it. Loads no torch."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from stabkit.errors import DomainError

MOST_ELEMENTS = 100_000  # of one sample
MOST_INTEGER = 2**53
NAMED = {
    "real": ("(", -math.inf, math.inf, ")"),
    "positive": ("(", 0.0, math.inf, ")"),
    "nonnegative": ("[", 0.0, math.inf, ")"),
    "unit": ("[", 0.0, 1.0, "]"),
    "open-unit": ("(", 0.0, 1.0, ")"),
}


@dataclass(frozen=True)
class Interval:
    """Floats between two bounds; a bound that is not closed is left out, a closed infinity is a legal value."""

    low: float
    high: float
    low_closed: bool
    high_closed: bool

    def __str__(self) -> str:
        for name, (opening, low, high, closing) in NAMED.items():
            if self == Interval(low, high, opening == "[", closing == "]"):
                return name
        return f"{'(['[self.low_closed]}{self.low!r},{self.high!r}{')]'[self.high_closed]}"


@dataclass(frozen=True)
class Integers:
    """Whole numbers from low to high, as floats of the audited dtype, or as int64 if `index`."""

    low: int
    high: int
    index: bool = False

    def __str__(self) -> str:
        return f"index[{self.low},{self.high + 1})" if self.index else f"int[{self.low},{self.high}]"


@dataclass(frozen=True)
class Booleans:
    """True and False, as a bool tensor."""

    def __str__(self) -> str:
        return "bool"


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[float, ...]

    def __str__(self) -> str:
        return "choice{" + ",".join(map(_number, self.values)) + "}"


@dataclass(frozen=True)
class Point:
    """One fixed value: a number, or nested lists for a vector. Reproductions use it.

    Attributes:
        kind: `point` for floats of the audited dtype, `index` for int64, `bool`.
    """

    value: Any
    kind: str = "point"

    def __str__(self) -> str:
        return self.kind + "{" + _nested(self.value) + "}"


@dataclass(frozen=True)
class Simplex:
    """Nonnegative vectors along the last axis whose sum is 1 within rounding."""

    def __str__(self) -> str:
        return "simplex"


@dataclass(frozen=True)
class Between:
    """Floats between two bounds, at least one of them the value of another argument.

    Attributes:
        low, high: a number, or the name of an argument of the same shape or of one number a sample; inside a
            distribution object the plain name of a sibling will do until names are settled.
        whole: only whole numbers, both bounds closed.
    """

    low: float | str
    high: float | str
    low_closed: bool
    high_closed: bool
    whole: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments that bound it."""
        return tuple(bound for bound in (self.low, self.high) if isinstance(bound, str))

    def __str__(self) -> str:
        low, high = (b if isinstance(b, str) else _number(b) if self.whole else repr(b) for b in (self.low, self.high))
        return f"{'int' * self.whole}{'(['[self.low_closed]}{low},{high}{')]'[self.high_closed]}"


@dataclass(frozen=True)
class Sorted:
    """Vectors of such numbers that ascend along the last axis; equal neighbours are legal."""

    of: Interval | Between

    def __str__(self) -> str:
        return f"sorted({self.of})"


@dataclass(frozen=True)
class Support:
    """Values that the distribution object of that name can take."""

    of: str

    def __str__(self) -> str:
        return f"support({self.of})"


Tensors: TypeAlias = Interval | Integers | Booleans | Choice | Point | Simplex | Between | Sorted | Support


def is_index(domain: Tensors) -> bool:
    """Whether its values are int64 tensors."""
    return (isinstance(domain, Integers) and domain.index) or (isinstance(domain, Point) and domain.kind == "index")


def is_bool(domain: Tensors) -> bool:
    """Whether its values are bool tensors."""
    return isinstance(domain, Booleans) or (isinstance(domain, Point) and domain.kind == "bool")


def at_point(argument: Argument, value: Any) -> Argument:
    """An argument fixed at one value, in the shape of that value; indices stay indices.

    Raises:
        DomainError: where the rows of nested lists differ in length.
    """
    kind = "index" if is_index(argument.domain) else "bool" if is_bool(argument.domain) else "point"
    shape = shape_of(value, argument.name)
    return replace(argument, domain=Point(of_kind(value, kind, argument.name), kind), shape=shape, guessed=False)


@dataclass(frozen=True)
class Literal:
    """A Python value passed to the target as it is."""

    value: Any

    def __str__(self) -> str:
        return f"={self.value!r}"


@dataclass(frozen=True)
class Argument:
    """One tensor that the target receives.

    Attributes:
        name: of the parameter; `p.loc` for a parameter of a distribution object.
        domain: its legal values.
        data: not differentiated.
        shape: of one sample, without the batch dimension.
        batch: whether the tensor has a leading dimension that the sweep may choose.
        guessed: whether the domain is a guess of ours.
    """

    name: str
    domain: Tensors
    data: bool = False
    shape: tuple[int, ...] = ()
    batch: bool = True
    guessed: bool = False

    @property
    def is_differentiable(self) -> bool:
        """Whether a gradient with respect to it is asked for."""
        return not self.data and not is_bool(self.domain) and not is_index(self.domain)

    def __str__(self) -> str:
        dims = ["*"] * self.batch + [str(n) for n in self.shape]
        suffix = "" if dims == ["*"] else f"@[{','.join(dims)}]"
        return f"{self.name.rpartition('.')[2]}={'data:' if self.data else ''}{self.domain}{suffix}"


@dataclass(frozen=True)
class Built:
    """A `torch.distributions` object built from tensors and Python values of its own."""

    name: str
    distribution: str
    arguments: tuple[Argument, ...] = field(default_factory=tuple)
    literals: tuple[Fixed, ...] = field(default_factory=tuple)

    def __str__(self) -> str:
        inner = ",".join(str(a).replace("=", ":", 1) for a in (*self.arguments, *self.literals))
        return f"{self.name}={self.distribution}({inner})"


@dataclass(frozen=True)
class Fixed:
    """A literal passed under a name."""

    name: str
    domain: Literal

    def __str__(self) -> str:
        return f"{self.name}={self.domain}"


Parameter: TypeAlias = Argument | Built | Fixed

real = Interval(-math.inf, math.inf, False, False)
positive = Interval(0.0, math.inf, False, False)
nonnegative = Interval(0.0, math.inf, True, False)
unit = Interval(0.0, 1.0, True, True)
open_unit = Interval(0.0, 1.0, False, False)


def of_kind(value: Any, kind: str, name: str) -> Any:
    """The value, if it may be one of that kind: indices are whole."""
    if kind == "index" and not all(isinstance(v, int) for v in flat(value)):
        raise DomainError(f"index {value!r} of {name}", "is not a whole number", f"write {name}=index{{2}}")
    return value


def flat(value: Any) -> list[Any]:
    """The leaves of nested lists, in order."""
    return [leaf for v in value for leaf in flat(v)] if isinstance(value, list) else [value]


def shape_of(value: Any, name: str) -> tuple[int, ...]:
    """The sizes of nested lists.

    Raises:
        DomainError: where the rows of them differ in length.
    """
    if not isinstance(value, list):
        return ()
    inner = {shape_of(v, name) for v in value}
    if len(inner) != 1:
        raise DomainError(f"point of {name}", "has rows of different lengths", "make the lists rectangular")
    return len(value), *inner.pop()


def _number(value: float) -> str:
    return repr(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 1e15 else repr(value)


def _nested(value: Any) -> str:
    return "[" + ",".join(map(_nested, value)) + "]" if isinstance(value, (list, tuple)) else _number(value)


_GUESSES = (
    (r"log(_?|s_?|it)|logits?|energy|score", real),
    (r"probs?|probabilit|^p$|^q$|alpha_bar|rho$", unit),
    (r"(^|_)(x|y|z|mean|mu|loc|input|inputs|pred|prediction|output|target|targets|label)\d*$", real),
    (
        r"scale|sigma|std|stddev|(^|_)var|variance|precision|rate|concentration|alpha|beta|gamma|kappa|temperature|^tau$|^s\d*$|df$|bandwidth",
        positive,
    ),
)


def guess_domain(name: str) -> Interval:
    """The domain that a parameter's name suggests; `real` where it suggests nothing.

    Example:
        >>> guess_domain("log_scale1") == real, guess_domain("scale1") == positive
        (True, True)
    """
    lowered = name.lower()
    return next((domain for pattern, domain in _GUESSES if re.search(pattern, lowered)), real)
