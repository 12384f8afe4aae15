"""What enclosures settle about many samples at once: which are right beyond doubt, and the truth of the others.

The rule is the one of `stabkit.judge`, applied to the worst that an enclosure leaves open: what passes here passes
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from stabkit.arithmetic.bounds import Bounds, Enclosures
from stabkit.arithmetic.evaluate import Truth
from stabkit.conditioning import moved_points
from stabkit.floats import Format
from stabkit.oracle import Oracle
from stabkit.program import Outcome, Points, Program, rows_at

SLACK = 1 - 2.0**-48  # for the roundings of the comparison itself


@dataclass(frozen=True)
class Parts:
    """A statement on the value [N] and on the gradient [N] of N samples."""

    value: Tensor
    gradient: Tensor

    @classmethod
    def of(cls, columns: Sequence[Tensor]) -> Parts:
        """From a statement on each number: first the values [N, components], then the slopes by each argument."""
        value, *slopes = columns
        whole = value.all(1)
        return cls(whole, torch.cat(slopes, 1).all(1) if slopes else torch.ones_like(whole))

    @property
    def both(self) -> Tensor:
        """Where it holds of both."""
        return self.value & self.gradient

    def __or__(self, other: Parts) -> Parts:
        return Parts(self.value | other.value, self.gradient | other.gradient)


@dataclass(frozen=True)
class Proof:
    """Samples [N] and what their enclosures say.

    Attributes:
        settled: which numbers are all right; in float64 none.
        cleared: which err nowhere by as much as an error does.
        ready: where the truths are narrow enough to judge by; never in float64.
        moved: the enclosures at inputs moved by a unit roundoff, for the samples in `moved_rows`.
    """

    form: Format
    truth: Enclosures
    settled: Parts
    cleared: Parts
    ready: Tensor
    moved: tuple[Enclosures, ...] = ()
    moved_rows: Mapping[int, int] = field(default_factory=dict)

    @property
    def narrow(self) -> Tensor:
        """The samples [N] that need no judgement: in float64 those cleared, else those settled."""
        return (self.cleared if self.form.name == "float64" else self.settled).both

    @property
    def within(self) -> Parts:
        """Which true numbers are not surely beyond the dtype."""
        return Parts.of([~(b.magnitude() >= self.form.overflow) for b in self.truth.all])

    def truth_of(self, row: int) -> Truth | None:
        """The truth at one sample, if it is ready."""
        return self.truth.at(row) if bool(self.ready[row]) else None

    def moved_of(self, row: int) -> list[Truth] | None:
        """The truths at the moved inputs of one sample, if all are ready."""
        place = self.moved_rows.get(row)
        if place is None or not bool(self._moved_ready[place]):
            return None
        return [e.at(place) for e in self.moved]

    @cached_property
    def _moved_ready(self) -> Tensor:
        return torch.stack([e.ready(self.form) for e in self.moved]).all(0)


def prove(program: Program, oracle: Oracle, points: Points, outcome: Outcome, conditioned: bool = True) -> Proof | None:
    """What the oracle's enclosures settle about an outcome; None where it has none that fit.

    Args:
        conditioned: whether what moving the inputs by a unit roundoff explains is looked at too, where it matters.
    """
    form = program.form
    truth = oracle.enclosures(_exact(points), form, list(outcome.gradients))
    if truth is None or truth.values.lo.shape != outcome.values.shape:
        return None
    got, ran = _numbers(outcome), ~outcome.raised
    allowed = program.target.tolerance
    cleared = _cleared(got, truth, points, form, ran, allowed.natural_scale)
    if form.name == "float64":
        nowhere = torch.zeros_like(ran)
        return Proof(form, truth, Parts(nowhere, nowhere), cleared, nowhere)
    settled = _settled(got, truth, [torch.zeros(()).double()] * len(got), form, ran, allowed.bits)
    rows = (~settled.both & ran).nonzero().flatten() if conditioned else torch.tensor([], dtype=torch.int64)
    moved = _moved(program, oracle, rows_at(points, rows), list(outcome.gradients)) if len(rows) else ()
    if moved:
        here = truth.rows(rows)
        again = _settled([g[rows] for g in got], here, _spreads(here, moved), form, ran[rows], allowed.bits)
        settled.value[rows], settled.gradient[rows] = again.value, again.gradient
    places = {row: place for place, row in enumerate(rows.tolist())} if moved else {}
    return Proof(form, truth, settled, cleared | settled, truth.ready(form), moved, places)


def _exact(points: Points) -> Points:
    return {n: x.double() if x.is_floating_point() else x for n, x in points.items()}


def _numbers(outcome: Outcome) -> list[Tensor]:
    """What the program gave, in the order of `Enclosures.all`."""
    count = len(outcome.values)
    return [outcome.values.double(), *(g.double().reshape(count, -1) for g in outcome.gradients.values())]


def _settled(
    got: list[Tensor], truth: Enclosures, spreads: list[Tensor], form: Format, ran: Tensor, bits: float
) -> Parts:
    """Which samples have every number within the bits that rounding explains."""
    rights = (_right(g, b, s, form, bits) for g, b, s in zip(got, truth.all, spreads, strict=True))
    return Parts.of([right & ran[:, None] for right in rights])


def _right(got: Tensor, bounds: Bounds, spread: Tensor, form: Format, bits: float) -> Tensor:
    """|got - truth| <= 2**bits max(u |truth| + spread, smallest subnormal), or the infinity of a truth too large."""
    clipped = representable(bounds, form)
    error = _worst_error(representable(Bounds(got, got), form).lo, clipped)
    explained = form.unit_roundoff * clipped.magnitude() + spread
    allowed = 2**bits * explained.clamp(min=form.smallest_subnormal) * SLACK
    too_large = (bounds.lo >= form.overflow) & (got > 0) | (bounds.hi <= -form.overflow) & (got < 0)
    too_large &= got.abs() >= form.overflow
    return (error <= allowed) | too_large | (got.isnan() & (bounds.magnitude() >= form.overflow))


def representable(bounds: Bounds, form: Format) -> Bounds:
    """What lies beyond the largest float counts as one ulp beyond it."""
    beyond = 2.0 ** (form.emax + 1)

    def clipped(x: Tensor) -> Tensor:
        return torch.where(x.abs() >= form.overflow, x.sign() * beyond, x)

    return Bounds(clipped(bounds.lo), clipped(bounds.hi))


def _worst_error(got: Tensor, bounds: Bounds) -> Tensor:
    return torch.maximum((got - bounds.lo).abs(), (bounds.hi - got).abs())


def _cleared(got: list[Tensor], truth: Enclosures, points: Points, form: Format, ran: Tensor, natural: float) -> Parts:
    """Which samples are nowhere off by what makes an error, the natural scale alone allowed for."""
    scales = [torch.tensor(natural, dtype=torch.float64)]
    size = truth.values.magnitude()[:, :1].clamp(min=natural)
    scales += [size / points[n].double().reshape(len(size), -1).abs() for n in truth.gradient]
    columns = []
    for g, bounds, scale in zip(got, truth.all, scales, strict=True):
        explained = form.unit_roundoff * (bounds.magnitude() + scale)
        allowed = 2 ** (form.precision / 2) * explained.clamp(min=form.smallest_subnormal) * SLACK
        columns.append((_worst_error(g, bounds) <= allowed) & g.isfinite() & ran[:, None])
    return Parts.of(columns)


def _moved(program: Program, oracle: Oracle, points: Points, names: list[str]) -> tuple[Enclosures, ...]:
    """The enclosures at inputs moved by a unit roundoff, as `conditioning` moves them."""
    moved = moved_points(points, program.form, program.target.arguments)
    found = (oracle.enclosures(p, program.form, names) for p in moved)
    return tuple(e for e in found if e is not None)


def _spreads(truth: Enclosures, moved: tuple[Enclosures, ...]) -> list[Tensor]:
    """u C of each number, from below: the largest distance that is certain between a truth and a moved one."""
    spreads = []
    for here, *there in zip(truth.all, *(e.all for e in moved), strict=True):
        gaps = [torch.maximum(b.lo - here.hi, here.lo - b.hi).nan_to_num(0.0, 0.0, 0.0).clamp(min=0) for b in there]
        spreads.append(torch.stack(gaps).amax(0))
    return spreads
