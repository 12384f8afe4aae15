"""The command line: parse, call, print. An audit loads torch in its workers, not here."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import stabkit
from stabkit.cli_certify import certify
from stabkit.cli_diagnose import diagnose
from stabkit.cli_ghostwrite import ghostwrite
from stabkit.cli_options import REPORT, deliver, exit_code_of, write
from stabkit.cli_range import safe_range
from stabkit.cli_request import about_targets, check_request, run_request, tell_unjudged, terminations_as_interrupts
from stabkit.cli_table import table

if TYPE_CHECKING:
    from stabkit.finding import Result

FORMATS = ("concise", "full", "json", "markdown")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(stabkit.__version__, prog_name="stabkit")
def main() -> None:
    """Finds where a PyTorch loss stops computing the mathematics it stands for, by how much, and why."""


main.add_command(table)
main.add_command(safe_range)
main.add_command(diagnose)
main.add_command(certify)
main.add_command(ghostwrite)


@main.command()
@about_targets
@click.option(
    "--property",
    "properties",
    multiple=True,
    metavar="FACT",
    help="What must hold whatever is rounded, e.g. 'value >= 0', 'increasing(x)', 'symmetric(p,q)'.",
)
@click.option("--output-format", type=click.Choice(FORMATS), default="concise", show_default=True)
@click.option("--report", type=click.Choice(["html"]), help=f"Also write a report: {REPORT} in the working directory.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    default="error",
    show_default=True,
    help="What makes the exit code 1.",
)
@click.option("--exit-zero", is_flag=True, help="Exit with 0 whatever was found.")
def audit(targets: tuple[str, ...], **options: Any) -> None:
    """Audit losses: module:callable, path/file.py:callable, zoo:name, zoo:family or zoo.

    Exit code 0: nothing failed. 1: an error was found. 2: something could not be judged, or the command is wrong.
    """
    with terminations_as_interrupts():
        sys.exit(exit_code_of(lambda: _audit(targets, options), interrupted="anything was judged"))


def _audit(targets: Sequence[str], options: dict[str, Any]) -> int:
    """The exit code of an audit, with its output delivered."""
    check_request(targets, options)
    asked = {name: options[name] for name in ("fail_on", "exit_zero", "properties")}
    result = run_request(targets, options, **asked)
    _deliver(result, options)
    return result.exit_code


@main.command()
def schema() -> None:
    """Print the JSON Schema of a result."""
    import json

    from stabkit.finding import json_schema

    click.echo(json.dumps(json_schema(), indent=1))


def _deliver(result: Result, options: dict[str, Any]) -> None:
    """Writes the output and the report; files appear whole or not at all."""
    text = _rendered(result, options["output_format"])
    if options["output_format"] == "concise" and sys.stdout.isatty():
        deliver(text, options["output"], show=_print_on_terminal)
    else:
        deliver(text, options["output"])
    if options["report"]:
        from stabkit.reports.page import page

        write(Path(REPORT), page(result))
    if options["output"] or not sys.stdout.isatty():  # on a terminal the output has just said so
        tell_unjudged(result)
    if result.exit_code == 130:
        click.echo("stabkit: interrupted; what was judged before is reported as incomplete", err=True)


def _rendered(result: Result, output_format: str) -> str:
    if output_format == "json":
        from stabkit.finding import to_json

        return to_json(result)
    if output_format == "markdown":
        from stabkit.reports.markdown import markdown

        return "\n".join(markdown(result)) + "\n"
    from stabkit.reports.text import concise, full

    return "\n".join(full(result) if output_format == "full" else concise(result)) + "\n"


def _print_on_terminal(text: str) -> None:
    """In colour, wrapped at the width of the window with what belongs to a line indented below it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    styles = {"FAILED": "bold red", "  E ": "red", "  W ": "yellow", "WARNED": "bold yellow", "PASSED": "bold green"}
    for line in text.splitlines():
        style = next((s for start, s in styles.items() if line.startswith(start)), "")
        wrapped = textwrap.wrap(line, console.width, subsequent_indent="      ", break_on_hyphens=False) or [""]
        console.print(Text("\n".join(wrapped), "" if console.no_color else style))
