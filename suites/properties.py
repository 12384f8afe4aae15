"""Properties of the zoo under Hypothesis: stable forms are right wherever it looks, and faulty ones are found out.

Right is: finite where the truth is representable, accurate by the error rule, value and gradient, nothing unresolved.

    python -m stabkit.suites.properties --examples 1000 zoo:gaussian
"""

import argparse
import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

from stabkit.errors import StabkitError
from stabkit.floats import FORMATS, Format
from stabkit.fuzzing import Fuzzed, undecided
from stabkit.judge import Judgement
from stabkit.spec import Spec
from stabkit.strategies.aim import bits_lost
from stabkit.zoo import find

DATABASE = ".hypothesis/examples"


@dataclass
class Seen:
    """What a property came upon in one dtype.

    Attributes:
        samples: how many were judged.
        unresolved: how many of their numbers could not be settled.
        bits: most bits lost among values and among slopes, 0 at least, 100 for what is not finite.
        failure: what failed at the simplest sample, and that sample.
    """

    form: Format
    samples: int = 0
    unresolved: int = 0
    bits: dict[str, float] = field(default_factory=lambda: {"value": 0.0, "gradient": 0.0})
    failure: str = ""
    witness: dict[str, Any] = field(default_factory=dict)

    def take(self, judgements: Sequence[Judgement]) -> None:
        """Counts one sample in."""
        self.samples += 1
        self.unresolved += undecided(judgements)
        for j in judgements:
            part = "gradient" if j.of.startswith("gradient") else "value"
            self.bits[part] = max(self.bits[part], bits_lost(j, self.form))

    def __str__(self) -> str:
        """`1.2 / 0.0`, most bits lost of values and of slopes."""
        text = " / ".join(f"{x:.1f}" for x in self.bits.values())
        return text + (" FAILS" if self.failure else "") + (f" {self.unresolved} open" if self.unresolved else "")


class _Shelf(ExampleDatabase):
    """The part of a database that belongs to one form in one dtype; Hypothesis itself tells functions by their code."""

    def __init__(self, whole: ExampleDatabase, name: str) -> None:
        super().__init__()
        self._whole, self._name = whole, name.encode()

    def save(self, key: bytes, value: bytes) -> None:
        self._whole.save(key + self._name, value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return self._whole.fetch(key + self._name)

    def delete(self, key: bytes, value: bytes) -> None:
        self._whole.delete(key + self._name, value)


def holds(spec: Spec, dtype: str, examples: int, database: ExampleDatabase | None = None, **options: Any) -> Seen:
    """What Hypothesis came upon in so many samples of a form.

    Args:
        database: where a failure is kept, to be found again at once next time.
        options: further settings of Hypothesis.
    """
    fuzzed, seen = Fuzzed(spec), Seen(FORMATS[dtype])

    def is_right(sample: dict[str, Any]) -> None:
        seen.witness = sample
        seen.take(fuzzed.judged(sample, dtype))
        fuzzed.check(sample, dtype, fail_on="warning")

    usual: dict[str, Any] = {
        "deadline": None,
        "report_multiple_bugs": False,
        "suppress_health_check": list(HealthCheck),
    }
    usual["database"] = None if database is None else _Shelf(database, f"{spec.name} {dtype}")
    tried = settings(max_examples=examples, **usual, **options)(given(fuzzed.samples(dtype))(is_right))
    try:
        tried()
    except AssertionError as error:
        seen.failure = str(error)
    return seen


def lines_of(specs: Sequence[Spec], examples: int, database: ExampleDatabase | None) -> Iterator[tuple[str, bool]]:
    """The rows of a table, each with whether the form is as its label says; below a row what fails in a stable form."""
    yield f"| form | label | {' | '.join(FORMATS)} |", True
    yield "|---|---|" + "---|" * len(FORMATS), True
    for spec in specs:
        seen = {dtype: holds(spec, dtype, examples, database=database) for dtype in FORMATS}
        failures = [s.failure for s in seen.values() if s.failure]
        wrong = spec.status.is_fault != bool(failures) or (
            not spec.status.is_fault and any(s.unresolved for s in seen.values())
        )
        label = "fault" if spec.status.is_fault else "stable"
        yield f"| {spec.name} | {label} | {' | '.join(map(str, seen.values()))} |", not wrong
        for text in failures:
            yield f"    {text}", True


def main() -> None:
    """Prints the table; the exit code is 1 where a stable form fails, or a labelled fault is not found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=300, help="samples a form and dtype")
    parser.add_argument("names", nargs="*", default=["zoo"], metavar="NAME", help="zoo names or families")
    options = parser.parse_args()
    database = DirectoryBasedExampleDatabase(DATABASE)
    right = True
    try:
        names = [n if n.startswith("zoo") else f"zoo:{n}" for n in options.names]
        specs = list({s.name: s for n in names for s in find(n)}.values())
        with contextlib.suppress(KeyboardInterrupt):
            for line, as_labelled in lines_of(specs, options.examples, database):
                print(line + ("" if as_labelled else "  <- not as labelled"), flush=True)  # noqa: T201
                right = right and as_labelled
    except StabkitError as error:
        sys.exit(f"{parser.prog}: {error}")
    sys.exit(not right)


if __name__ == "__main__":
    main()
