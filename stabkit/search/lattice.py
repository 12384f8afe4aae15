"""One argument's domain on one dtype's lattice: its bounds rounded inwards, and ways to draw from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from stabkit.domain import Interval
from stabkit.errors import DomainError
from stabkit.floats import Format, from_ordinals, landmarks, neighbours, ordinals

SIMPLE = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 10.0, -10.0, 100.0, -100.0, 1e3, -1e3, 0.1, 1e-2, 1e-3, 1e-4)
STRATA = ("ordinal", "linear", "everyday", "landmark", "anchor", "simple")


@dataclass(frozen=True)
class Lattice:
    """The floats of one format inside an interval.

    Raises:
        DomainError: when drawn from, if the interval holds no finite float of the format.
    """

    domain: Interval
    form: Format
    name: str = "argument"

    @cached_property
    def low(self) -> float:
        """The smallest finite float inside."""
        return self._inside(max(self.domain.low, -self.form.largest), self.domain.low, self.domain.low_closed, 1)

    @cached_property
    def high(self) -> float:
        """The largest finite float inside."""
        return self._inside(min(self.domain.high, self.form.largest), self.domain.high, self.domain.high_closed, -1)

    def _inside(self, start: float, bound: float, closed: bool, direction: int) -> float:
        x = torch.tensor(start, dtype=torch.float64).to(self.form.dtype)
        beyond = (x.item() < bound) if direction > 0 else (x.item() > bound)
        if beyond or (x.item() == bound and not closed):
            x = neighbours(x, direction)
        return x.item()

    @property
    def is_empty(self) -> bool:
        """Whether no finite float lies inside."""
        return not self.low <= self.high

    @property
    def legal_infinities(self) -> tuple[float, ...]:
        """Infinities that the domain includes."""
        low, high = self.domain.low, self.domain.high
        return tuple(
            b for b, ok in ((low, self.domain.low_closed), (high, self.domain.high_closed)) if ok and math.isinf(b)
        )

    def contains(self, x: float) -> bool:
        """Whether a float of the format is a legal value."""
        return self.low <= x <= self.high or x in self.legal_infinities

    def clamp(self, x: Tensor) -> Tensor:
        """Doubles [...] rounded to the format and moved inside; NaN becomes the smallest value."""
        rounded = x.to(self.form.dtype).double()
        return rounded.nan_to_num(self.low, math.inf, -math.inf).clamp(self.low, self.high)

    @cached_property
    def landmarks(self) -> Tensor:
        """Landmarks of the format inside, the bounds and their neighbours, and legal infinities; doubles [L]."""
        bounds = torch.tensor([self.low, self.high], dtype=self.form.dtype)
        edges = torch.cat([bounds, neighbours(bounds), neighbours(bounds, -1)]).double().tolist()
        inside = sorted({v for v in (*landmarks(self.form), *edges) if self.low <= v <= self.high})
        return torch.tensor([*inside, *self.legal_infinities], dtype=torch.float64)

    @cached_property
    def simple(self) -> Tensor:
        """A few plain numbers inside; doubles, never empty."""
        inside = [v for v in SIMPLE if self.low <= v <= self.high]
        middle = (
            (self.low / 2 + self.high / 2)
            if math.isfinite(self.domain.low) and math.isfinite(self.domain.high)
            else self.high
        )
        return self.clamp(torch.tensor(inside or [self.low, self.high, middle], dtype=torch.float64))

    def draw(self, stratum: str, count: int, generator: Generator) -> Tensor:
        """`count` values of one stratum, as doubles."""
        if self.is_empty:
            raise DomainError(
                f"domain {self.domain} of {self.name}",
                f"holds no {self.form.name} number",
                "widen it or leave the dtype out",
            )
        return (
            self.clamp(getattr(self, f"_{stratum}")(count, generator))
            if stratum != "landmark"
            else self._landmark(count, generator)
        )

    def _ordinal(self, count: int, generator: Generator) -> Tensor:
        ends = ordinals(torch.tensor([self.low, self.high], dtype=self.form.dtype))
        u = torch.rand(count, generator=generator, dtype=torch.float64)
        first, last = (float(e) for e in ends)
        ranks = (first + u * (last - first)).round().to(torch.int64)
        return from_ordinals(ranks.clamp(int(ends[0]), int(ends[1])), self.form).double()

    def _linear(self, count: int, generator: Generator) -> Tensor:
        if math.isinf(self.domain.low) or math.isinf(self.domain.high):
            return self._everyday(count, generator)
        u = torch.rand(count, generator=generator, dtype=torch.float64)
        return self.low * (1 - u) + self.high * u

    def _everyday(self, count: int, generator: Generator) -> Tensor:
        size = 10 ** (torch.rand(count, generator=generator, dtype=torch.float64) * 9 - 6)
        moderate = torch.randn(count, generator=generator, dtype=torch.float64) * 5
        signed = size * (torch.randint(0, 2, (count,), generator=generator) * 2 - 1 if self.low < 0 else 1)
        return torch.where(
            torch.rand(count, generator=generator) < 0.5, signed, moderate if self.low < 0 else moderate.abs()
        )

    def _landmark(self, count: int, generator: Generator) -> Tensor:
        return self.landmarks[torch.randint(0, len(self.landmarks), (count,), generator=generator)]

    def _anchor(self, count: int, generator: Generator) -> Tensor:
        """Next to a bound, 0, 0.5 or a unit: by a distance of any magnitude, down to a few ulps."""
        spots = [
            v
            for v in (self.low, self.high, 0.0, 0.5, 1.0, -1.0)
            if abs(v) < self.form.largest and self.low <= v <= self.high
        ]
        spots = spots or [self.low, self.high]
        spot = torch.tensor(spots, dtype=torch.float64)[torch.randint(0, len(spots), (count,), generator=generator)]
        digits = self.form.precision * 0.302 + 1
        distance = 10 ** -(torch.rand(count, generator=generator, dtype=torch.float64) * digits)
        sign = torch.randint(0, 2, (count,), generator=generator) * 2 - 1
        return spot + sign * distance * spot.abs().clamp(min=1.0)

    def _simple(self, count: int, generator: Generator) -> Tensor:
        return self.simple[torch.randint(0, len(self.simple), (count,), generator=generator)]
