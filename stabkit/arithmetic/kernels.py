"""Which float64 kernels of torch may carry intervals: on which builds, over which range, and how far off they are.

The kernels are SLEEF's `u10` functions, documented at 1.0 ulp, or the vector library that torch was built with. The
bounds are attacked by the tests and, with millions of points, by `python -m stabkit.suites.intervals`. A build
that is not listed carries nothing, and all of its truth comes from balls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stabkit.floats import FORMATS

SMALLEST_NORMAL = FORMATS["float64"].smallest_normal
LARGEST = FORMATS["float64"].largest


@dataclass(frozen=True)
class Build:
    """What decides which code a kernel runs: device, release of torch (`2.13`), CPU capability it dispatches on."""

    device: str
    release: str
    capability: str


@dataclass(frozen=True)
class Kernel:
    """One float64 kernel with what is known of it.

    Attributes:
        name: of the function, the same in Arb.
        ulps: bound on its error over [low, high], in ulps of the true result.
        low, high: beyond them its result is not used.
        floor, ceiling: what the true function never goes below or above; inf where there is no such bound.
        rises: whether it increases everywhere (or, if not, decreases); lgamma does neither and has its own rule.
    """

    name: str
    apply: Callable[[Tensor], Tensor]
    ulps: int
    low: float
    high: float
    floor: float = -math.inf
    ceiling: float = math.inf
    rises: bool = True

    @property
    def steps(self) -> int:
        """Neighbours to widen by: the true result's ulp is at most twice the spacing next to the computed one."""
        return 2 * self.ulps


def _kernels(lgamma_ulps: int) -> dict[str, Kernel]:
    """The list of a CPU build; the capabilities differ in lgamma alone."""
    kernels = (
        Kernel("exp", torch.exp, 1, -708.0, 709.0, floor=0.0),
        Kernel("log", torch.log, 1, SMALLEST_NORMAL, LARGEST),
        Kernel("expm1", torch.expm1, 1, -LARGEST, 709.0, floor=-1.0),
        Kernel("log1p", torch.log1p, 1, -1 + 2.0**-53, LARGEST),
        Kernel("tanh", torch.tanh, 1, -LARGEST, LARGEST, floor=-1.0, ceiling=1.0),
        Kernel("erf", torch.erf, 1, -LARGEST, LARGEST, floor=-1.0, ceiling=1.0),
        Kernel("erfc", torch.erfc, 1, -LARGEST, 26.0, floor=0.0, ceiling=2.0, rises=False),
        Kernel("lgamma", torch.lgamma, lgamma_ulps, 1e-300, 1e300, floor=-0.12148629053584963),
    )
    return {k.name: k for k in kernels}


LISTED: Mapping[Build, Mapping[str, Kernel]] = {
    Build("cpu", "2.13", "AVX512"): _kernels(1),
    Build("cpu", "2.13", "AVX2"): _kernels(1),
    Build("cpu", "2.13", "DEFAULT"): _kernels(3),
}


def this_build() -> Build:
    """The build that runs here, on the CPU, where truth is computed."""
    release = ".".join(torch.__version__.split(".")[:2])
    return Build("cpu", release, torch.backends.cpu.get_cpu_capability())


def listed() -> Mapping[str, Kernel] | None:
    """The kernels that may carry intervals now; None on a build not listed, or while subnormals are flushed."""
    kept = (torch.tensor(SMALLEST_NORMAL, dtype=torch.float64) * 0.5).item() > 0  # a user's module may switch it off
    return LISTED.get(this_build()) if kept else None
