"""One task of a certification as plain data, which crosses process borders and loads no torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class CertifyJob:
    """Part of the work on one certificate.

    Attributes:
        task: `open` tells what it will be about, `count` counts chunks, `check` tries one again.
        seconds: after which no further chunk is begun.
        first, stride: of the numbers of the chunks to count.
        certificate: the text of the one to check.
        sample: inputs to check besides those that it names.
    """

    run_by: ClassVar[str] = "stabkit.certificates.certifier:events_of"

    task: Literal["open", "count", "check"]
    target: str
    arguments: tuple[str, ...] = ()
    reference: str | None = None
    dtype: str = "float16"
    device: str = "cpu"
    seed: int = 0
    tolerance: float | None = None
    natural_scale: float | None = None
    seconds: float = 3e8
    first: int = 0
    stride: int = 1
    certificate: str = ""
    sample: int = 0
