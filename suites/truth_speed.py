"""Certified points a second: balls with duals against plain mpmath, on the same points in one run.

python -m stabkit.suites.truth_speed --points 2000
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import mpmath
import torch
from stabkit.reference import gaussian

from stabkit.arithmetic.evaluate import evaluate
from stabkit.arithmetic.plain import evaluate_plain
from stabkit.floats import FORMATS
from stabkit.program import sample_of
from stabkit.search.points import draw
from stabkit.target import resolve

NAMES = ("mean1", "scale1", "mean2", "scale2")


def plain_kl(mean1: Any, scale1: Any, mean2: Any, scale2: Any) -> Any:
    """The same divergence as a user would write it in mpmath."""
    spread = scale1**2 + (mean1 - mean2) ** 2
    return mpmath.log(scale2 / scale1) + spread / (2 * scale2**2) - mpmath.mpf(1) / 2


def fixed_precision_kl(mean1: float, scale1: float, mean2: float, scale2: float) -> list[Any]:
    """Value and `mpmath.diff` slopes at 50 digits: the usual loop, which certifies nothing."""
    point = tuple(map(mpmath.mpf, (mean1, scale1, mean2, scale2)))
    with mpmath.workdps(50):
        orders = [tuple(int(i == j) for j in range(4)) for i in range(4)]
        return [plain_kl(*point), *(mpmath.diff(plain_kl, point, n) for n in orders)]


def compare(points: int, dtype: str = "float32") -> dict[str, float]:
    """Seconds a point of each way, on the same samples, value and gradient."""
    form = FORMATS[dtype]
    drawn = draw(resolve("zoo:kl_textbook", []).arguments, form, points, torch.Generator().manual_seed(0))
    samples = [sample_of(drawn, i) for i in range(points)]
    ways: dict[str, Callable[[dict[str, Any]], object]] = {
        "balls": lambda s: evaluate(gaussian.kl, s, form, NAMES),
        "mpmath, agreeing": lambda s: evaluate_plain(plain_kl, s, form, NAMES),
        "mpmath, 50 digits": lambda s: fixed_precision_kl(**s),
    }
    return {name: _seconds(way, samples) / points for name, way in ways.items()}


def _seconds(way: Callable[[dict[str, Any]], object], samples: list[dict[str, Any]]) -> float:
    start = time.perf_counter()
    for sample in samples:
        way(sample)
    return time.perf_counter() - start


def main() -> None:
    """Prints seconds a point and ratios to the balls."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1000)
    options = parser.parse_args()
    for dtype in FORMATS:
        found = compare(options.points, dtype)
        for name, seconds in found.items():
            ratio = seconds / found["balls"]
            print(f"{dtype:9s} {name:18s} {seconds * 1e6:9.1f} us a point  {ratio:6.1f}x the time of balls")  # noqa: T201


if __name__ == "__main__":
    main()
