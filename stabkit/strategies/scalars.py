"""Strategies for single floats of a dtype, given as Python floats that the dtype holds exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeAlias

import torch
from hypothesis import strategies as st

from stabkit.domain import Interval, real
from stabkit.errors import DomainError
from stabkit.floats import FORMATS, Format
from stabkit.notation import parse_domain
from stabkit.search.lattice import Lattice
from stabkit.search.shrink import complexity
from stabkit.strategies.ranks import magnitude, rank_of, rounded, shorter

EVERYDAY = 1e-6, 1e6
SOURCES = ("plain", "everyday", "everyday", "whole", "whole", "whole", "landmark", "near", "landmark")
DIGITS = (0, 1, 2, 3, None, None, None, None, None)  # of a drawn number; None leaves it as it is
STEPS = 4

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]


def format_named(dtype: str | torch.dtype) -> Format:
    """The format of a dtype or its name.

    Raises:
        DomainError: unless it is one of the four.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in FORMATS:
        raise DomainError(f"dtype {name!r}", f"is not one of {', '.join(FORMATS)}", "name one of them")
    return FORMATS[name]


def floats_of(
    dtype: str | torch.dtype, domain: str | Interval = real, *, allow_subnormal: bool = True
) -> st.SearchStrategy[float]:
    """Floats of a dtype inside a domain: uniform in ordinals, everyday ones, landmarks, and some next to plain numbers.

    They shrink to numbers of few digits, towards 0 and 1. Infinities are drawn where the domain closes them in.

    Args:
        dtype: one of the four of `stabkit.floats`, or its name.
        domain: as after `--arg NAME=`, such as `real`, `positive` or `(0,1e4]`.
        allow_subnormal: whether numbers below the smallest normal one are drawn, other than 0.

    Raises:
        DomainError: for a domain that is no interval, or holds no float of the dtype.

    Example:
        >>> from hypothesis import find
        >>> find(floats_of("float16"), lambda x: x > 1000.3), find(floats_of(torch.float64, "(0,1]"), lambda x: x < 0.3)
        (10000.0, 0.1)
    """
    return drawn_from(_lattice(dtype, domain), allow_subnormal)


def extreme_floats(dtype: str | torch.dtype, domain: str | Interval = real) -> st.SearchStrategy[float]:
    """Floats of a dtype at which programs tend to break, with their neighbours.

    They are zeros, the ends of the range and of the domain, the smallest normal and subnormal number, 1 and its
    neighbours, and where exp, log, the square and the reciprocal leave the range; of both signs.

    Raises:
        DomainError: for a domain that is no interval, or holds no float of the dtype.

    Example:
        >>> from hypothesis import find
        >>> find(extreme_floats("float32", "[1,2]"), lambda x: x > 1.5)
        2.0
    """
    return st.sampled_from(_marks(_lattice(dtype, domain)))


def boundaries(
    dtype: str | torch.dtype, constants: Iterable[float], domain: str | Interval = real
) -> st.SearchStrategy[float]:
    """Floats of a dtype next to a program's constants: the thresholds it compares with, bounds of its clamps.

    Each is the constant rounded to the dtype, or up to four floats from it.

    Args:
        constants: finite numbers as the program states them.

    Raises:
        DomainError: where none of them lies in the domain.

    Example:
        >>> from hypothesis import find
        >>> find(boundaries("bfloat16", [20.0]), lambda x: x > 20)
        20.125
    """
    lattice = _lattice(dtype, domain)
    form = lattice.form
    found: list[float] = []
    for c in map(float, constants):
        middle = rounded(c, form)
        if math.isfinite(middle):
            ranks = range(max(rank_of(middle, form) - STEPS, 0), rank_of(middle, form) + STEPS + 1)
            beside = [math.copysign(magnitude(r, form), middle) for r in ranks]
            found += sorted(beside, key=lambda x: abs(x - middle))
    inside = [x for x in dict.fromkeys(found) if lattice.contains(x) and math.isfinite(x)]
    if not inside:
        raise DomainError("the list of constants", f"has none in {lattice.domain}", "name some inside the domain")
    return st.sampled_from(inside)


def drawn_from(lattice: Lattice, allow_subnormal: bool = True) -> st.SearchStrategy[float]:
    """The floats of a lattice; `floats_of` says how."""
    return _drawn(_Drawer(lattice, allow_subnormal))


def marks_of(lattice: Lattice) -> st.SearchStrategy[float]:
    """The landmarks of a lattice, the simplest first."""
    return st.sampled_from(_marks(lattice))


def _lattice(dtype: str | torch.dtype, domain: str | Interval) -> Lattice:
    parsed = parse_domain(domain) if isinstance(domain, str) else domain
    if not isinstance(parsed, Interval):
        raise DomainError(
            f"domain {str(parsed)!r}", "is not an interval of floats", "draw it with tensors or inputs_of"
        )
    return legal(Lattice(parsed, format_named(dtype)))


