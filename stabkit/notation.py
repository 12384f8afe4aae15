"""The notation of `--arg`: `NAME=[data:]DOMAIN[@SHAPE]`, read into arguments and their domains.

Loads no torch, so that command lines are checked before anything heavy starts.
"""

from __future__ import annotations

import ast
import math
import re
from typing import Any

from stabkit.domain import (
    MOST_ELEMENTS,
    MOST_INTEGER,
    NAMED,
    Argument,
    Between,
    Booleans,
    Built,
    Choice,
    Fixed,
    Integers,
    Interval,
    Literal,
    Parameter,
    Point,
    Simplex,
    Sorted,
    Support,
    Tensors,
    flat,
    of_kind,
    shape_of,
)
from stabkit.errors import DomainError

KINDS = (
    "real, positive, nonnegative, unit, open-unit, [a,b], (a,b], int[a,b], index[a,b), bool, choice{a,b}, point{x}, "
    "index{k}, bool{b}, simplex, sorted(…), support(p), Normal(loc:real,…), ='literal'; a bound may name an argument"
)


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
    if isinstance(domain, Point) and isinstance(domain.value, list) and shape_of(domain.value, name) != shape:
        sizes = ",".join(map(str, shape_of(domain.value, name)))
        raise DomainError(f"point of {name}", "does not have the declared shape", f"write {body}@[*,{sizes}]")
    if isinstance(domain, (Simplex, Sorted)) and not shape:
        raise DomainError(f"{name}={domain}", "needs a vector", f"give its length: {name}={domain}@[*,3]")
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
    call = re.fullmatch(r"(sorted|support)\((.*)\)", text, re.DOTALL)
    if call:
        return _called(name, call[1], call[2].strip())
    braces = re.fullmatch(r"(choice|point|index|bool)\{(.*)\}", text, re.DOTALL)
    if braces and not parts_of(braces[2]):
        raise DomainError(f"domain {text!r} of {name}", "holds no value", "list some: choice{-1,1}")
    if braces and braces[1] == "choice":
        return Choice(tuple(_value(name, v) for v in parts_of(braces[2])))
    if braces:
        return Point(of_kind(point_of(braces[2], name), braces[1], name), braces[1])
    span = re.fullmatch(r"(int|index)?\s*([\[(])([^,]+),([^,]+)([\])])", text)
    if not span:
        raise DomainError(f"domain {text!r} of {name}", "is not one that stabkit knows", f"use one of {KINDS}")
    return _span(name, text, span)


def _called(name: str, function: str, inner: str) -> Sorted | Support:
    if function == "support":
        if not inner.isidentifier():
            raise DomainError(
                f"support({inner}) of {name}",
                "does not name a distribution",
                "write support(p) beside p=Normal(loc:real,scale:positive)",
            )
        return Support(inner)
    of = parse_domain(inner, name)
    if not isinstance(of, (Interval, Between)) or (isinstance(of, Between) and of.whole):
        raise DomainError(f"sorted({inner}) of {name}", "does not hold an interval", "write for instance sorted([0,1])")
    return Sorted(of)


def _span(name: str, text: str, span: re.Match[str]) -> Interval | Integers | Between:
    low, high = _bound(name, span[3]), _bound(name, span[4])
    low_closed, high_closed = span[2] == "[", span[5] == "]"
    if isinstance(low, str) or isinstance(high, str):
        return _between(name, text, span[1], Between(low, high, low_closed, high_closed, span[1] == "int"))
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


def _between(name: str, text: str, kind: str | None, domain: Between) -> Between:
    """The domain between bounds that name arguments, if it may be one of whole numbers where it is said to be."""
    if kind == "index":
        raise DomainError(f"domain {text!r} of {name}", "has a bound that is no number", "indices need numbers there")
    numbers = [b for b in (domain.low, domain.high) if not isinstance(b, str)]
    plain = domain.low_closed and domain.high_closed and all(b % 1 == 0 and abs(b) <= MOST_INTEGER for b in numbers)
    if domain.whole and not plain:
        raise DomainError(
            f"domain {text!r} of {name}", "is not between two whole numbers", "write for instance int[0,n]"
        )
    return domain


def _bound(name: str, text: str) -> float | str:
    """A number, or the name of an argument."""
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        if all(word.isidentifier() for word in text.split(".", 1)):
            return text
        value = math.nan
    if math.isnan(value):
        raise DomainError(
            f"bound {text!r} of {name}", "is neither a number nor an argument", "write decimals such as 1e-4, or inf"
        )
    return value


def _value(name: str, text: str) -> float:
    bound = _bound(name, text)
    if isinstance(bound, str):
        raise DomainError(f"value {bound!r} of {name}", "is not a number", "write decimals such as 1e-4, or inf")
    return bound


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
    if not all(isinstance(v, (int, float)) for v in flat(value)):
        raise DomainError(
            f"point {text!r} of {name}", "is not a number or lists of numbers", f"write {name}=point{{[0.5,2]}}@[*,2]"
        )
    return value


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
