"""One audit as plain data, which crosses process borders and loads no torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Task = Literal["audit", "range"]
DTYPES = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class Job:
    """One target to audit, as plain data that crosses process borders.

    Attributes:
        arguments: `--arg` texts.
        seconds: for all dtypes together.
        task: what is asked about it.
        fail_on: `error`, or `warning` where warnings end a range too.
        tolerance, natural_scale: of the error rule; None for the target's own.
        properties: `--property` texts.
    """

    run_by: ClassVar[str] = "stabkit.auditor:audit_target"

    target: str
    arguments: tuple[str, ...] = ()
    reference: str | None = None
    dtypes: tuple[str, ...] = DTYPES
    device: str = "cpu"
    seed: int = 0
    seconds: float = 20.0
    task: Task = "audit"
    fail_on: str = "error"
    tolerance: float | None = None
    natural_scale: float | None = None
    properties: tuple[str, ...] = ()
