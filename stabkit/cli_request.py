"""What commands about targets share: their options, what can be wrong with them, and the run itself."""

from __future__ import annotations

import math
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stabkit.audit_job import DTYPES
from stabkit.cli_options import REPORT, check_device, check_writable, checked_dtypes
from stabkit.errors import StabkitError, printable

if TYPE_CHECKING:
    from stabkit.finding import Result


def _finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number", context, parameter)
    return value


RULE = (
    click.option(
        "--tolerance",
        callback=_finite,
        type=click.FloatRange(min=0, max=64),
        metavar="BITS",
        help="Excess bits that pass; more is a warning.  [default: 4]",
    ),
    click.option(
        "--natural-scale",
        callback=_finite,
        type=click.FloatRange(min=0, min_open=True),
        metavar="NATS",
        help="Values below it need not be right in relation to their own size to be no error.  [default: 1]",
    ),
)
OPTIONS = (
    click.argument("targets", nargs=-1, required=True, metavar="TARGET..."),
    click.option(
        "--arg",
        "arguments",
        multiple=True,
        metavar="NAME=DOMAIN",
        help="Domain of an argument, e.g. scale=positive or x=data:[0,1]@[*,8].",
    ),
    click.option(
        "--reference",
        metavar="PLACE:FUNCTION",
        help="What is true, for one sample, as mpmath code or as a function of a number system.",
    ),
    click.option("--dtype", "dtypes", default=",".join(DTYPES), show_default=True, help="Comma-separated dtypes."),
    click.option("--device", default="cpu", show_default=True, help="Where the target runs, e.g. cuda."),
    click.option(
        "--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of the points drawn."
    ),
    *RULE,
    click.option(
        "--max-time",
        type=click.FloatRange(min=1),
        metavar="SECONDS",
        help="For the whole command; what was judged by then is reported.",
    ),
    click.option(
        "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the output there instead."
    ),
)


def about_targets(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command its targets and the options that say how to call and judge them."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def check_request(targets: Sequence[str], options: dict[str, Any]) -> None:
    """Everything that can be known to be wrong before torch is loaded."""
    from stabkit.facts.properties import parse_property
    from stabkit.notation import parse_parameter

    references = [] if options["reference"] is None else [options["reference"]]
    facts = options.get("properties", ())
    for word in (*targets, *options["arguments"], *references, *facts):
        if word != printable(word) or not word:
            raise StabkitError(
                f"the word '{printable(word)}'", "is empty or holds control characters", "write plain text"
            )
    if options["max_time"] is not None and not math.isfinite(options["max_time"]):
        raise StabkitError(
            f"--max-time {options['max_time']}", "is not a number of seconds", "write for instance --max-time 60"
        )
    options["dtypes"] = checked_dtypes(options["dtypes"])
    for text in facts:
        parse_property(text)
    names = [parse_parameter(text).name for text in options["arguments"]]
    for name in names:
        if names.count(name) > 1:
            raise StabkitError(f"argument {name!r}", "is declared twice", "keep one --arg for it")
    check_device(options["device"])
    check_writable(options["output"], Path(REPORT) if options.get("report") else None)


def run_request(targets: Sequence[str], options: dict[str, Any], **settings: Any) -> Result:
    """The result of what was asked, with progress on a terminal; `settings` are further fields of the request."""
    from stabkit.run import Request, run

    request = Request(
        targets=tuple(targets),
        arguments=tuple(options["arguments"]),
        reference=options["reference"],
        dtypes=options["dtypes"],
        device=options["device"],
        seed=options["seed"],
        max_time=options["max_time"],
        tolerance=options["tolerance"],
        natural_scale=options["natural_scale"],
        command=shlex.join(["stabkit", *sys.argv[1:]]),
        **settings,
    )
    if not sys.stderr.isatty():
        return run(request)
    result = run(request, lambda done, total: click.echo(f"\r{done}/{total} targets", err=True, nl=False))
    click.echo("\r" + " " * 30 + "\r", err=True, nl=False)
    return result


def tell_unjudged(result: Result) -> None:
    """Says on stderr which targets were not judged, and why."""
    for target in result.targets:
        if target.status not in ("audited", "failed"):
            click.echo(f"stabkit: {target.target}: {target.status.replace('_', ' ')}: {target.reason}", err=True)


@contextmanager
def terminations_as_interrupts() -> Iterator[None]:
    """A request to terminate keeps what was judged, as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
