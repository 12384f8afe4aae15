"""Running a target: in one dtype on one device, many samples at once where they do not influence each other."""

from __future__ import annotations

import contextlib
import copy
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stabkit.distribution import distribution_of
from stabkit.domain import Argument, Fixed, Parameter, is_bool, is_index
from stabkit.errors import DomainError, TargetError, printable
from stabkit.floats import FORMATS, Format
from stabkit.target import Target

Points: TypeAlias = dict[str, Tensor]  # by argument name, samples along the first axis

NOT_A_BATCH = "ValueError: the result has no batch dimension"
MOST_MORE = 1.5  # operations of five samples over those of two, unless the program loops over them
PROBE_ULPS = 64  # vector lanes and tails of one kernel differ by that much


@dataclass(frozen=True)
class Outcome:
    """What a program returned for N samples.

    Attributes:
        values: [N, M], M components a sample, in the dtype the program returned.
        gradients: by argument name, of the sum of a sample's components; [N, *shape].
        raised: [N], the samples at which the program raised instead.
        complaint: the first exception, in words; None if nothing raised.
        detached: the result carries no gradient although an argument asks for one.
    """

    values: Tensor
    gradients: Points
    raised: Tensor
    complaint: str | None
    detached: bool = False


@dataclass(frozen=True)
class Program:
    """A target in one dtype on one device.

    Attributes:
        batched: whether samples run together; settled by `confirm_batching`.
        looped: whether they do so one after another, in a loop of the program's own.
        seed: torch's generator starts from it at every call, so that random draws repeat.
    """

    target: Target
    form: Format
    device: str = "cpu"
    batched: bool = False
    seed: int = 0
    looped: bool = False

    @property
    def together(self) -> bool:
        """Whether many samples cost little more than one."""
        return self.batched and not self.looped

    def in_dtype(self, name: str) -> Program:
        """The same program in another dtype."""
        return replace(self, form=FORMATS[name])

    def run(self, points: Points, gradients: bool = True) -> Outcome:
        """Values and gradients at all samples; a sample that raises is marked and the others go on."""
        call = Caller(self)
        count = len(next(iter(points.values())))
        if self.batched:
            rows = _isolating_failures(lambda part: call(part, count_of(part), gradients), points, count)
        else:
            rows = [
                _caught(lambda part: call(part, None, gradients), rows_of(points, i, i + 1), 1) for i in range(count)
            ]
        return _joined(rows, points)


def require_device(device: str) -> None:
    """Raises TargetError where torch does not see the device."""
    kind, _, index = device.partition(":")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        there = f"torch sees {torch.cuda.device_count()} GPUs"
        raise TargetError(f"device {device!r}", f"is not there: {there}", "use --device cpu")


def count_of(points: Points) -> int:
    """How many samples there are."""
    return len(next(iter(points.values())))


def rows_of(points: Points, start: int, stop: int) -> Points:
    """The samples from start to stop."""
    return {name: x[start:stop] for name, x in points.items()}


def rows_at(points: Points, index: Tensor) -> Points:
    """The samples at those row numbers."""
    return {name: x[index] for name, x in points.items()}


def sample_of(points: Points, row: int) -> dict[str, Any]:
    """One sample as numbers and nested lists, exactly."""
    return {name: (x[row].double() if x.is_floating_point() else x[row]).tolist() for name, x in points.items()}


def points_of(sample: Mapping[str, Any], arguments: tuple[Argument, ...], form: Format) -> Points:
    """One sample as a batch of one in the dtype, values rounded to nearest."""
    return {
        a.name: torch.tensor(sample[a.name], dtype=torch.float64).to(dtype_of(a, form)).reshape(1, *a.shape)
        for a in arguments
    }


def points_of_many(samples: Sequence[Mapping[str, Any]], arguments: tuple[Argument, ...], form: Format) -> Points:
    """Several samples as one batch in the dtype, values rounded to nearest."""
    rows = [points_of(sample, arguments, form) for sample in samples]
    return {a.name: torch.cat([row[a.name] for row in rows]) for a in arguments}


def dtype_of(argument: Argument, form: Format) -> torch.dtype:
    """The dtype of an argument's tensor when `form` is audited."""
    if is_bool(argument.domain):
        return torch.bool
    return torch.int64 if is_index(argument.domain) else form.dtype


