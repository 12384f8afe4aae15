"""What is wrong with PyTorch's losses and divergences: the findings of a run as one Markdown table.

stabkit audit torch:losses torch:kl --max-time 290 --output-format json -o run.json
python -m stabkit.suites.torch_findings run.json
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from stabkit.finding import Finding, Result, from_json

HEADS = ("target", "dtype", "severity", "number", "got", "truth", "witness", "cause", "place")


def table(result: Result, severity: str = "warning") -> Iterator[str]:
    """The lines of the table, each target's findings nearest to everyday inputs first.

    Args:
        severity: `error` leaves warnings out.
    """
    yield f"| {' | '.join(HEADS)} |"
    yield "|---" * len(HEADS) + "|"
    for target in result.targets:
        for f in target.findings:
            if severity in ("warning", f.severity):
                yield f"| {' | '.join(_cells(target.target, f))} |"


def _cells(target: str, f: Finding) -> tuple[str, ...]:
    place = f"{f.where.operation}, {Path(f.where.file).name}:{f.where.line}" if f.where else ""
    witness = ", ".join(f"{name}={_short(value)}" for name, value in f.witness.items())
    numbers = _short(f.got), _short(f.truth) + ("" if f.certified else " (uncertified)")
    return f"`{target}`", f.dtype, f.severity, f"{f.code} {f.of}", *numbers, witness, f.cause, place


def _short(value: Any) -> str:
    """A number of the result format in five digits; nested lists of them."""
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def summary(result: Result) -> str:
    """How many targets were judged and what was found, in one sentence."""
    judged = sum(t.status in ("audited", "failed") for t in result.targets)
    findings = [f for t in result.targets for f in t.findings]
    errors = sum(f.severity == "error" for f in findings)
    clean = sum(t.status == "audited" and not t.findings for t in result.targets)
    return (
        f"{judged} of {len(result.targets)} targets judged in torch {result.versions['torch']}: {errors} errors and "
        f"{len(findings) - errors} warnings; nothing was found in {clean}."
    )


def main() -> None:
    """Prints the table of a result in JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the JSON of a run")
    parser.add_argument("--severity", choices=["error", "warning"], default="warning", help="the least that is shown")
    options = parser.parse_args()
    try:
        result = from_json(options.run.read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        sys.exit(
            f"{options.run}: is not the JSON of a run ({error}); write one with stabkit audit --output-format json"
        )
    for line in (summary(result), "", *table(result, options.severity)):
        print(line)  # noqa: T201


if __name__ == "__main__":
    main()
