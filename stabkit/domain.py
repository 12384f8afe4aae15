"""What an argument may be: the notation of `--arg`, and the guesses made where nothing was declared.

`NAME=[data:]DOMAIN[@SHAPE]`. Loads no torch, so that command lines are checked before anything heavy starts.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from stabkit.errors import DomainError

KINDS = (
    "real, positive, nonnegative, unit, open-unit, [a,b], (a,b], int[a,b], index[a,b), bool, choice{a,b}, point{x}, "
    "index{k}, bool{b}, simplex, Normal(loc:real,…), ='literal'"
)
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


Tensors: TypeAlias = Interval | Integers | Booleans | Choice | Point | Simplex


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
    shape = _shape_of(value, argument.name)
    return replace(argument, domain=Point(_of_kind(value, kind, argument.name), kind), shape=shape, guessed=False)


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


def parse_parameter(text: str) -> Parameter:
    """The parameter that one `--arg` value declares.

    Raises:
        DomainError: naming the part that cannot be read.

    Example:
        >>> argument = parse_parameter("scale=data:(0,1e4]@[*,8]")
        >>> argument.domain, argument.data, argument.shape
        (Interval(low=0.0, high=10000.0, low_closed=False, high_closed=True), True, (8,))
    """
    name, equals, body = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise DomainError(
            f"--arg {text!r}", "does not read NAME=DOMAIN", f"write for instance x=real; domains are {KINDS}"
        )
    return _parameter(name.strip(), body.strip())


def _parameter(name: str, body: str) -> Parameter:
    if body.startswith("="):
        return Fixed(name, Literal(_literal(name, body[1:])))
    built = re.fullmatch(r"([A-Z]\w*)\((.*)\)", body, re.DOTALL)
    if built:
        parts = [p.partition(":") for p in parts_of(built[2])]
        tensors = [(key.strip(), rest.strip()) for key, _, rest in parts if not rest.strip().startswith("=")]
        literals = [(key.strip(), rest.strip()[1:]) for key, _, rest in parts if rest.strip().startswith("=")]
        return Built(
            name,
            built[1],
            tuple(_argument(f"{name}.{key}", text) for key, text in tensors),
            tuple(Fixed(key, Literal(_literal(f"{name}.{key}", text))) for key, text in literals),
        )
    return _argument(name, body)


def _argument(name: str, body: str) -> Argument:
    data = body.startswith("data:")
    body = body.removeprefix("data:").strip()
    domain_text, at, shape_text = body.rpartition("@")
    if not at:
        domain_text, shape_text = body, "[*]"
    batch, shape = _shape(name, shape_text.strip())
    domain = parse_domain(domain_text.strip(), name)
    if isinstance(domain, Point) and isinstance(domain.value, list) and _shape_of(domain.value, name) != shape:
        sizes = ",".join(map(str, _shape_of(domain.value, name)))
        raise DomainError(f"point of {name}", "does not have the declared shape", f"write {body}@[*,{sizes}]")
    if isinstance(domain, Simplex) and not shape:
        raise DomainError(f"{name}=simplex", "needs a vector", f"give its length: {name}=simplex@[*,3]")
    return Argument(name, domain, data, shape, batch)


def _shape(name: str, text: str) -> tuple[bool, tuple[int, ...]]:
    match = re.fullmatch(r"\[\s*(\*)?\s*((?(1),|)\s*\d+\s*(?:,\s*\d+\s*)*)?\]", text)
    sizes = tuple(int(n) for n in re.findall(r"\d+", text))
    if not match or not all(sizes) or math.prod(sizes) > MOST_ELEMENTS or not (sizes or match[1]):
        raise DomainError(
            f"shape {text!r} of {name}",
            "is not a list of sizes",
            "write @[*] for a batch of numbers, @[*,8] for vectors, @[8] for one call",
        )
    return bool(match[1]), sizes


def parse_domain(text: str, name: str = "argument") -> Tensors:
    """The domain that a text such as `positive`, `(0,1e4]` or `choice{-1,1}` stands for."""
    if text in NAMED:
        opening, low, high, closing = NAMED[text]
        return Interval(low, high, opening == "[", closing == "]")
    if text == "bool":
        return Booleans()
    if text == "simplex":
        return Simplex()
    braces = re.fullmatch(r"(choice|point|index|bool)\{(.*)\}", text, re.DOTALL)
    if braces and not parts_of(braces[2]):
        raise DomainError(f"domain {text!r} of {name}", "holds no value", "list some: choice{-1,1}")
    if braces and braces[1] == "choice":
        return Choice(tuple(_bound(name, v) for v in parts_of(braces[2])))
    if braces:
        return Point(_of_kind(point_of(braces[2], name), braces[1], name), braces[1])
    span = re.fullmatch(r"(int|index)?\s*([\[(])([^,]+),([^,]+)([\])])", text)
    if not span:
        raise DomainError(f"domain {text!r} of {name}", "is not one that stabkit knows", f"use one of {KINDS}")
    return _span(name, text, span)


def _span(name: str, text: str, span: re.Match[str]) -> Interval | Integers:
    low, high = _bound(name, span[3]), _bound(name, span[4])
    low_closed, high_closed = span[2] == "[", span[5] == "]"
    if span[1] and max(abs(low), abs(high)) > MOST_INTEGER:
        raise DomainError(f"domain {text!r} of {name}", "goes beyond 2**53", "whole numbers need finite bounds")
    if span[1]:
        first = math.ceil(low) if low_closed else math.floor(low) + 1
        last = math.floor(high) if high_closed else math.ceil(high) - 1
        if first > last:
            raise DomainError(f"domain {text!r} of {name}", "holds no whole number", "widen it")
        return Integers(first, last, index=span[1] == "index")
    if low > high or (low == high and not (low_closed and high_closed)):
        raise DomainError(
            f"domain {text!r} of {name}", "is empty", "put the smaller bound first, and close it with [ ] to include it"
        )
    return Interval(low, high, low_closed, high_closed)


def _bound(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise DomainError(f"bound {text.strip()!r} of {name}", "is not a number", "write decimals such as 1e-4, or inf")
    return value


def _literal(name: str, text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        raise DomainError(
            f"literal {text!r} of {name}", "is not a Python literal", f"quote strings: --arg \"{name}=='none'\""
        ) from None


def point_of(text: str, name: str) -> Any:
    """The number, or nested lists of numbers, that a text stands for."""
    try:
        value = ast.literal_eval(re.sub(r"(?<![\w.])(-?)inf\b", r"\g<1>1e999", text.strip()))
    except (ValueError, SyntaxError):
        value = None
    if not all(isinstance(v, (int, float)) for v in _flat(value)):
        raise DomainError(
            f"point {text!r} of {name}", "is not a number or lists of numbers", f"write {name}=point{{[0.5,2]}}@[*,2]"
        )
    return value


def _of_kind(value: Any, kind: str, name: str) -> Any:
    """The value, if it may be one of that kind: indices are whole."""
    if kind == "index" and not all(isinstance(v, int) for v in _flat(value)):
        raise DomainError(f"index {value!r} of {name}", "is not a whole number", f"write {name}=index{{2}}")
    return value


def _flat(value: Any) -> list[Any]:
    return [leaf for v in value for leaf in _flat(v)] if isinstance(value, list) else [value]


def _shape_of(value: Any, name: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    inner = {_shape_of(v, name) for v in value}
    if len(inner) != 1:
        raise DomainError(f"point of {name}", "has rows of different lengths", "make the lists rectangular")
    return len(value), *inner.pop()


def parts_of(text: str) -> list[str]:
    """Splits at the commas outside all brackets."""
    parts, depth, current = [], 0, ""
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
    return [p for p in [*parts, current] if p.strip()]


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
