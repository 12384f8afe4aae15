"""`stabkit table`: the tables of papers, computed for this machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stabkit.audit_job import DTYPES
from stabkit.cli_options import (
    REPORT,
    check_device,
    check_writable,
    checked_dtypes,
    deliver,
    exit_code_of,
    write,
)
from stabkit.errors import StabkitError, printable
from stabkit.reports.tables import FORMATS

if TYPE_CHECKING:
    from stabkit.finding import Table

TABLES = ("min-sigma",)


@click.command()
@click.argument("name")
@click.option("--format", "output_format", type=click.Choice(tuple(FORMATS)), default="text", show_default=True)
@click.option("--dtype", "dtypes", default=",".join(DTYPES), show_default=True, help="Comma-separated dtypes.")
@click.option("--device", default="cpu", show_default=True, help="Where the losses run, e.g. cuda.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the table there instead.")
@click.option("--report", type=click.Choice(["html"]), help=f"Also write a report: {REPORT} in the working directory.")
def table(name: str, **options: Any) -> None:
    """Compute a published table. NAME is min-sigma.

    min-sigma: how small sigma can become, for each scale parameterization and each way to write a KL divergence,
    before the loss or its gradient is no longer finite.
    """
    sys.exit(exit_code_of(lambda: _table(name, options), interrupted="the table was done"))


def _table(name: str, options: dict[str, Any]) -> int:
    if name not in TABLES:
        raise StabkitError(
            f"table {printable(name)!r}", f"is not one of {', '.join(TABLES)}", f"write stabkit table {TABLES[0]}"
        )
    dtypes = checked_dtypes(options["dtypes"])
    check_device(options["device"])
    check_writable(options["output"], Path(REPORT) if options["report"] else None)

    from stabkit.suites.min_sigma_table import min_sigma_table

    _deliver(min_sigma_table(dtypes, options["device"]), options)
    return 0


def _deliver(made: Table, options: dict[str, Any]) -> None:
    """Writes the table and the report; files appear whole or not at all."""
    text = "\n".join(FORMATS[options["output_format"]](made)) + "\n"
    deliver(text, options["output"])
    if options["report"]:
        write(Path(REPORT), _page(made))


def _page(made: Table) -> str:
    """A report of the table alone."""
    from stabkit.collect import EXIT_CLEAN, versions
    from stabkit.finding import SCHEMA_VERSION, Result
    from stabkit.reports.page import page

    command = shlex.join(["stabkit", *sys.argv[1:]])
    return page(Result(SCHEMA_VERSION, True, EXIT_CLEAN, 0, command, versions(), [], [made]))
