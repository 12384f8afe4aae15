"""Certificates of every form of one number in the zoo, in 16 bits, and how long each takes on one core.

python -m stabkit.suites.certificates
python -m stabkit.suites.certificates exp_lin_scale --dtype float32 --inputs 100000000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from stabkit.certificates.certificate import Certificate, Tally, begun, extended
from stabkit.certificates.certifier import opened
from stabkit.certificates.certify_job import CertifyJob
from stabkit.certificates.exhaustion import count
from stabkit.domain import Interval
from stabkit.spec import Spec
from stabkit.target import leaves_of
from stabkit.zoo import find

HEADS = ("form", "dtype", "what is known", "value", "gradient", "at most", "seconds")
WARM_UP = 2**10  # inputs before the clock starts: torch loads much at first use


@dataclass(frozen=True)
class Timed:
    """A certificate, or as much of one as was asked for, and the seconds of one core that it took."""

    certificate: Certificate
    seconds: float

    def __str__(self) -> str:
        c = self.certificate
        slopes = [t for t in c.numbers if t.of != "value"]
        bits = max((float(t.most_excess.at_most) for t in c.numbers if t.most_excess), default=0.0)
        cells = (
            c.identity.target.removeprefix("zoo:"),
            c.identity.dtype,
            _known(c),
            f"{_ulps(c.numbers[:1])} ulps",
            f"{_ulps(slopes)} ulps" if slopes else "none",
            f"{max(bits, 0.0):.1f} bits",
            f"{self.seconds:.2f}",
        )
        return f"| {' | '.join(cells)} |"


def _known(c: Certificate) -> str:
    if c.failures or c.unresolved:
        return f"{c.failures:,} numbers fail, {c.unresolved:,} open"
    return f"{'proved on' if c.is_proof else 'so far'} {c.done:,}"


def _ulps(tallies: Sequence[Tally]) -> str:
    worst = max((float(t.most_ulps.at_most) for t in tallies if t.most_ulps), default=0.0)
    return f"{worst:.4g}"


def unary() -> Iterator[Spec]:
    """The scale parameterizations of one number."""
    for spec in find("zoo:parameterizations"):
        arguments = list(leaves_of(spec.parameters))
        if len(arguments) == 1 and isinstance(arguments[0].domain, Interval) and not arguments[0].shape:
            yield spec


def timed(name: str, dtype: str, inputs: int | None = None) -> Timed:
    """One form certified in this process, from the middle of its domain if only some inputs are asked for."""
    examiner, space, identity = opened(CertifyJob("open", f"zoo:{name}", dtype=dtype))
    count(examiner, space, 0, min(WARM_UP, space.count))
    certificate = begun(identity, "")
    first = 0 if inputs is None else max(0, (space.count - inputs) // 2)
    last = space.count if inputs is None else min(space.count, first + inputs)
    started = time.process_time()
    for start in range(first, last, identity.chunk):
        stop = min(start + identity.chunk, last)
        certificate = extended(certificate, stop - start, count(examiner, space, start, stop))
    return Timed(certificate, time.process_time() - started)


def table(names: Sequence[str], dtypes: Sequence[str], inputs: int | None = None) -> Iterator[str]:
    """The lines of a Markdown table, as they are measured."""
    yield f"| {' | '.join(HEADS)} |"
    yield "|" + "---|" * len(HEADS)
    for name in names:
        for dtype in dtypes:
            yield str(timed(name, dtype, inputs))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="float16,bfloat16", help="comma-separated")
    parser.add_argument("--inputs", type=int, help="so many from the middle of the domain, rather than all")
    parser.add_argument("names", nargs="*", help="zoo names; all scale parameterizations of one number if none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = options.names or [spec.name for spec in unary()]
    for line in table(names, options.dtype.split(","), options.inputs):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
