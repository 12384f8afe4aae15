"""What commands share: what may be written after an option, how files are written, how a mistake is told."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import click

from stabkit.audit_job import DTYPES
from stabkit.errors import StabkitError

REPORT = "stability-report.html"
MOST_NAME = 200  # characters of a file name, which a temporary one extends


def exit_code_of(work: Callable[[], int], interrupted: str) -> int:
    """The exit code of a command's work, its mistakes told in one line and without a traceback.

    Args:
        interrupted: what an interrupt that nothing handled came before.
    """
    try:
        return work()
    except StabkitError as error:
        click.echo(f"stabkit: {error}", err=True)
        return 2
    except OSError as error:
        click.echo(f"stabkit: cannot write the output ({error}); free some space or choose another place", err=True)
        return 2
    except KeyboardInterrupt:
        click.echo(f"stabkit: interrupted before {interrupted}", err=True)
        return 130


def checked_dtypes(text: str) -> tuple[str, ...]:
    """The dtypes of a comma-separated list, each once.

    Raises:
        StabkitError: for an unknown name, or none.

    Example:
        >>> checked_dtypes("float16, float32,float16")
        ('float16', 'float32')
    """
    dtypes = tuple(d.strip() for d in text.split(",") if d.strip())
    for name in dtypes or ("",):
        if name not in DTYPES:
            raise StabkitError(
                f"dtype {name!r}", f"is not one of {', '.join(DTYPES)}", "write for instance --dtype float16,float32"
            )
    return tuple(dict.fromkeys(dtypes))


def check_device(name: str) -> None:
    """Raises StabkitError unless the name reads like a device; whether it is there is for torch to say."""
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise StabkitError(f"device {name!r}", "is neither cpu nor cuda", "write --device cpu, cuda or cuda:0")


def check_writable(*paths: Path | None) -> None:
    """Raises StabkitError unless each path but `-` can become a file."""
    for path in paths:
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


def _print(text: str) -> None:
    click.echo(text, nl=False)


def deliver(text: str, output: Path | None, show: Callable[[str], None] = _print) -> None:
    """Writes a command's output into the file, or shows it where there is none or it is `-`."""
    if output and str(output) != "-":
        write(output, text)
    else:
        show(text)


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all, and says so."""
    write_quietly(path, text)
    click.echo(f"wrote {path}", err=True)


def write_quietly(path: Path, text: str) -> None:
    """Writes a file whole or not at all; links are followed, devices and pipes written to as they are."""
    place = path.resolve()
    if place.exists() and not place.is_file():
        place.write_text(text, encoding="utf-8")
    else:
        partial = place.with_name(place.name + ".part")
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(place)
        finally:
            partial.unlink(missing_ok=True)