class Caller:
    """Calls the target's function with tensors in place of its parameters."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.function: Callable[..., Any] = program.target.function
        if isinstance(self.function, torch.nn.Module):
            self.function = copy.deepcopy(self.function).to(device=program.device, dtype=program.form.dtype)

    def __call__(self, points: Points, count: int | None, gradients: bool) -> Outcome:
        """One call; `count` samples along the batch dimension, or None for a single sample."""
        leaves = self.leaves(points, single=count is None, gradients=gradients)
        result, slopes = self.differentiated(leaves)
        if count is not None and result.shape[:1] != (count,):
            raise ValueError(NOT_A_BATCH.removeprefix("ValueError: "))
        values = result.reshape(1, -1) if count is None else result.reshape(count, -1)
        found = {n: g.detach().cpu().reshape(points[n].shape) for n, g in slopes.items()}
        detached = any(x.requires_grad for x in leaves.values()) and not result.requires_grad
        return Outcome(values.detach().cpu(), found, torch.zeros(len(values), dtype=torch.bool), None, detached)

    def differentiated(self, leaves: Points) -> tuple[Tensor, Points]:
        """The loss, and its sum's derivatives by the leaves that ask for one; none where it carries no gradient."""
        # a target may write into what it is given, which autograd forbids only on leaves
        result = self.result_of({n: x.clone() if x.requires_grad else x for n, x in leaves.items()})
        wanted = {n: x for n, x in leaves.items() if x.requires_grad}
        if not wanted or not result.requires_grad:
            return result, {}
        slopes = torch.autograd.grad(result, list(wanted.values()), torch.ones_like(result), allow_unused=True)
        pairs = zip(wanted.items(), slopes, strict=True)
        return result, {n: torch.zeros_like(x) if g is None else g for (n, x), g in pairs}

    def leaves(self, points: Points, single: bool, gradients: bool) -> Points:
        """The tensors to differentiate by, on the device, with the dimensions that one call takes."""
        found = {}
        for a in self.program.target.arguments:
            x = points[a.name].detach().to(self.program.device, copy=True)
            x = x if a.batch or not single else x.reshape(a.shape)
            found[a.name] = x.requires_grad_(gradients and a.is_differentiable and x.is_floating_point())
        return found

    def result_of(self, leaves: Points) -> Tensor:
        """The loss: the first floating tensor that the target returns."""
        return loss_of(self.returned(leaves), self.program.target.name)

    def returned(self, leaves: Points) -> Any:
        """Whatever the target returns."""
        target = self.program.target
        _start_generators(self.program.seed, self.program.device)
        process = os.getpid()
        values = [(p.name, built(p, leaves)) for p in target.parameters]
        positional = [v for _, v in values[: target.positional]]
        returned = self.function(*positional, **dict(values[target.positional :]), **target.constants)
        if os.getpid() != process:  # a child that the target forked goes no further
            os._exit(0)
        return returned


def _start_generators(seed: int, device: str) -> None:
    """As `torch.manual_seed`, for the generators in use alone: that costs a thousandth of it on a CPU."""
    torch.default_generator.manual_seed(seed)
    if device.startswith("cuda"):
        torch.cuda.manual_seed(seed)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same numbers, NaN counting as one number."""
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())


def inputs_after(program: Program, points: Points) -> Points:
    """What the tensors hold after one call without gradients, on the host; unchanged if the target raises."""
    call = Caller(program)
    passed = call.leaves(points, single=not program.batched, gradients=False)
    with contextlib.suppress(Exception):
        call.result_of(passed)
    return {n: x.detach().cpu().reshape(points[n].shape) for n, x in passed.items()}


def draws_random_numbers(program: Program, points: Points) -> bool:
    """Whether another state of torch's generator gives another result."""
    first, second = (replace(program, seed=program.seed + k).run(points, gradients=False) for k in (0, 1))
    return not same_bits(first.values, second.values)


def built(parameter: Parameter, leaves: Points) -> Any:
    """What a target is called with for one parameter: a tensor, a Python value or a distribution of tensors."""
    if isinstance(parameter, Fixed):
        return parameter.domain.value
    if isinstance(parameter, Argument):
        return leaves[parameter.name]
    return distribution_of(parameter, leaves)


def loss_of(returned: Any, name: str) -> Tensor:
    """The first floating tensor among what a target returns.

    Raises:
        TargetError: where there is none.
    """
    tensors = _tensors_in(returned)
    loss = next((t for t in tensors if _is_loss(t)), None)
    if loss is not None:
        return loss
    kind = f"a {type(returned).__name__}"
    if tensors:
        kind = f"a tensor of {tensors[0].dtype}" if tensors[0].numel() else "an empty tensor"
    raise TargetError(f"target {name!r}", f"returns {kind}, not a floating tensor", "return the loss as a tensor")


def _tensors_in(returned: Any) -> list[Tensor]:
    found = list(returned.values()) if isinstance(returned, Mapping) else returned
    return [v for v in (found if isinstance(found, (list, tuple)) else [found]) if isinstance(v, Tensor)]


