"""Bounds of many true numbers at once, as pairs of float64 tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import flint
import torch
from flint import arb
from torch import Tensor

from stabkit.arithmetic.enclosure import ULP_FRACTION, Enclosure, State
from stabkit.arithmetic.evaluate import Truth
from stabkit.arithmetic.interval import UP
from stabkit.floats import Format

DOUBLE_BITS = 53


@dataclass(frozen=True)
class Bounds:
    """lo <= truth <= hi, doubles [N, K]; both NaN where nothing is known."""

    lo: Tensor
    hi: Tensor

    @classmethod
    def unknown(cls, rows: int, columns: int) -> Bounds:
        """Bounds that say nothing."""
        return cls(*(torch.full((rows, columns), math.nan, dtype=torch.float64) for _ in range(2)))

    def meet(self, other: Bounds) -> Bounds:
        """The intersection; what the other does not know changes nothing, and a contradiction leaves nothing known."""
        lo, hi = torch.fmax(self.lo, other.lo), torch.fmin(self.hi, other.hi)
        contradiction = lo > hi
        return Bounds(lo.masked_fill(contradiction, math.nan), hi.masked_fill(contradiction, math.nan))

    def rows(self, index: Tensor) -> Bounds:
        """The bounds of some samples."""
        return Bounds(self.lo[index], self.hi[index])

    def at(self, row: int) -> tuple[Enclosure, ...]:
        """The finite bounds of one sample, one enclosure for each number."""
        pairs = zip(self.lo[row].tolist(), self.hi[row].tolist(), strict=True)
        return tuple(Enclosure(State.FINITE, arb(lo).union(arb(hi))) for lo, hi in pairs)

    def magnitude(self) -> Tensor:
        """A lower bound [N, K] of |truth|."""
        return torch.minimum(self.lo.abs(), self.hi.abs()).masked_fill((self.lo < 0) & (self.hi > 0), 0.0)

    def decided(self, form: Format) -> Tensor:
        """Which numbers [N, K] settle a verdict: narrower than 2**-8 ulp, or wholly zero, or wholly overflow.

        The format is one narrower than float64.
        """
        least = self.magnitude()
        spacing = _powers_of_two(_binade(least).clamp(form.emin, form.emax) - form.precision + 1)
        narrow = torch.nextafter(self.hi - self.lo, UP) <= spacing * ULP_FRACTION
        zero = torch.maximum(-self.lo, self.hi) <= form.smallest_subnormal / 2
        return narrow | zero | (least >= form.overflow)


def _binade(magnitude: Tensor) -> Tensor:
    """floor(log2) of nonnegative doubles, of 0 below all others; NaN gives anything."""
    return (torch.frexp(magnitude)[1].to(torch.int64) - 1).masked_fill(magnitude == 0, -2000)


def _powers_of_two(exponents: Tensor) -> Tensor:
    """2**exponents exactly, for exponents of normal doubles."""
    return ((exponents.clamp(-1022, 1023) + 1023) << 52).view(torch.float64)


@dataclass(frozen=True)
class Enclosures:
    """Bounds of the values [N, components] and, by input name, of the slopes [N, elements] of N samples."""

    values: Bounds
    gradient: Mapping[str, Bounds]

    @property
    def all(self) -> Iterator[Bounds]:
        """The bounds of every number."""
        yield self.values
        yield from self.gradient.values()

    def decided(self, form: Format) -> Tensor:
        """Which samples [N] have every number decided."""
        return torch.cat([b.decided(form) for b in self.all], 1).all(1)

    def ready(self, form: Format) -> Tensor:
        """Which samples [N] have every number decided and bounded, so that `at` says all there is to know."""
        bounded = [b.lo.isfinite() & b.hi.isfinite() for b in self.all]
        return self.decided(form) & torch.cat(bounded, 1).all(1)

    def at(self, row: int) -> Truth:
        """The truth at one sample that is ready."""
        with flint.ctx.workprec(2 * DOUBLE_BITS):
            return Truth(self.values.at(row), {n: b.at(row) for n, b in self.gradient.items()}, DOUBLE_BITS)

    def rows(self, index: Tensor) -> Enclosures:
        """The enclosures of some samples."""
        return Enclosures(self.values.rows(index), {n: b.rows(index) for n, b in self.gradient.items()})
