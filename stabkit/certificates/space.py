"""All inputs of a target in one dtype: which floats its one or two arguments take, by rank."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stabkit.certificates.certificate import Axis
from stabkit.domain import Argument, Interval, Point
from stabkit.errors import TargetError
from stabkit.floats import Format, from_ordinals, ordinals
from stabkit.program import Points, Program, dtype_of
from stabkit.search.lattice import Lattice

MOST_INPUTS = 2**33


@dataclass(frozen=True)
class Space:
    """All inputs of a target in one dtype: one or two arguments take every float of theirs, others are fixed."""

    arguments: tuple[Argument, ...]
    form: Format
    axes: tuple[Axis, ...]

    @property
    def count(self) -> int:
        """How many inputs there are."""
        return math.prod(axis.size for axis in self.axes)

    def points(self, ranks: Tensor) -> Points:
        """The inputs of these ranks."""
        by_name, left = {}, ranks
        for axis in reversed(self.axes):
            by_name[axis.argument] = from_ordinals(left % axis.size + axis.first, self.form)
            left = left // axis.size
        for a in self.arguments:
            if isinstance(a.domain, Point):
                value = torch.tensor(a.domain.value, dtype=torch.float64).to(dtype_of(a, self.form))
                by_name[a.name] = value.reshape(1, *a.shape).expand(len(ranks), *a.shape).clone()
        return {a.name: by_name[a.name] for a in self.arguments}


def space_of(program: Program) -> Space:
    """The inputs of a program.

    Raises:
        TargetError: where they are too many, or of a kind that is not walked through.
        DomainError: where a domain holds no float of the dtype.
    """
    name, form, arguments = program.target.name, program.form, program.target.arguments
    varied = [a for a in arguments if not isinstance(a.domain, Point)]
    for a in varied:
        if not isinstance(a.domain, Interval) or a.shape:
            raise TargetError(
                f"argument {a.name!r} of {name!r}",
                f"is no single float of an interval ({a})",
                f"fix it, for instance --arg '{a.name}=point{{1}}', or use stabkit audit",
            )
    if not 1 <= len(varied) <= 2:
        names = ", ".join(a.name for a in varied) or "none"
        raise TargetError(
            f"target {name!r}",
            f"varies {len(varied)} arguments ({names}) where one or two can be walked through",
            "fix others with --arg 'NAME=point{1}', or use stabkit audit",
        )
    if form.name == "float64":
        raise TargetError("dtype 'float64'", "has too many numbers to try them all", "use stabkit audit")
    space = Space(arguments, form, tuple(_axis(a, form) for a in varied))
    if space.count > MOST_INPUTS:
        raise TargetError(
            f"target {name!r}",
            f"has {space.count:.2g} inputs in {form.name}, more than can be tried",
            "narrow the domains, fix an argument with point{…}, or pass --dtype float16",
        )
    return space


def _axis(argument: Argument, form: Format) -> Axis:
    domain = argument.domain
    assert isinstance(domain, Interval)
    lattice = Lattice(domain, form, argument.name)
    if lattice.is_empty:
        lattice.draw("simple", 1, torch.Generator())  # says what is wrong with the domain
    ends = torch.tensor([lattice.low, lattice.high, *lattice.legal_infinities], dtype=form.dtype)
    first, last = int(ordinals(ends).min()), int(ordinals(ends).max())
    first -= first == 0 and lattice.contains(-0.0)  # both zeros, as at 0 inside
    last += last == -1
    low, high = from_ordinals(torch.tensor([first, last]), form).double().tolist()
    return Axis(argument.name, first, last, *(x if math.isfinite(x) else str(x) for x in (low, high)))
