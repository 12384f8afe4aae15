"""One audit as plain data, which crosses process borders and loads no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """One target to audit, as plain data that crosses process borders.

    Attributes:
        arguments: `--arg` texts.
        seconds: for all dtypes together.
    """

    target: str
    arguments: tuple[str, ...] = ()
    reference: str | None = None
    dtypes: tuple[str, ...] = ("float16", "bfloat16", "float32", "float64")
    device: str = "cpu"
    seed: int = 0
    seconds: float = 20.0
