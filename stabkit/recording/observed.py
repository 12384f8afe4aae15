"""What calls of a loss hold, gathered without waiting for the device and without keeping a tensor alive.

Extremes stay on the device as small tensors; `read` brings them to the host at the end.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.distributions import Distribution

Shape: TypeAlias = tuple[int, ...]

SUM_EPSILONS = 8  # by which a row of probabilities may miss 1
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class Extremes:
    """What is kept of all tensors that one argument was given on one device.

    Attributes:
        maxima: of -x and x, finite ones alone; of -|x|, whether x has a fraction, and whether a row along the last axis
            does not sum to 1, which mean nothing beside NaN or inf. Of integers only the first two.
        counts: of NaN, inf and -inf.
    """

    maxima: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Observed:
    """What one tensor argument held in all calls, on the host."""

    kind: str
    low: float
    high: float
    least: float = 0.0
    whole: bool = True
    simplex: bool = False
    nans: int = 0
    above: int = 0
    below: int = 0


@dataclass
class Seen:
    """Everything that calls have shown so far, by argument; `p.loc` for a parameter of a distribution."""

    calls: int = 0
    forms: dict[str, Counter[str]] = field(default_factory=dict)
    firsts: dict[str, Any] = field(default_factory=dict)
    varying: set[str] = field(default_factory=set)
    extremes: dict[str, dict[Any, Extremes]] = field(default_factory=dict)
    with_gradient: set[str] = field(default_factory=set)
    layouts: dict[tuple[tuple[str, Shape], ...], None] = field(default_factory=dict)  # in the order they came


def extremes_of(x: Tensor) -> Extremes:
    """The extremes of one tensor [...] that is not empty, on its device."""
    if not x.is_floating_point():
        maxima = torch.stack([-x.long().amin(), x.long().amax()])
        return Extremes(maxima, torch.zeros_like(maxima[:1]).expand(3))
    wide, infinite = torch.promote_types(x.dtype, torch.float32), math.inf
    low, high = (x.nan_to_num(v, v, v) for v in (infinite, -infinite))
    fraction = (x != x.round()).any()
    uneven = torch.ones_like(fraction)
    if x.dim() and x.shape[-1] > 1:
        uneven = ~((x.sum(-1, dtype=wide) - 1).abs() <= SUM_EPSILONS * torch.finfo(x.dtype).eps).all()
    maxima = torch.stack([v.to(wide) for v in (-low.amin(), high.amax(), -x.abs().amin(), fraction, uneven)])
    return Extremes(maxima, torch.stack([x.isnan().sum(), (x == infinite).sum(), (x == -infinite).sum()]))


def see(seen: Seen, arguments: Mapping[str, Any]) -> None:
    """Adds one call to what was seen; to be called under `torch.no_grad`."""
    seen.calls += 1
    layout: dict[str, Shape] = {}
    for name, value in arguments.items():
        try:
            form = _form(seen, name, value, layout)
        except Exception as error:  # the user's loop goes on whatever a tensor cannot do
            form = f"something that cannot be observed ({type(error).__name__})"
        seen.forms.setdefault(name, Counter())[form] += 1
    seen.layouts[tuple(layout.items())] = None


def _form(seen: Seen, name: str, value: Any, layout: dict[str, Shape]) -> str:
    """`tensor`, `literal`, the name of a distribution, or in words what cannot be declared; what it holds is added."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, Tensor):
        return _see_tensor(seen, name, value, layout)
    if isinstance(value, Distribution):
        parameters = _parameters_of(value)
        forms = {_see_tensor(seen, f"{name}.{n}", x, layout) for n, x in parameters.items()}
        return type(value).__name__ if forms == {"tensor"} else f"{type(value).__name__} distribution"
    if _is_plain(value):
        if name not in seen.firsts:
            seen.firsts[name] = copy.deepcopy(value)
        elif value != seen.firsts[name]:
            seen.varying.add(name)
        return "literal"
    return f"{type(value).__name__} object"


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _see_tensor(seen: Seen, name: str, x: Tensor, layout: dict[str, Shape]) -> str:
    if x.layout is not torch.strided or x.is_nested or x.is_complex() or x.is_meta:
        return "a sparse, nested, complex or meta tensor"
    if x.is_cuda and torch.cuda.is_current_stream_capturing():  # what is captured runs later, and again
        return "a tensor inside a CUDA graph"
    if x.is_floating_point() and x.dtype not in FLOATS:
        return f"a tensor of {x.dtype}"
    if torch._C._functorch.is_functorch_wrapped_tensor(x):  # it ends with its transform
        return "a tensor inside a torch.func transform"
    if x.requires_grad:
        seen.with_gradient.add(name)
    if x.numel():
        layout[name] = tuple(x.shape)
        kind = "float" if x.is_floating_point() else "bool" if x.dtype is torch.bool else "integer"
        place = (kind, x.device, torch.cuda.current_stream(x.device) if x.is_cuda else None)
        found, known = extremes_of(x), seen.extremes.setdefault(name, {})
        if place in known:
            old = known[place]
            found = Extremes(torch.maximum(old.maxima, found.maxima), old.counts + found.counts)
        known[place] = found
    return "tensor"


def _parameters_of(distribution: Distribution) -> dict[str, Tensor]:
    """The tensors that a distribution of torch is built from; none where tensors alone do not build it."""
    family = type(distribution)
    if getattr(torch.distributions, family.__name__, None) is not family:
        return {}
    own = vars(distribution)
    names = [n for n in distribution.arg_constraints if n in own or type(getattr(family, n, None)) is property]
    if {"probs", "logits"} <= set(names):  # one of them was computed from the other
        names.remove("logits" if own.get("_param") is own.get("probs") else "probs")
    values = {n: getattr(distribution, n) for n in names}
    takes = inspect.signature(family).parameters
    needed = {n for n, p in takes.items() if p.default is not None}
    most = len(distribution.batch_shape) + 1  # a matrix cannot be drawn number by number
    is_told = needed <= set(values) <= set(takes)
    if not is_told or not all(isinstance(v, Tensor) and v.dim() <= most for v in values.values()):
        return {}
    return values


def read(extremes: Mapping[Any, Extremes]) -> Observed:
    """What stands on the devices, on the host; this waits for them."""
    kind = next(k for k in ("float", "integer", "bool") if any(place[0] == k for place in extremes))
    chosen = [e for place, e in extremes.items() if place[0] == kind]
    for device in {e.maxima.device for e in chosen if e.maxima.is_cuda}:
        torch.cuda.synchronize(device)
    maxima = [max(column) for column in zip(*(e.maxima.tolist() for e in chosen), strict=True)]
    nans, above, below = (sum(column) for column in zip(*(e.counts.tolist() for e in chosen), strict=True))
    if kind != "float":
        return Observed(kind, -maxima[0], maxima[1])
    low, high, least, fraction, uneven = maxima
    return Observed(kind, -low, high, -least, not fraction, low <= 0 and not uneven, nans, above, below)
