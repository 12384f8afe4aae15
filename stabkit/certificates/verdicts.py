"""The rule of `stabkit.judge` for one number at many inputs, wherever enclosures of the truth are narrow enough.

What is said here is certain: it holds for every truth within the enclosures. The rest is left to balls.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stabkit.arithmetic.bounds import Bounds
from stabkit.floats import Format
from stabkit.judge import Kind
from stabkit.proof import representable
from stabkit.spec import Tolerance

KINDS = tuple(Kind)
OPEN = -1  # where enclosures do not tell the kind
SLACK = 2.0**-30  # next to a threshold the judge itself is asked
ROUNDING = 2.0**-50  # of what is computed here in doubles


@dataclass(frozen=True)
class Verdicts:
    """What is certain of one number at N inputs.

    Attributes:
        kind: places in `KINDS`, or `OPEN`.
        grave: which fail with severity error.
        ulps: bounds of |got - truth| in ulps of the truth; NaN where that says nothing.
        excess: bounds of the excess bits; NaN likewise.
    """

    kind: Tensor
    grave: Tensor
    ulps: Bounds
    excess: Bounds

    @classmethod
    def nothing(cls, count: int) -> Verdicts:
        """Verdicts on so many inputs, all of them open."""
        unknown = [torch.full((count,), torch.nan, dtype=torch.float64) for _ in range(4)]
        kind = torch.full((count,), OPEN, dtype=torch.int64)
        return cls(kind, torch.zeros(count, dtype=torch.bool), Bounds(*unknown[:2]), Bounds(*unknown[2:]))

    def put(self, rows: Tensor, other: Verdicts) -> None:
        """Replaces the verdicts at some rows."""
        for mine, new in zip(self._columns, other._columns, strict=True):
            mine[rows] = new

    @property
    def _columns(self) -> tuple[Tensor, ...]:
        return self.kind, self.grave, self.ulps.lo, self.ulps.hi, self.excess.lo, self.excess.hi


def place(kind: Kind) -> int:
    """The place of a kind in `KINDS`."""
    return KINDS.index(kind)


def verdicts_on(
    got: Tensor, truth: Bounds, spread: Bounds, scale: Bounds, form: Format, tolerance: Tolerance
) -> Verdicts:
    """The verdicts that enclosures allow.

    Args:
        got: what the program gave, doubles [N].
        truth: bounds of what is true.
        spread: bounds of u C; 0 to infinity where it is not known.
        scale: bounds of the natural scale, times 1/u, that severity adds.
    """
    size, sign = _size(truth), truth.lo.sign()
    too_large, fits = size.lo >= form.overflow, size.hi < form.overflow
    limit = too_large & (got.isnan() | ((got.abs() >= form.overflow) & (got.sign() == sign)))
    error = _error(got, truth, form)
    size = _size(representable(truth, form))
    explained = _explained(size, spread, form)
    right = error.hi <= 2**tolerance.bits * explained.lo * (1 - SLACK)
    wrong = error.lo > 2**tolerance.bits * explained.hi * (1 + SLACK)
    u = form.unit_roundoff
    eased = _explained(size, Bounds(spread.lo + u * scale.lo, spread.hi + u * scale.hi), form)
    half = 2 ** (form.precision / 2)
    grave = got.isinf() | (error.lo > half * eased.hi * (1 + SLACK))
    mild = got.isfinite() & (error.hi <= half * eased.lo * (1 - SLACK))
    bounded = (fits | too_large) & truth.lo.isfinite() & truth.hi.isfinite()
    kind = torch.full(got.shape, OPEN)
    failing = bounded & wrong & (grave | mild)
    kind = torch.where(failing, _failure(got, size, form), kind)
    kind = torch.where(bounded & right, place(Kind.RIGHT), kind)
    kind = torch.where(fits & got.isnan(), place(Kind.NOT_FINITE), kind)
    kind = torch.where(limit, place(Kind.RANGE_LIMIT), kind)
    grave = (grave | got.isnan()) & (kind > 0) & (kind <= place(Kind.VANISHED))
    hidden = limit | ~bounded | got.isnan() | (got.isinf() & ~right)
    ulps = Bounds(error.lo / _ulp(size.hi, form), error.hi / _ulp(size.lo, form))
    excess = Bounds(torch.log2(error.lo / explained.hi), torch.log2(error.hi / explained.lo))
    return Verdicts(kind, grave, _known(ulps, hidden), _known(excess, hidden))


def spreads(here: Bounds, moved: list[Bounds]) -> Bounds:
    """Bounds of u C: the largest distance between a truth and one at a moved input; open upwards where one is open."""
    least = [torch.maximum(b.lo - here.hi, here.lo - b.hi).nan_to_num(0.0, 0.0, 0.0).clamp(min=0) for b in moved]
    most = [torch.maximum(b.hi - here.lo, here.hi - b.lo).nan_to_num(torch.inf, torch.inf, torch.inf) for b in moved]
    return Bounds(torch.stack(least).amax(0), torch.stack(most).amax(0))


def _known(bounds: Bounds, hidden: Tensor) -> Bounds:
    return Bounds(bounds.lo.masked_fill(hidden, torch.nan), bounds.hi.masked_fill(hidden, torch.nan))


def _size(truth: Bounds) -> Bounds:
    """Bounds of |truth|."""
    return Bounds(truth.magnitude(), torch.maximum(truth.lo.abs(), truth.hi.abs()))


def _error(got: Tensor, truth: Bounds, form: Format) -> Bounds:
    """Bounds of |got - truth|, both no further out than one ulp beyond the largest float."""
    mine, real = representable(Bounds(got, got), form).lo, representable(truth, form)
    below, above = real.lo - mine, mine - real.hi
    least = torch.maximum(below, above).clamp(min=0) * (1 - ROUNDING)
    return Bounds(least, torch.maximum(mine - real.lo, real.hi - mine) * (1 + ROUNDING))


def _explained(size: Bounds, spread: Bounds, form: Format) -> Bounds:
    """Bounds of max(u |truth| + u C, smallest subnormal)."""
    least = form.smallest_subnormal
    u = form.unit_roundoff
    return Bounds((u * size.lo + spread.lo).clamp(min=least), (u * size.hi + spread.hi).clamp(min=least))


def _failure(got: Tensor, size: Bounds, form: Format) -> Tensor:
    """The kind of a number that fails; open where it is zero next to the middle of the range."""
    middle = 2.0 ** (form.emin / 2)
    inaccurate, vanished = place(Kind.INACCURATE), place(Kind.VANISHED)
    zero = torch.where(size.hi < middle * (1 - SLACK), vanished, OPEN)
    zero = torch.where(size.lo > middle * (1 + SLACK), inaccurate, zero)
    finite = torch.where(got == 0, zero, inaccurate)
    return torch.where(got.isinf(), place(Kind.NOT_FINITE), finite)


def _ulp(size: Tensor, form: Format) -> Tensor:
    """The spacing of the format's floats around magnitudes [N]."""
    binade = (torch.frexp(size)[1].to(torch.int64) - 1).masked_fill(size == 0, form.emin)
    exponent = binade.clamp(form.emin, form.emax) - form.precision + 1
    return ((exponent + 1023) << 52).view(torch.float64)
