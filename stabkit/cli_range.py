"""`stabkit range`: between which values of each argument nothing fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stabkit.cli_options import REPORT, deliver, exit_code_of, write
from stabkit.cli_request import about_targets, check_request, run_request, tell_unjudged, terminations_as_interrupts

if TYPE_CHECKING:
    from stabkit.finding import Result

FORMATS = ("text", "csv", "markdown", "latex", "json")


@click.command("range")
@about_targets
@click.option("--format", "output_format", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--report", type=click.Choice(["html"]), help=f"Also write a report: {REPORT} in the working directory.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    default="error",
    show_default=True,
    help="What ends a range.",
)
def safe_range(targets: tuple[str, ...], **options: Any) -> None:
    """Say, for each argument and dtype, between which values no claim fails: value and gradient.

    The other arguments stay between 0.1 and 10. A range also ends where the truth no longer fits the dtype.

    Exit code 0: the ranges are known. 2: a target could not be judged, or the command is wrong.
    """
    with terminations_as_interrupts():
        sys.exit(exit_code_of(lambda: _range(targets, options), interrupted="a range was known"))


def _range(targets: tuple[str, ...], options: dict[str, Any]) -> int:
    check_request(targets, options)
    result = run_request(targets, options, fail_on=options["fail_on"], task="range")
    if options["output_format"] == "json" or any(t.ranges for t in result.targets):
        text = "\n".join(_lines(result, options["output_format"])) + "\n"
        deliver(text, options["output"])
    if options["report"]:
        write(Path(REPORT), _page(result))
    tell_unjudged(result)
    return result.exit_code


def _page(result: Result) -> str:
    """A report of the ranges alone."""
    from msgspec.structs import replace

    from stabkit.reports.page import page
    from stabkit.reports.ranges import ranges_table

    return page(replace(result, targets=[], tables=[ranges_table(result)]))


def _lines(result: Result, output_format: str) -> Iterable[str]:
    if output_format == "json":
        from stabkit.finding import to_json

        return to_json(result).splitlines()
    from stabkit.reports import tables
    from stabkit.reports.ranges import ranges_table

    render: Callable[[Any], Iterable[str]] = tables.FORMATS[output_format]
    return render(ranges_table(result))
