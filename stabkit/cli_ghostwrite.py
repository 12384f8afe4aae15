"""`stabkit ghostwrite`: a test file for a loss, to be edited and kept."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from stabkit.audit_job import DTYPES
from stabkit.cli_options import check_writable, checked_dtypes, deliver, exit_code_of
from stabkit.errors import StabkitError
from stabkit.notation import parse_parameter


@click.command()
@click.argument("target")
@click.option(
    "--arg", "arguments", multiple=True, metavar="NAME=DOMAIN", help="As in stabkit audit; others are guessed."
)
@click.option("--reference", metavar="PLACE:FUNCTION", help="What is true, as in stabkit audit.")
@click.option("--dtype", "dtypes", default=",".join(DTYPES), show_default=True, help="Comma-separated dtypes.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the test file there.")
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
def ghostwrite(target: str, **options: Any) -> None:
    """Write a pytest file for TARGET: an audit, and a property for Hypothesis.

    Its domains are those declared and those guessed from names, which comments ask to confirm.
    """
    sys.exit(exit_code_of(lambda: _ghostwrite(target, options), interrupted="the test was written"))


def _ghostwrite(target: str, options: dict[str, Any]) -> int:
    dtypes = checked_dtypes(options["dtypes"])
    check_writable(options["output"])
    if options["output"] and options["output"].is_file() and not options["force"]:
        raise StabkitError(f"file {str(options['output'])!r}", "is there already", "name another one, or pass --force")
    declared = [parse_parameter(a) for a in options["arguments"]]
    from stabkit.ghostwriter import test_file

    place = options["output"] if options["output"] and str(options["output"]) != "-" else Path("test_loss.py")
    deliver(test_file(target, declared, options["reference"], dtypes, place), options["output"])
    return 0