def legal(lattice: Lattice) -> Lattice:
    """The lattice, if there is a float in it; DomainError else."""
    if lattice.is_empty:
        lattice.draw("simple", 1, torch.Generator())  # says what is wrong with the domain
    return lattice


def _marks(lattice: Lattice) -> list[float]:
    return sorted(lattice.landmarks.tolist(), key=complexity)


@dataclass(frozen=True)
class _Stretch:
    """Neighbouring floats, counted from the one nearest to 1 or -1 outwards.

    Attributes:
        first: the rank of the magnitude that is counted from.
        step: 1 away from zero, -1 towards it.
    """

    sign: float
    first: int
    step: int
    count: int

    def at(self, offset: int, form: Format) -> float:
        """The float so many steps out."""
        return self.sign * magnitude(self.first + self.step * offset, form)


@dataclass(frozen=True)
class _Drawer:
    """What is drawn from one lattice, worked out once."""

    lattice: Lattice
    allow_subnormal: bool

    @cached_property
    def least(self) -> float:
        """The smallest magnitude that is drawn beside 0."""
        form = self.lattice.form
        return form.smallest_subnormal if self.allow_subnormal else form.smallest_normal

    @cached_property
    def size(self) -> int:
        """Bytes that it takes to number the floats of any stretch, and to tell where to look near a plain one."""
        return max([2, *(math.ceil(s.count.bit_length() / 8) for s in self.stretches["whole"])])

    @cached_property
    def plain(self) -> list[float]:
        """Numbers of one digit, 0 first where it is legal."""
        return list(filter(self.holds, self.lattice.simple.tolist())) or self.marks

    @cached_property
    def marks(self) -> list[float]:
        """Landmarks, the simplest first."""
        found = list(filter(self.holds, _marks(self.lattice)))
        return [*found, -0.0] if self.lattice.low < 0 <= self.lattice.high else found

    @cached_property
    def stretches(self) -> dict[str, list[_Stretch]]:
        """The runs of floats to draw from: of all, and of everyday sizes where there are some."""
        whole = self._within(self.least, self.lattice.form.largest)
        return {"whole": whole, "everyday": self._within(max(EVERYDAY[0], self.least), EVERYDAY[1]) or whole}

    def _within(self, smallest: float, largest: float) -> list[_Stretch]:
        """Runs of floats of those sizes, the positive ones first."""
        low, high, form, found = self.lattice.low, self.lattice.high, self.lattice.form, []
        least, most = rounded(smallest, form), min(rounded(largest, form), form.largest)
        for sign, near, far in ((1.0, max(low, least), min(high, most)), (-1.0, max(-high, least), min(-low, most))):
            if near <= far:
                first, last = rank_of(near, form), rank_of(far, form)
                one = min(max(rank_of(1.0, form), first), last)
                found.append(_Stretch(sign, one, 1, last - one + 1))
                found += [_Stretch(sign, one - 1, -1, one - first)] if one > first else []
        return found

    def holds(self, x: float) -> bool:
        """Whether a float is legal here."""
        return self.lattice.contains(x) and (abs(x) >= self.least or x == 0)

    def taken(self, source: str, stretch: _Stretch, number: int) -> float:
        """The float of a source that a number of `size` bytes stands for."""
        if source == "landmark":
            return self.marks[number * len(self.marks) >> 8 * self.size]
        if source == "near":
            return self.near(self.plain[number % len(self.plain)], number // len(self.plain))
        return stretch.at(number * stretch.count >> 8 * self.size, self.lattice.form)

    def near(self, spot: float, number: int) -> float:
        """A float next to another, at a relative distance of a power of two: 1 at most, half an ulp at least."""
        bits, below = divmod(number % (2 * self.lattice.form.precision + 2), 2)
        distance = math.ldexp(abs(spot) or 1.0, -bits)
        moved = rounded(spot - distance if below else spot + distance, self.lattice.form)
        return moved if self.holds(moved) else spot

    def coarse(self, x: float, digits: int | None) -> float:
        """The number rounded to so many digits, if that is legal."""
        candidates = () if digits is None else (rounded(v, self.lattice.form) for v in shorter(x, digits))
        return next((v for v in candidates if self.holds(v)), x)


@st.composite
def _drawn(draw: Draw, drawer: _Drawer) -> float:
    """A float, drawn alike whatever it comes from: Hypothesis only shrinks to what takes no more draws."""
    source = SOURCES[draw(_below(len(SOURCES)))]
    if source == "plain" or not drawer.stretches["whole"]:
        return drawer.plain[draw(_below(len(drawer.plain)))]
    digits = DIGITS[draw(_below(len(DIGITS)))]
    stretches = drawer.stretches["everyday" if source == "everyday" else "whole"]
    stretch = stretches[draw(_below(len(stretches)))]
    share = draw(st.binary(min_size=drawer.size, max_size=drawer.size))  # large integers would not be drawn evenly
    return drawer.coarse(drawer.taken(source, stretch, int.from_bytes(share)), digits)


@cache
def _below(count: int) -> st.SearchStrategy[int]:
    return st.integers(0, count - 1)
