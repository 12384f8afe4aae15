"""A definition on intervals for many samples at once, value and gradient, whatever branches it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stabkit.arithmetic import Number, Undecided
from stabkit.arithmetic.bounds import Bounds, Enclosures
from stabkit.arithmetic.dual import Dual, DualSystem, watched_ties
from stabkit.arithmetic.evaluate import flatten
from stabkit.arithmetic.interval import Diverged, Interval, doubted, either, of_floats
from stabkit.arithmetic.interval_system import IntervalSystem
from stabkit.arithmetic.kernels import Kernel, listed
from stabkit.errors import StabkitError
from stabkit.floats import Format

CHUNK = 16_384  # samples at once: in cache, and fewer than torch would spread over threads
MOST_RUNS = 64  # of one chunk, for all its branches
MOST_LABELINGS = 64  # combinations of whole-number arguments, each of which is a run of its own

Definition = Callable[..., Number]
Points = Mapping[str, Tensor]


def enclose(
    definitions: Sequence[Definition],
    points: Points,
    gradient_of: Sequence[str] = (),
    form: Format | None = None,
) -> Enclosures | None:
    """Bounds of `definition(ctx, **sample)` at all samples, several definitions of one quantity intersected.

    Args:
        definitions: each takes a number system, then the sample by name.
        points: exact inputs [N, *shape] by name; whole-number tensors reach the definition as Python ints.
        gradient_of: names of the inputs to differentiate the summed components by.
        form: where one definition decides a sample in this format, the next ones are not asked.

    Returns:
        The enclosures; None on a build whose kernels are not listed, or where no definition runs on intervals.

    Example:
        >>> x = torch.tensor([0.0, 1.0])
        >>> found = enclose([lambda ctx, x: ctx.log1p(ctx.exp(x))], {"x": x}, ["x"])
        >>> found is None or bool((found.values.hi - found.values.lo < 1e-14).all())
        True
    """
    kernels = listed()
    if kernels is None:
        return None
    best, rows = None, torch.arange(len(next(iter(points.values()))))
    for definition in definitions:
        part = points if best is None else {n: x[rows] for n, x in points.items()}
        best = _intersected(best, _Run(definition, kernels, part, tuple(gradient_of)).enclosures(), rows)
        if best is not None and form is not None:
            rows = (~best.decided(form)).nonzero().flatten()
        if not len(rows):
            break
    return best


def _intersected(best: Enclosures | None, found: Enclosures | None, rows: Tensor) -> Enclosures | None:
    """What is known after another definition has told of some rows."""
    if best is None or found is None or found.values.lo.shape[1] != best.values.lo.shape[1]:
        return best or found
    for known, new in zip(best.all, found.all, strict=True):
        both = known.rows(rows).meet(new)
        known.lo[rows], known.hi[rows] = both.lo, both.hi
    return best


@dataclass
class _Run:
    """One definition on all samples; `values` is laid out when the first part of them has run."""

    definition: Definition
    kernels: Mapping[str, Kernel]
    points: Points
    names: tuple[str, ...]
    values: Bounds | None = None
    gradient: dict[str, Bounds] = field(default_factory=dict)

    def enclosures(self) -> Enclosures | None:
        count = len(next(iter(self.points.values())))
        for rows in _alike_in_labels(self.points, count):
            for part in torch.split(rows, CHUNK):
                self._fill(part)
        return None if self.values is None else Enclosures(self.values, self.gradient)

    def _fill(self, rows: Tensor) -> None:
        """Runs some samples, those that branch otherwise apart."""
        waiting, runs = [rows], 0
        while waiting and runs < MOST_RUNS:
            part, runs = waiting.pop(), runs + 1
            try:
                results, slopes = self._evaluated(part)
            except Diverged as parting:
                sides = (part[mask.expand(len(part))] for mask in (parting.holds, parting.fails))
                waiting += [side for side in sides if len(side)]
            except (ArithmeticError, ValueError, StabkitError):
                continue  # balls will tell what is the matter here
            else:
                self._write(part, results, slopes)

    def _evaluated(self, rows: Tensor) -> tuple[list[Number], dict[str, list[Number]]]:
        duals, slots = IntervalDuals(IntervalSystem(self.kernels)), iter(range(10**9))
        inputs, places = {}, {}
        for name, x in self.points.items():
            by = slots if name in self.names else None
            inputs[name] = _lifted(x[rows], duals, by)
            places[name] = [next(iter(d.tangents)) for d in flatten(inputs[name])] if by is not None else []
        with watched_ties() as ties:
            results = [_dual(r, duals) for r in flatten(self.definition(duals, **inputs))]
        if not results:
            raise Undecided("no number at all")
        total = sum(results[1:], start=results[0])
        zero = duals.base.number(0)
        slopes = {n: [_doubted_at(ties, total.tangents.get(i, zero)) for i in places[n]] for n in self.names}
        return [r.value for r in results], slopes

    def _write(self, rows: Tensor, results: list[Number], slopes: dict[str, list[Number]]) -> None:
        if self.values is None:
            count = len(next(iter(self.points.values())))
            self.values = Bounds.unknown(count, len(results))
            self.gradient = {n: Bounds.unknown(count, len(slopes[n])) for n in self.names}
        if len(results) == self.values.lo.shape[1]:
            _store(self.values, rows, results)
            for name, row in slopes.items():
                _store(self.gradient[name], rows, row)


class IntervalDuals(DualSystem):
    """Duals over intervals, where a maximum is taken element by element; at a tie its slope is in doubt."""

    def maximum(self, x: Dual | float, y: Dual | float) -> Dual:
        a, b = self._lifted(x), self._lifted(y)
        value = self.base.maximum(a.value, b.value)
        first, second = a.value.lo > b.value.hi, a.value.hi < b.value.lo
        if value.doubt is not None:
            first, second = first & ~value.doubt, second & ~value.doubt
        zero = self.base.number(0)
        return Dual(
            value,
            {
                i: _chosen(first, second, a.tangents.get(i, zero), b.tangents.get(i, zero))
                for i in {**a.tangents, **b.tangents}
            },
        )


def _chosen(first: Tensor, second: Tensor, a: Interval, b: Interval) -> Interval:
    """a where `first`, b where `second`, in doubt elsewhere."""
    doubt = either(~(first | second), either(a.doubt, b.doubt))
    return Interval(torch.where(first, a.lo, b.lo), torch.where(first, a.hi, b.hi), doubt)


def _doubted_at(ties: Sequence[Tensor], slope: Interval) -> Interval:
    """A slope with the elements in doubt at which a branch may begin."""
    for tie in ties:
        slope = doubted(slope, tie)
    return slope


def _dual(result: Number, duals: DualSystem) -> Dual:
    if isinstance(result, Dual):
        return result
    if not isinstance(result, (int, float)):
        raise Undecided("not a number of this system")  # balls say what is wrong with it
    return duals.number(result)


def _lifted(x: Tensor, duals: DualSystem, slots: Iterator[int] | None) -> Any:
    """One input as duals over the samples; nested lists for a vector, Python ints for labels."""
    if x.dim() > 1:
        return [_lifted(column, duals, slots) for column in x.unbind(1)]
    if not x.is_floating_point():
        return x[0].item()
    return Dual(of_floats(x.double()), {} if slots is None else {next(slots): duals.base.number(1)})


def _alike_in_labels(points: Points, count: int) -> Iterator[Tensor]:
    """Row numbers in groups whose whole-number arguments agree."""
    labels = [x.reshape(count, -1) for x in points.values() if not x.is_floating_point()]
    if not labels:
        yield torch.arange(count)
        return
    table = torch.cat([x.to(torch.int64) for x in labels], 1)
    kinds, group = torch.unique(table, dim=0, return_inverse=True)
    for k in range(min(len(kinds), MOST_LABELINGS)):
        yield (group == k).nonzero().flatten()


def _store(bounds: Bounds, rows: Tensor, columns: Sequence[Interval]) -> None:
    whole = slice(int(rows[0]), int(rows[0]) + len(rows)) if int(rows[-1]) - int(rows[0]) + 1 == len(rows) else rows
    for k, x in enumerate(columns):
        for side, values in ((bounds.lo, x.lo), (bounds.hi, x.hi)):
            known = values if x.doubt is None else torch.where(x.doubt, math.nan, values)
            side[whole, k] = known.expand(len(rows))
