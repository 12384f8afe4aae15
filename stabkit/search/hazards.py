"""How near the operations of a run come to where they go wrong: one distance a sample, of every operation.

Distances are in binades: of an operand from 0, of a result from the ends of the dtype, of a difference from cancelling
altogether. Two numbers that are compared are as far apart as there are floats between them, in powers of two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stabkit.exact.cause import PRODUCTS, SATURATING, SUMS
from stabkit.exact.movement import COPIES
from stabkit.exact.place import Places, is_backward
from stabkit.exact.steps import MEMORY, leaves_in
from stabkit.floats import DTYPES, Format, neighbours, ordinals
from stabkit.program import Caller, Points, Program, count_of, rows_at, rows_of

TO_ZERO = {"log": 0, "log2": 0, "log10": 0, "sqrt": 0, "rsqrt": 0, "reciprocal": 0, "div": 1, "pow": 0, "lgamma": 0}
TO_ZERO |= {"digamma": 0, "polygamma": 1, "xlogy": 1, "atan2": 1, "special_entr": 0, "linalg_vector_norm": 0, "norm": 0}
TO_ONE = ("log", "log2", "log10", "acos", "asin", "atanh", "erfinv", "special_erfinv", "acosh")
COMPARED = ("lt", "gt", "le", "ge", "eq", "ne", "maximum", "minimum", "fmax", "fmin", "clamp", "clamp_min", "clamp_max")
AT_ZERO = ("relu", "abs", "sign", "sgn", "threshold_backward", "softshrink", "hardshrink", "leaky_relu", "elu", "prelu")
STEPPED = ("floor", "ceil", "round", "trunc", "fmod", "remainder", "frac")
LARGEST_ROW = 4096  # elements a sample of one operation that are looked at
LEAST_STEP = 60.0  # binades below 1, as near as a number comes to a whole one
MOST_CONSTANTS = 64

Rows: TypeAlias = Tensor  # doubles [N, elements of one sample]
Distances: TypeAlias = Iterator[tuple[str, Tensor]]  # of one operation: towards what, and how far each sample is


@dataclass(frozen=True)
class Site:
    """One operation of the program and what it may be driven towards.

    Attributes:
        occurrence: which of the operations of that name on that line.
        towards: as `Hazard` says.
    """

    name: str
    backward: bool
    place: tuple[str, int] | None
    occurrence: int
    towards: str

    @property
    def label(self) -> str:
        """The operation as findings state it."""
        return f"{self.name} (backward)" if self.backward else self.name


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Measures the distances of every operation of a run of N samples, forward and backward.

    Attributes:
        distances: [N] by site; infinite where a sample cannot be driven there.
        constants: numbers that the program writes itself: bounds, thresholds, eps.
    """

    def __init__(self, count: int, form: Format) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count, self.form = count, form
        self.distances: dict[Site, Tensor] = {}
        self.constants: set[float] = set()
        self._places, self._met = Places(), dict[tuple[str, bool, Any], int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__.strip("_")
        looked_at = not func.is_view and name not in COPIES and name not in MEMORY
        before = list(self._operands(args, kwargs)) if looked_at else []  # it may be overwritten
        result = func(*args, **kwargs)
        place = self._places.running()
        out = next((x for x in leaves_in((result,)) if isinstance(x, Tensor)), None)
        if before and out is not None:
            self._note(name, place, before, out.detach())
        return result

    def _operands(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
        for x in leaves_in((*args, *(v for n, v in kwargs.items() if n in ("min", "max", "value")))):
            if isinstance(x, Tensor) and x.is_floating_point():
                yield x.detach().clone() if x.numel() <= self.count * LARGEST_ROW else x.detach()
            elif isinstance(x, (int, float)) and not isinstance(x, bool):
                self._keep_constant(float(x))
                yield torch.tensor(float(x), dtype=torch.float64)

    def _keep_constant(self, x: float) -> None:
        if math.isfinite(x) and x and len(self.constants) < MOST_CONSTANTS:
            self.constants.add(x)

    def _note(self, name: str, place: tuple[str, int] | None, operands: list[Tensor], out: Tensor) -> None:
        backward = is_backward()
        key = (name, backward, place)
        occurrence = self._met[key] = self._met.get(key, -1) + 1
        for towards, distance in self._distances(name, operands, out):
            site = Site(name, backward, place, occurrence, towards)
            self.distances[site] = distance.nan_to_num(math.inf).cpu()

    def _distances(self, name: str, operands: list[Tensor], out: Tensor) -> Distances:
        ins = [rows for rows in (self._rows(x, out) for x in operands) if rows is not None]
        result = self._rows(out, out)
        if name in COMPARED:
            tensors = [x for x in operands if x.dim()] or operands[:1]
            yield from _comparisons(ins, tensors[0].dtype)
        elif ins and name in AT_ZERO:
            yield from _comparisons([ins[0], torch.zeros_like(ins[0])], operands[0].dtype)
        elif ins and name in STEPPED:
            yield "a switch", (binades(ins[0] - ins[0].round()) + LEAST_STEP).clamp(min=0).amin(1)
        elif result is not None and out.is_floating_point():
            yield from self._of_numbers(name, ins, result)

    def _of_numbers(self, name: str, ins: list[Rows], out: Rows) -> Distances:
        form = self.form
        if len(ins) > TO_ZERO.get(name, math.inf):
            x = ins[TO_ZERO[name]]
            size = x.abs().amax(1) if "norm" in name else x.abs().amin(1)
            yield "zero", from_zero(size, form)
        if ins and name == "log1p":
            yield "zero", _closeness((ins[0] + 1).abs(), form)
        if ins and name in TO_ONE:
            yield "one", _closeness((ins[0].abs() - 1).abs(), form)
        if name in SATURATING:
            yield "one", _closeness((out.abs() - 1).abs(), form)
        size = binades(out)
        yield "overflow", (form.emax + 1 - size).clamp(min=0).amin(1)
        if name in PRODUCTS and ins:
            live = torch.stack([x.abs().expand_as(out) if x.shape[1] in (1, out.shape[1]) else out for x in ins])
            shrunk = (size - form.emin).clamp(min=0)
            yield "underflow", torch.where((live != 0).all(0), shrunk, math.inf).amin(1)
        if name in SUMS and ins:
            yield from self._of_sum(ins, out)

    def _of_sum(self, ins: list[Rows], out: Rows) -> Distances:
        precision = self.form.precision
        if len(ins) >= 2 and all(x.shape[1] in (1, out.shape[1]) for x in ins[:2]):
            a, b = (x.abs().expand_as(out) for x in ins[:2])
            largest, least = torch.maximum(a, b), torch.minimum(a, b)
            apart = torch.where(least > 0, binades(largest) - binades(least), math.inf)
            yield "absorption", (apart - precision).abs().amin(1)
        else:
            largest = ins[0].abs().amax(1, keepdim=True)
        left = torch.where(out == 0, 0.0, (binades(out) - binades(largest) + precision).clamp(min=0))
        yield "cancellation", torch.where(largest > 0, left, math.inf).amin(1)

    def _rows(self, x: Tensor, like: Tensor) -> Rows | None:
        """The elements of each sample, broadcast as the operation does; None where samples cannot be told apart."""
        if (x.dim() and x.dim() < like.dim()) or (x.dim() == like.dim() and x.shape != like.shape):
            with_shape = _broadcast(x, like)
            x = x if with_shape is None else with_shape
        if x.numel() > self.count * LARGEST_ROW or x.dtype not in (*DTYPES, torch.bool):
            return None
        if x.numel() == 1:
            return x.to(like.device).double().reshape(1, 1).expand(self.count, 1)
        if self.count == 1 or (x.dim() and x.shape[0] == self.count):
            return x.double().reshape(self.count, -1)
        return None


def binades(x: Tensor) -> Tensor:
    """log2 |x| of doubles, with straight lines between powers of two; -1023 at 0.

    Example:
        >>> binades(torch.tensor([-8.0, 12.0, 2.0**-60]).double())
        tensor([  3.0000,   3.5000, -60.0000], dtype=torch.float64)
    """
    return x.abs().view(torch.int64).double() * 2.0**-52 - 1023


def size_of(binades: float) -> float:
    """The number above 0 that lies so many binades from 1, on the same lines."""
    return float(torch.tensor(round((binades + 1023) * 2**52)).view(torch.float64))


def from_zero(size: Tensor, form: Format) -> Tensor:
    """Binades between sizes and 0: 1 for the smallest float."""
    return torch.where(size == 0, 0.0, binades(size) - _least_binade(form) + 1)


def size_from_zero(distance: float, form: Format) -> float:
    """The size at a distance from 0."""
    return size_of(distance - 1 + _least_binade(form)) if distance else 0.0


def _least_binade(form: Format) -> float:
    return float(binades(torch.tensor(form.smallest_subnormal, dtype=torch.float64)))


def _broadcast(x: Tensor, like: Tensor) -> Tensor | None:
    try:
        return torch.broadcast_to(x, like.shape)
    except RuntimeError:
        return None


def _closeness(gap: Rows, form: Format) -> Tensor:
    """Binades between the least gap of a sample and the unit roundoff."""
    return (binades(gap) + form.precision).clamp(min=0).amin(1)


def _comparisons(ins: list[Rows], dtype: torch.dtype) -> Distances:
    """How many floats, in powers of two, lie between an operand and what it is compared with."""
    if dtype not in DTYPES:
        return
    x = ins[0].to(dtype)
    for bound in ins[1:]:
        yield "equality", binades(_floats_between(x, bound.to(dtype).expand_as(x)) + 1).amin(1)


def _floats_between(a: Tensor, b: Tensor) -> Tensor:
    """As doubles; exact where they are few."""
    ranks, others = ordinals(a), ordinals(b)
    far = (ranks.double() - others.double()).abs()
    near = (ranks - others).abs().double()
    apart = torch.where(far > 2.0**60, far, near)
    return torch.where(a == b, 0.0, torch.where(a.isnan() | b.isnan(), math.inf, apart))


def watched(program: Program, points: Points) -> Reading:
    """The distances of all operations at all samples; nothing is known of samples at which the program raises."""
    caller, count = Caller(program), count_of(points)
    if not program.together:
        return Reading.of(count, [([row], _watched(caller, rows_of(points, row, row + 1), 1)) for row in range(count)])
    whole = _watched(caller, points, count)
    if whole is not None:
        return Reading(whole.distances, frozenset(whole.constants))
    fine = (~program.run(points, gradients=False).raised).nonzero().flatten()
    part = _watched(caller, rows_at(points, fine), len(fine)) if 0 < len(fine) < count else None
    return Reading.of(count, [(fine.tolist(), part)])


def _watched(caller: Caller, points: Points, count: int) -> Watch | None:
    """The distances of one call; None where it raises."""
    watch = Watch(count, caller.program.form)
    try:
        leaves = caller.leaves(points, single=not caller.program.batched, gradients=True)
        with watch:
            caller.differentiated(leaves)
    except Exception:  # the program's own
        return None
    return watch


@dataclass(frozen=True)
class Reading:
    """What was seen of some samples: distances [N] by site, and the constants of the program."""

    distances: Mapping[Site, Tensor]
    constants: frozenset[float]

    @classmethod
    def of(cls, count: int, parts: Sequence[tuple[list[int], Watch | None]]) -> Reading:
        """From calls with some of the samples each."""
        distances: dict[Site, Tensor] = {}
        constants: set[float] = set()
        for rows, watch in parts:
            for site, distance in ({} if watch is None else watch.distances).items():
                if site not in distances:
                    distances[site] = torch.full((count,), math.inf, dtype=torch.float64)
                distances[site][rows] = distance
            constants |= set() if watch is None else watch.constants
        return cls(distances, frozenset(constants))


def constants_near(constants: Iterable[float], form: Format) -> Tensor:
    """The constants rounded to the format, with their negatives and all neighbours; doubles [M]."""
    rounded = torch.tensor(sorted({s * c for c in constants for s in (-1, 1)}), dtype=torch.float64).to(form.dtype)
    return torch.cat([rounded, neighbours(rounded), neighbours(rounded, -1)]).double()
