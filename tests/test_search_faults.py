"""Every fault of the search benchmark is one, and its twin is none: by mpmath, at the recorded witness."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mpmath
import pytest
import torch
from stabkit.suites.search_faults import FAULTS, Fault
from stabkit.suites.search_tools import convicts, judge_of

from stabkit.checks import NAMES
from stabkit.floats import FORMATS
from stabkit.program import Program, points_of, sample_of

DIGITS = 400  # slopes are differences, of numbers next to 1e-39
PLAIN = SimpleNamespace(
    **{n: getattr(mpmath.mp, n) for n in ("exp", "expm1", "log", "sqrt", "tanh", "erfc", "atan", "pi")},
    number=mpmath.mpf, absolute=mpmath.fabs, maximum=max, minimum=min, lgamma=mpmath.loggamma,
)  # fmt: skip
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)


def lifted(value: Any) -> Any:
    """A number or nested lists as mpmath numbers; indices stay what they are."""
    if isinstance(value, list):
        return [lifted(v) for v in value]
    return mpmath.mpf(value) if isinstance(value, float) else value


def exact_witness(fault: Fault) -> dict[str, Any]:
    """The witness rounded to the dtype, as doubles."""
    return sample_of(points_of(fault.witness, fault.target().arguments, FORMATS[fault.dtype]), 0)


def place_of(of: str) -> tuple[str, int | None]:
    """`value[1]` or `gradient:x[1]` as a name and an index."""
    name, _, index = of.removeprefix("gradient:").partition("[")
    return name, int(index.rstrip("]")) if index else None


def component(fault: Fault, sample: dict[str, Any]) -> Any:
    """The component of the value that is looked at, or the only one."""
    found = fault.definition(PLAIN, *sample.values())
    return found[place_of(fault.of)[1] or 0] if isinstance(found, list) else found


def moved(sample: dict[str, Any], name: str, index: int | None, x: Any) -> dict[str, Any]:
    """The sample with one number replaced."""
    if index is None:
        return {**sample, name: x}
    return {**sample, name: [x if k == index else v for k, v in enumerate(sample[name])]}


def truths(fault: Fault, sample: dict[str, Any]) -> list[Any]:
    """The true number, from both sides where it is a slope, and just beside the witness where it is a limit."""
    name, index = place_of(fault.of)
    if not fault.of.startswith("gradient"):
        try:
            return [component(fault, sample)]
        except ZeroDivisionError:
            return [component(fault, {n: nudged(v, k) for k, (n, v) in enumerate(sample.items())})]
    at = sample[name] if index is None else sample[name][index]
    step = mpmath.mpf(10) ** -120

    def value(x: Any) -> Any:
        return component(fault, moved(sample, name, index, x))

    return [(value(at + 2 * s) - value(at + s)) / s for s in (step, -step)]


def nudged(value: Any, seed: int) -> Any:
    """Numbers moved by 1e-150, each by another multiple of it."""
    if isinstance(value, list):
        return [nudged(v, seed + 3 * k + 1) for k, v in enumerate(value)]
    return value + (seed + 1) * mpmath.mpf(10) ** -150 if isinstance(value, mpmath.mpf) else value


def excess_bits(fault: Fault, got: float, sample: dict[str, Any]) -> float:
    """Bits lost beyond rounding the inputs, between the true numbers from both sides; infinite where not finite."""
    if not math.isfinite(got):
        return math.inf
    form = FORMATS[fault.dtype]
    low, high = min(truths(fault, sample)), max(truths(fault, sample))
    error = max(low - got, got - high, mpmath.mpf(0))
    wobble = mpmath.mpf(0)
    for signs in range(4):
        shifted = {n: wobbled(v, signs >> k & 1, form.unit_roundoff) for k, (n, v) in enumerate(sample.items())}
        wobble = max(wobble, *(abs(t - low) for t in truths(fault, shifted)))
    scale = max(form.unit_roundoff * abs(low) + wobble, mpmath.mpf(form.smallest_subnormal))
    return float(mpmath.log(error / scale, 2)) if error else -math.inf


def wobbled(value: Any, sign: int, u: float) -> Any:
    """Numbers moved relatively by u up or down, elements of a vector in turns."""
    if isinstance(value, list):
        return [wobbled(v, sign ^ (k & 1), u) for k, v in enumerate(value)]
    return value * (1 + (u if sign else -u)) if isinstance(value, mpmath.mpf) else value


def native(fault: Fault, function: Callable[..., torch.Tensor]) -> tuple[float, torch.dtype]:
    """What a function gives at the witness for the number that is looked at, run by itself, and its dtype."""
    points = points_of(fault.witness, fault.target().arguments, FORMATS[fault.dtype])
    leaves = [x.requires_grad_(x.is_floating_point()) for x in points.values()]
    result = function(*leaves)
    name, index = place_of(fault.of)
    if fault.of.startswith("gradient"):
        leaf = leaves[list(points).index(name)]
        (slope,) = torch.autograd.grad(result.sum(), leaf)
        return slope.flatten()[index or 0].item(), result.dtype
    return result.flatten()[index or 0].item(), result.dtype


@each_fault
def test_the_witness_proves_the_fault_and_the_twin_is_right_there(fault: Fault) -> None:
    with mpmath.workdps(DIGITS):
        sample = {n: lifted(v) for n, v in exact_witness(fault).items()}
        (got, dtype), (instead, kept) = native(fault, fault.function), native(fault, fault.twin)
        assert kept == FORMATS[fault.dtype].dtype
        assert all(mpmath.isfinite(t) and abs(t) <= FORMATS[fault.dtype].largest for t in truths(fault, sample))
        assert excess_bits(fault, instead, sample) <= 4
        if fault.claims == ("dtype_is_kept",):
            assert dtype != FORMATS[fault.dtype].dtype
        elif any(c.endswith("_finite") for c in fault.claims):
            assert not math.isfinite(got)
        else:
            assert math.isfinite(got)
            assert excess_bits(fault, got, sample) > 6


@each_fault
def test_the_judge_of_every_tool_sees_the_fault_at_its_witness_and_nothing_in_the_twin(fault: Fault) -> None:
    programs = [Program(fault.target(f), FORMATS[fault.dtype]) for f in (fault.function, fault.twin)]
    assert [convicts(fault, judge_of(p), fault.witness) for p in programs] == [True, False]


def test_there_are_twenty_planted_and_twenty_real_ones_of_many_kinds() -> None:
    assert [sum(f.is_real == real for f in FAULTS) for real in (False, True)] == [20, 20]
    assert len({f.name for f in FAULTS}) == len(FAULTS)
    assert len({f.kind for f in FAULTS}) >= 20
    assert {f.dtype for f in FAULTS} == set(FORMATS)
    assert {c for f in FAULTS for c in f.claims} <= set(NAMES)
