"""An audit from Python: the function itself instead of its name, in this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from stabkit.audit_job import Job
from stabkit.auditor import audit_target
from stabkit.collect import Collected, result_of
from stabkit.errors import TargetError
from stabkit.facts.properties import parse_property
from stabkit.finding import Result
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.recording.address import address_of
from stabkit.target import Target, resolve, target_of, with_properties


def audit(
    function: Callable[..., Any] | str,
    arguments: Mapping[str, str] | None = None,
    *,
    reference: Callable[..., Any] | str | None = None,
    dtypes: str | Sequence[str | torch.dtype] = tuple(FORMATS),
    device: str = "cpu",
    seed: int = 0,
    seconds: float = 20.0,
    tolerance: float | None = None,
    natural_scale: float | None = None,
    properties: Sequence[str] = (),
) -> Result:
    """Where a loss stops computing the mathematics it stands for: what `stabkit audit` finds, for a function at hand.

    It runs in this process, so a loss that does not return, or kills its process, takes the caller along. Torch's
    generators are left as they were.

    Args:
        function: a function, an `nn.Module`, or a name as on the command line.
        arguments: domains by argument name, as after `--arg NAME=`; what is not declared is guessed.
        reference: what is true for one sample, a function as for `--reference` or its name; without one the function
            is its own, replayed on exact real numbers.
        seconds: for all dtypes together.
        tolerance: excess bits that pass, 4 unless given; more is a warning.
        natural_scale: what values are measured by before an error is one, 1 nat unless given.
        properties: what holds of the loss whatever rounding does, as after `--property`: `"value >= 0"`, `"even(x)"`.

    Raises:
        StabkitError: for a function, domain, dtype, reference or property that cannot be used.

    Example:
        >>> import torch, stabkit
        >>> def softplus(x):
        ...     return torch.log(1 + torch.exp(x))
        >>> result = stabkit.audit(softplus, {"x": "[-100,100]"}, dtypes=["float32"], seconds=3)
        >>> sorted({(f.claim, f.cause) for f in result.findings if f.severity == "error"})
        [('gradient_is_finite', 'overflow'), ('value_is_finite', 'overflow')]
    """
    words = tuple(f"{name}={domain}" for name, domain in (arguments or {}).items())
    target = _target(function, [parse_parameter(text) for text in words])
    declared = (properties,) if isinstance(properties, str) else tuple(properties)
    with_properties(target, [parse_property(text) for text in declared])  # a mistake is raised
    names = [str(d).removeprefix("torch.") for d in ([dtypes] if isinstance(dtypes, str) else dtypes)]
    unknown = next((d for d in names if d not in FORMATS), None)
    if unknown is not None or not names:
        raise TargetError(f"dtype {unknown!r}", f"is not one of {', '.join(FORMATS)}", "name some of them")
    if not 0 < seconds < math.inf:
        raise TargetError(f"time {seconds!r}", "is not a positive number of seconds", "write for instance seconds=20")
    if callable(reference):
        target, reference = replace(target, definition=reference), None
    job = Job(
        target.name,
        words,
        reference,
        tuple(names),
        device,
        seed,
        seconds,
        tolerance=tolerance,
        natural_scale=natural_scale,
        properties=declared,
    )
    collected = Collected(target.name)
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        for event in audit_target(job, target):
            collected.add(event)
    return result_of([collected], "", seed, fail_on="error", exit_zero=False, interrupted=False)


def _target(function: Callable[..., Any] | str, declared: Sequence[Any]) -> Target:
    if isinstance(function, str):
        return resolve(function, declared)
    if not callable(function):
        raise TargetError(f"{function!r:.60}", "cannot be called", "pass a function, an nn.Module, or a name")
    return target_of(function, address_of(function).target, declared)