def _is_loss(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.numel() > 0


def count_results(program: Program, points: Points) -> int:
    """How many floating tensors the target returns from one call; only the first is audited. 0 where it raises."""
    call = Caller(program)
    with contextlib.suppress(Exception):
        leaves = call.leaves(points, single=not program.batched, gradients=False)
        return sum(map(_is_loss, _tensors_in(call.returned(leaves))))
    return 0


def _caught(call: Callable[[Points], Outcome], points: Points, count: int) -> Outcome:
    try:
        return call(points)
    except TargetError:
        raise
    except Exception as error:  # the target's own; reported, and the sample counted as raised
        text = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        return Outcome(
            torch.full((count, 1), math.nan), {}, torch.ones(count, dtype=torch.bool), printable(text.rstrip(": "))
        )


def _isolating_failures(call: Callable[[Points], Outcome], points: Points, count: int) -> list[Outcome]:
    """Runs a batch; where it raises, halves it until the samples that raise stand alone (64 calls at most)."""
    done, waiting, calls = [], [(0, count)], 0
    while waiting:
        start, stop = waiting.pop(0)
        outcome = _caught(call, rows_of(points, start, stop), stop - start)
        calls += 1
        if outcome.complaint and stop - start > 1 and calls < 64:
            middle = (start + stop) // 2
            waiting = [(start, middle), (middle, stop), *waiting]
        else:
            done.append(outcome)
    return done


def _joined(rows: list[Outcome], points: Points) -> Outcome:
    """Outcomes of consecutive samples as one; what a raising sample lacks is NaN."""
    good = [r for r in rows if r.complaint is None]
    width = max((r.values.shape[1] for r in good), default=1)
    dtype = good[0].values.dtype if good else torch.float64
    values = torch.cat(
        [
            r.values.to(dtype)
            if r.complaint is None and r.values.shape[1] == width
            else torch.full((len(r.raised), width), math.nan, dtype=dtype)
            for r in rows
        ]
    )
    names = [n for n in points if any(n in r.gradients for r in good)]  # in the order of the arguments
    gradients, start = {n: torch.full(points[n].shape, math.nan, dtype=points[n].dtype) for n in names}, 0
    for r in rows:
        for n, g in r.gradients.items():
            gradients[n][start : start + len(r.raised)] = g
        start += len(r.raised)
    complaint = next((r.complaint for r in rows if r.complaint), None)
    return Outcome(values, gradients, torch.cat([r.raised for r in rows]), complaint, any(r.detached for r in good))


def confirm_batching(program: Program, points: Points) -> tuple[Program, str]:
    """The program with `batched` settled by a probe: the same samples together and one at a time.

    Returns:
        The program, and why its samples run one at a time ('' if they run together).

    Raises:
        DomainError: where an operation of it is not implemented for the dtype.
        TargetError: where it raises at every probe, returns no tensor, or detaches its result.
    """
    alone = program.run(points)
    if bool(alone.raised.all()) and "not implemented for '" in (alone.complaint or ""):
        raise DomainError(
            f"dtype {program.form.name}", f"has no implementation ({alone.complaint})", "pass another one"
        )
    if bool(alone.raised.all()):
        raise TargetError(
            f"target {program.target.name!r}",
            f"raises at every input tried ({alone.complaint})",
            "declare its arguments with --arg NAME=DOMAIN"
            if program.target.guesses
            else "call it by hand at one input",
        )
    if alone.detached:
        raise TargetError(
            f"target {program.target.name!r}",
            "returns a result without gradient",
            "do not detach it, or mark its arguments data: to audit the value alone",
        )
    if not all(a.batch for a in program.target.arguments):
        return program, "declared without a batch dimension"
    outcome = _caught(lambda part: Caller(program)(part, count_of(part), gradients=True), points, len(alone.values))
    if outcome.complaint == NOT_A_BATCH:
        return program, "it reduces over the batch"
    if outcome.complaint or outcome.values.shape != alone.values.shape:
        return program, "it takes one sample a call"
    pairs = [
        (outcome.values, alone.values),
        *((outcome.gradients[n], g) for n, g in alone.gradients.items() if n in outcome.gradients),
    ]
    ok = ~alone.raised
    if not all(_close(a[ok], b[ok], program.form) for a, b in pairs):
        return program, "samples of a batch influence each other"
    together = replace(program, batched=True)
    few = _operations(together, rows_of(points, 0, 2))
    return replace(together, looped=_operations(together, points) > few * MOST_MORE), ""


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that run under it."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def _operations(program: Program, points: Points) -> int:
    """How many operations a run takes."""
    with _Counter() as counter:  # type: ignore[no-untyped-call]
        program.run(points, gradients=False)
    return int(counter.count)


def _close(a: Tensor, b: Tensor, form: Format) -> bool:
    tolerance = PROBE_ULPS * 2 * form.unit_roundoff
    return torch.allclose(
        a.double(), b.double(), rtol=tolerance, atol=PROBE_ULPS * form.smallest_subnormal, equal_nan=True
    )
