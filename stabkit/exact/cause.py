"""From a failing sample to the cause of its failure, read off the native run and its float64 shadow.

The shadow is evidence, not proof: where both runs go wrong alike the formula, a clamp or a switch is at fault.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

from stabkit.exact.shadow import Pair
from stabkit.exact.steps import Step
from stabkit.floats import FORMATS, Format

SATURATING = ("sigmoid", "tanh", "erf", "softmax", "log_softmax")
CLAMPING = ("clamp", "clamp_min", "clamp_max", "maximum", "minimum", "relu", "hardtanh")
HIDDEN_CLAMPS = {"binary_cross_entropy": 100.0}  # what kernels cut their results off at
MASKING = ("where", "masked_fill")
PRODUCTS = ("mul", "div", "exp", "exp2", "pow", "square", "reciprocal", "rsqrt", "prod", "erfc", *SATURATING)
GROWING = ("add", "sub", "rsub", "sum", "mean", "mul", "exp", "exp2", "square", "matmul", "mm", "bmm", "dot")
SUMS = ("add", "sub", "rsub", "sum", "mean")

HINTS = {
    "cancellation": "two nearly equal numbers are subtracted; rearrange with expm1, log1p or a factored form",
    "absorption": "a small number is lost beside a large one; use log1p, expm1 or keep the small part separate",
    "overflow": "an intermediate result is beyond the largest float; work in log space or factor the scale out",
    "underflow": "an intermediate result is below the smallest float; keep its logarithm instead",
    "singularity": "an operation runs at its singular point; rewrite so that the operand stays away from it",
    "indeterminate": "inf - inf, 0 * inf or 0/0; clip the input of the branch that is not taken, or rearrange",
    "saturation": "a sigmoid, tanh or softmax is rounded to its limit; use the log form (logsigmoid, log_softmax)",
    "clamp": "a clamp or eps guard binds inside the domain; widen it, or drop it for a stable form",
    "branch": "a switch between formulas; move the crossover or use one formula for both sides",
    "unselected_branch": "where() lets the branch not taken into the gradient; clip its input first",
    "backward_formula": "the value is right, its derivative is not; write the backward in closed form",
    "approximation": "the formula is not the definition; compare it with the reference term by term",
    "cast": "a dtype changes silently; keep the dtype of the inputs",
    "detached": "the gradient is cut; remove the detach or the round trip through numbers",
}


def cause_of(pairs: Sequence[Pair], form: Format, got: float, in_gradient: bool, also_in_float64: bool) -> str:
    """One of `HINTS`' causes.

    Args:
        pairs: the operations where it fails, natively and in float64.
        form: the audited format.
        got: the failing number.
        in_gradient: whether that number is a slope.
        also_in_float64: whether float64 gives about the same wrong number.
    """
    if not math.isfinite(got):
        return "unselected_branch" if in_gradient and _masks_leak(pairs) else _of_not_finite(pairs, form)
    relevant = [p for p in pairs if in_gradient or not p.native.backward]
    if also_in_float64 or (form.name == "float64" and not any(p.wide.reals for p in pairs)):
        return _without_shadow([p.wide for p in relevant])
    blamed = max(relevant, key=lambda p: p.amplification, default=None)
    if blamed is None or blamed.amplification < 2:
        return "backward_formula" if in_gradient else "approximation"
    return _of_step(blamed, relevant, form)


def cause_of_difference(step: Step) -> str:
    """Which kind of constant makes an operation give something else in another reading of the program."""
    if step.name in CLAMPING or step.name in SUMS:
        return "clamp"
    return "branch" if step.name.startswith(("where", "threshold")) else "approximation"


def blamed_step(pairs: Sequence[Pair], got: float, in_gradient: bool) -> Step | None:
    """The operation that went wrong: the first whose result is not finite, else the one that lost most bits."""
    if not math.isfinite(got):
        return next((p.native for p in pairs if not all(map(math.isfinite, p.native.output))), None)
    relevant = [p for p in pairs if in_gradient or not p.native.backward]
    worst = max(relevant, key=lambda p: p.amplification, default=None)
    return worst.native if worst is not None and worst.amplification >= 1 else None


def _without_shadow(steps: Sequence[Step]) -> str:
    """Where float64 itself is off, nothing wider shows the place: guessed from sizes of operands and results."""
    if any(_clamp_binds(s) for s in steps):
        return "clamp"
    if any(_vanishes(s, FORMATS["float64"]) for s in steps):
        return "underflow"
    for step, following in itertools.pairwise(steps):
        if _absorbs(step) and following.name.startswith("log"):
            return "absorption"
    cancelling = max((_shrinkage(s) for s in steps if s.name in SUMS), default=0.0)
    return "cancellation" if cancelling >= 16 else "approximation"


def _absorbs(step: Step) -> bool:
    """Whether a sum came out equal to one operand although the other is not zero."""
    operands = [v for row in step.inputs for v in row]
    return step.name in SUMS and len(operands) >= 2 and 0 not in operands and any(v in operands for v in step.output)


def _vanishes(step: Step, form: Format) -> bool:
    """Whether a product, quotient or power of normal numbers came out subnormal or zero."""
    small = [k for k, out in enumerate(step.output) if abs(out) < form.smallest_normal]
    if step.name not in PRODUCTS or not step.inputs:
        return False
    return any(form.smallest_normal <= min(map(abs, step.operands_of(k)), default=0.0) for k in small)


def _shrinkage(step: Step) -> float:
    """How much smaller a sum is than its largest operand."""
    largest = max((abs(v) for row in step.inputs for v in row), default=0.0)
    smallest = min((abs(v) for v in step.output), default=0.0)
    return largest / smallest if smallest else math.inf if largest else 0.0


def _of_not_finite(pairs: Sequence[Pair], form: Format) -> str:
    """The first operation whose result is not finite tells, at the element that should be."""
    for index, pair in enumerate(pairs):
        broken = [k for k, v in enumerate(pair.native.output) if not math.isfinite(v)]
        if not broken:
            continue
        k = next((k for k in broken if all(map(math.isfinite, pair.wide.output[k : k + 1]))), broken[0])
        here = replace(pair, native=_at(pair.native, k), wide=_at(pair.wide, k))
        if not all(math.isfinite(v) for row in here.native.inputs for v in row):
            return "indeterminate"
        if not _is_singular(here.native):
            return "overflow"
        return _why_singular(here, _makers(pair.native.inputs, pairs[:index]), form)
    return "indeterminate"


def _at(step: Step, element: int) -> Step:
    """An operation at one element of its result, with the elements of its operands that made it."""
    count = len(step.output)
    rows = tuple(row[element : element + 1] if len(row) == count else row for row in step.inputs)
    return replace(step, inputs=rows, output=step.output[element : element + 1], reals=())


def _masks_leak(pairs: Sequence[Pair]) -> bool:
    """Whether slopes turn NaN where zeros that a mask put in their place meet what is not finite, or divide zero."""
    backward = [p.native for p in pairs if p.native.backward]
    first = next((k for k, s in enumerate(backward) if any(map(math.isnan, s.output))), len(backward))
    masked = any(s.name in MASKING and 0 in s.output for s in backward[:first])
    return masked and any(v == 0 for s in backward[first : first + 1] for row in s.inputs for v in row)


def _is_singular(step: Step) -> bool:
    """Whether a non-finite result comes from a singular point rather than from size."""
    if any(math.isnan(v) for v in step.output):
        return True
    zero = step.name not in GROWING and any(v == 0 for row in step.inputs for v in row)
    return zero or step.name.startswith(("log", "atanh", "erfinv", "digamma", "lgamma"))


def _why_singular(pair: Pair, makers: Sequence[Pair], form: Format) -> str:
    """What drove an operand into the singular point, if float64 was not driven there."""
    moved = [
        (a, b)
        for x, y in zip(pair.native.inputs, pair.wide.inputs, strict=False)
        for a, b in zip(x, y, strict=False)
        if a != b
    ]
    if not moved:
        return "underflow" if any(_vanishes(p.native, form) for p in makers) else "singularity"
    native, wide = max(moved, key=lambda ab: (ab[0] == 0, abs(ab[0] - ab[1])))
    if native == 0 and abs(wide) < form.smallest_normal:
        return "underflow"
    if not makers:
        return "singularity"
    if makers[-1].native.name in SATURATING:
        return "saturation"
    if pair.native.backward:
        return "singularity"
    return "cancellation" if native == 0 else "absorption"


def _makers(inputs: tuple[tuple[float, ...], ...], earlier: Sequence[Pair]) -> list[Pair]:
    """The operations that gave one of the operands, the latest last."""
    return [p for p in earlier if p.native.output in inputs]


def _of_step(blamed: Pair, pairs: Sequence[Pair], form: Format) -> str:
    """What the operation that loses most bits does to its operands."""
    step = blamed.native
    if step.name == "to_copy":
        return "cast"
    if step.name in CLAMPING:
        return "clamp"
    if step.name.startswith(("where", "threshold")):
        return "branch"
    if any(math.isinf(v) for row in step.inputs for v in row) or any(abs(v) >= form.largest / 2 for v in step.output):
        return "overflow"
    if step.name in SUMS:
        return "cancellation" if _shrinkage(blamed.wide) > 2 else "absorption"
    if step.name in SATURATING:
        return "saturation"
    made_by = {p.native.name for p in pairs if p.native.output in step.inputs}
    if step.name.startswith("log") and made_by & set(SATURATING):
        return "saturation"
    if step.name.startswith("log") and made_by & set(SUMS):
        return "absorption"  # what 1 + x lost of a small x, the logarithm shows
    if _vanishes(step, form):
        return "underflow"
    return "backward_formula" if step.backward else "cancellation"


def _clamp_binds(step: Step) -> bool:
    hidden = HIDDEN_CLAMPS.get(step.name)
    if hidden is not None:
        return any(abs(v) == hidden for v in step.output)
    return step.name in CLAMPING and bool(step.inputs) and step.output != step.inputs[0]
