"""From the verdicts on one number at many inputs to its tally: counts, the histogram, the worst, and failing runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stabkit.arithmetic.bounds import Bounds
from stabkit.certificates.certificate import BINS, EDGES, MOST_RUNS, Axis, Member, Run, Tally, Worst, ordinals_at
from stabkit.certificates.verdicts import KINDS, Verdicts, place
from stabkit.finding import number
from stabkit.floats import Format, from_ordinals
from stabkit.judge import Kind

RAISES = len(KINDS)  # the kind of an input at which the program raises
NAMES = (*(kind.value for kind in KINDS), "raises")
MOST_LOOKS = 24  # at those that could be the worst
NEGLIGIBLE = -20.0  # excess bits, of which nobody asks whether they could be fewer

CLEAR = 1e-9  # relative width of an error that need not be looked at exactly


@dataclass(frozen=True)
class Sheet:
    """One number at N inputs.

    Attributes:
        of: `value` or `gradient:NAME`.
        got: doubles [N].
        truth: the nearest doubles, for display.
    """

    of: str
    form: Format
    ranks: Tensor
    got: Tensor
    truth: Tensor
    verdicts: Verdicts

    @property
    def failing(self) -> Tensor:
        """Where it fails; to raise is to fail."""
        kind = self.verdicts.kind
        return torch.isin(kind, torch.tensor([place(k) for k in KINDS if k.is_failure] + [RAISES]))


@dataclass(frozen=True)
class Amount:
    """A size known exactly or nearly so."""

    about: float
    at_most: float


@dataclass(frozen=True)
class Exact:
    """One number beside its truth on balls."""

    truth: float
    ulps: Amount
    excess: Amount


Look = Callable[[int, str], Exact | None]  # exactly at a row; None where even balls leave it open


def bins_of(ulps: Tensor) -> Tensor:
    """The places of errors in the histogram."""
    return torch.bucketize(ulps, torch.tensor(EDGES, dtype=torch.float64))


def tally(sheet: Sheet, axes: Sequence[Axis], look: Look) -> Tally:
    """The tally of a sheet whose verdicts are all there."""
    v = sheet.verdicts
    failing, errors = sheet.failing, int((sheet.failing & v.grave).sum())
    open_ones = v.kind == place(Kind.UNRESOLVED)
    gap = max(_gap(failing), _gap(open_ones))
    return Tally(
        of=sheet.of,
        right=_count(sheet, Kind.RIGHT),
        warnings=int(failing.sum()) - errors,
        errors=errors,
        range_limits=_count(sheet, Kind.RANGE_LIMIT),
        undefined=_count(sheet, Kind.UNDEFINED),
        unresolved=_count(sheet, Kind.UNRESOLVED),
        histogram=torch.bincount(bins_of(v.ulps.hi[~v.ulps.hi.isnan()]), minlength=BINS).tolist(),
        most_ulps=_worst(sheet, v.ulps, lambda e: e.ulps, axes, look),
        most_excess=_worst(sheet, v.excess, lambda e: e.excess, axes, look),
        gap=gap,
        failing=_runs(sheet, failing, gap, axes, look),
        open=_runs(sheet, open_ones, gap, axes, look),
    )


def _count(sheet: Sheet, kind: Kind) -> int:
    return int((sheet.verdicts.kind == place(kind)).sum())


def _worst(
    sheet: Sheet, bounds: Bounds, pick: Callable[[Exact], Amount], axes: Sequence[Axis], look: Look
) -> Worst | None:
    """The largest of an error: those that could be it are looked at exactly, the most suspicious first."""
    looked: list[tuple[Amount, int, Exact | None]] = []
    best = beyond = -math.inf
    for row in _suspects(bounds.hi):
        beyond = float(bounds.hi[row])
        if looked and (len(looked) == MOST_LOOKS or not _exceeds(beyond, best)):
            break
        exact = look(row, sheet.of)
        amount = pick(exact) if exact else Amount(beyond, beyond)
        looked.append((amount, row, exact))
        best, beyond = max(best, amount.about), -math.inf
    if not looked:
        return None
    amount, row, exact = max(looked, key=lambda found: (found[0].about, -found[1]))
    at_most = max(beyond, *(found[0].at_most for found in looked))
    return Worst(number(amount.about), number(at_most), _member(sheet, row, axes, exact))


def _exceeds(limit: float, best: float) -> bool:
    """Whether something bounded so may be noticeably more than the best."""
    return limit > max(best, NEGLIGIBLE) and not math.isclose(limit, best, rel_tol=CLEAR, abs_tol=CLEAR)


def _suspects(most: Tensor) -> list[int]:
    """The rows with the largest upper bounds, descending; the first of equals first."""
    known = (~most.isnan()).nonzero().flatten()
    count = min(MOST_LOOKS + 1, len(known))
    if not count:
        return []
    large = known[most[known] >= torch.topk(most[known], count).values[-1]]
    order = torch.sort(most[large], descending=True, stable=True).indices[:count]
    found: list[int] = large[order].tolist()
    return found


def _member(sheet: Sheet, row: int, axes: Sequence[Axis], exact: Exact | None = None) -> Member:
    ulps, rank = float(sheet.verdicts.ulps.hi[row]), int(sheet.ranks[row])
    truth = exact.truth if exact else float(sheet.truth[row])
    ulps = exact.ulps.about if exact else ulps
    return Member(
        rank, inputs_at(axes, rank, sheet.form), number(float(sheet.got[row])), number(truth), _finite_or_none(ulps)
    )


def _finite_or_none(x: float) -> float | None:
    return x if math.isfinite(x) else None


def inputs_at(axes: Sequence[Axis], rank: int, form: Format) -> dict[str, object]:
    """The floats of the input of that rank, by argument, as the result format writes them."""
    places = ordinals_at(axes, rank)
    values = from_ordinals(torch.tensor(list(places.values())), form).double().tolist()
    return {name: number(x) for name, x in zip(places, values, strict=True)}


def _gap(mask: Tensor) -> int:
    """The least power of two of floats between runs, such that there are not too many of them."""
    apart, gap = mask.nonzero().flatten().diff(), 1
    while int((apart > gap).sum()) >= MOST_RUNS:
        gap *= 2
    return gap


def _runs(sheet: Sheet, mask: Tensor, gap: int, axes: Sequence[Axis], look: Look) -> list[Run]:
    rows = mask.nonzero().flatten()
    cuts = ((rows.diff() > gap).nonzero().flatten() + 1).tolist()
    return [_run(sheet, part, axes, look) for part in torch.tensor_split(rows, cuts)] if len(rows) else []


def _run(sheet: Sheet, rows: Tensor, axes: Sequence[Axis], look: Look) -> Run:
    v = sheet.verdicts
    kinds = torch.bincount(v.kind[rows], minlength=len(NAMES)).tolist()
    gravest = int(rows[v.ulps.hi[rows].nan_to_num(math.inf).argmax()])
    first, last = (int(sheet.ranks[rows[k]]) for k in (0, -1))
    fails = bool(sheet.failing[rows[0]])
    vague = float(v.ulps.hi[gravest]) > float(v.ulps.lo[gravest]) * (1 + CLEAR)
    return Run(
        first,
        last,
        inputs_at(axes, first, sheet.form),
        inputs_at(axes, last, sheet.form),
        len(rows),
        {name: n for name, n in zip(NAMES, kinds, strict=True) if n},
        ("error" if bool(v.grave[rows].any()) else "warning") if fails else None,
        _member(sheet, gravest, axes, look(gravest, sheet.of) if vague else None),
    )
