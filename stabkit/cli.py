"""The command line: parse, call, print. Torch is loaded by the workers, not here."""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import stabkit
from stabkit.errors import StabkitError, printable

if TYPE_CHECKING:
    from stabkit.finding import Result

DTYPES = ("float16", "bfloat16", "float32", "float64")
FORMATS = ("concise", "full", "json", "markdown")
REPORT = "stability-report.html"
MOST_NAME = 200  # characters of a file name, which a temporary one extends


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(stabkit.__version__, prog_name="stabkit")
def main() -> None:
    """Finds where a PyTorch loss stops computing the mathematics it stands for, by how much, and why."""


@main.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@click.option(
    "--arg",
    "arguments",
    multiple=True,
    metavar="NAME=DOMAIN",
    help="Domain of an argument, e.g. scale=positive or x=data:[0,1]@[*,8].",
)
@click.option(
    "--reference",
    metavar="PLACE:FUNCTION",
    help="What is true, for one sample, as mpmath code or as a function of a number system.",
)
@click.option("--dtype", "dtypes", default=",".join(DTYPES), show_default=True, help="Comma-separated dtypes.")
@click.option("--device", default="cpu", show_default=True, help="Where the target runs, e.g. cuda.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of the points drawn.")
@click.option(
    "--max-time",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="For the whole command; what was judged by then is reported.",
)
@click.option("--output-format", type=click.Choice(FORMATS), default="concise", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the output there instead.",
)
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
    with _terminations_as_interrupts():
        sys.exit(_audit(targets, options))


def _audit(targets: Sequence[str], options: dict[str, Any]) -> int:
    """The exit code of an audit, with its output delivered or its mistake told."""
    try:
        _check(targets, options)
        result = _run(targets, options)
        _deliver(result, options)
    except StabkitError as error:
        click.echo(f"stabkit: {error}", err=True)
        return 2
    except OSError as error:
        click.echo(f"stabkit: cannot write the output ({error}); free some space or choose another place", err=True)
        return 2
    except KeyboardInterrupt:
        click.echo("stabkit: interrupted before anything was judged", err=True)
        return 130
    return result.exit_code


@contextmanager
def _terminations_as_interrupts() -> Iterator[None]:
    """A request to terminate keeps what was judged, as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@main.command()
def schema() -> None:
    """Print the JSON Schema of a result."""
    import json

    from stabkit.finding import json_schema

    click.echo(json.dumps(json_schema(), indent=1))


def _check(targets: Sequence[str], options: dict[str, Any]) -> None:
    """Everything that can be known to be wrong before torch is loaded."""
    from stabkit.domain import parse_parameter

    references = [] if options["reference"] is None else [options["reference"]]
    for word in (*targets, *options["arguments"], *references):
        if word != printable(word) or not word:
            raise StabkitError(
                f"the word '{printable(word)}'", "is empty or holds control characters", "write plain text"
            )
    if options["max_time"] is not None and not math.isfinite(options["max_time"]):
        raise StabkitError(
            f"--max-time {options['max_time']}", "is not a number of seconds", "write for instance --max-time 60"
        )
    dtypes = tuple(d.strip() for d in options["dtypes"].split(",") if d.strip())
    for name in dtypes or ("",):
        if name not in DTYPES:
            raise StabkitError(
                f"dtype {name!r}", f"is not one of {', '.join(DTYPES)}", "write for instance --dtype float16,float32"
            )
    options["dtypes"] = tuple(dict.fromkeys(dtypes))
    names = [parse_parameter(text).name for text in options["arguments"]]
    for name in names:
        if names.count(name) > 1:
            raise StabkitError(f"argument {name!r}", "is declared twice", "keep one --arg for it")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", options["device"]):
        raise StabkitError(
            f"device {options['device']!r}", "is neither cpu nor cuda", "write --device cpu, cuda or cuda:0"
        )
    for path in (options["output"], Path(REPORT) if options["report"] else None):
        if path is not None and str(path) != "-":
            _check_writable(path)


def _check_writable(path: Path) -> None:
    folder = path.resolve().parent
    if not path.name or path.is_dir() or len(path.name) > MOST_NAME:
        raise StabkitError(
            f"output {str(path)!r}", "is not the name of a file", "name a file, or - for standard output"
        )
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise StabkitError(f"folder {str(folder)!r}", "cannot be written to", "choose another place for the output")


def _run(targets: Sequence[str], options: dict[str, Any]) -> Result:
    from stabkit.run import Request, run

    request = Request(
        targets=tuple(targets),
        arguments=tuple(options["arguments"]),
        reference=options["reference"],
        dtypes=options["dtypes"],
        device=options["device"],
        seed=options["seed"],
        max_time=options["max_time"],
        fail_on=options["fail_on"],
        exit_zero=options["exit_zero"],
        command=shlex.join(["stabkit", *sys.argv[1:]]),
    )
    if not sys.stderr.isatty():
        return run(request)
    result = run(request, lambda done, total: click.echo(f"\r{done}/{total} targets", err=True, nl=False))
    click.echo("\r" + " " * 30 + "\r", err=True, nl=False)
    return result


def _deliver(result: Result, options: dict[str, Any]) -> None:
    """Writes the output and the report; files appear whole or not at all."""
    text = _rendered(result, options["output_format"])
    if options["output"] and str(options["output"]) != "-":
        _write(options["output"], text)
        click.echo(f"wrote {options['output']}", err=True)
    elif options["output_format"] == "concise" and sys.stdout.isatty():
        _print_on_terminal(text.splitlines())
    else:
        click.echo(text, nl=False)
    if options["report"]:
        from stabkit.reports.page import page

        _write(Path(REPORT), page(result))
        click.echo(f"wrote {REPORT}", err=True)
    if options["output"] or not sys.stdout.isatty():  # on a terminal the output has just said so
        for target in result.targets:
            if target.status not in ("audited", "failed"):
                click.echo(f"stabkit: {target.target}: {target.status.replace('_', ' ')}: {target.reason}", err=True)
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


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all; links are followed, devices and pipes written to as they are."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _print_on_terminal(lines: Sequence[str]) -> None:
    """In colour, wrapped at the width of the window with what belongs to a line indented below it."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    styles = {"FAILED": "bold red", "  E ": "red", "  W ": "yellow", "WARNED": "bold yellow", "PASSED": "bold green"}
    for line in lines:
        style = next((s for start, s in styles.items() if line.startswith(start)), "")
        wrapped = textwrap.wrap(line, console.width, subsequent_indent="      ", break_on_hyphens=False) or [""]
        console.print(Text("\n".join(wrapped), "" if console.no_color else style))
