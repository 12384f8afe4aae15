"""`stabkit certify`: a proof by trying every float, kept as a file that anybody can check."""

from __future__ import annotations

import re
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stabkit.certificates.certify_job import CertifyJob
from stabkit.cli_options import deliver, exit_code_of, write_quietly
from stabkit.cli_request import RULE, check_request, terminations_as_interrupts
from stabkit.collect import EXIT_CLEAN, EXIT_FINDINGS, EXIT_INTERRUPTED, EXIT_UNJUDGED
from stabkit.errors import StabkitError, printable

if TYPE_CHECKING:
    from stabkit.certificates.certificate import Certificate
    from stabkit.certificates.certifying import Certified

FORMATS = ("text", "json")
USUAL_SAMPLE = 1000
MOST_BYTES = 2**26  # of a certificate


@click.command()
@click.argument("target", required=False)
@click.option(
    "--arg", "arguments", multiple=True, metavar="NAME=DOMAIN", help="As in stabkit audit; point{…} fixes one."
)
@click.option("--reference", metavar="PLACE:FUNCTION", help="What is true, as in stabkit audit.")
@click.option(
    "--dtype", "dtypes", default="float16,bfloat16", show_default=True, help="Comma-separated; float32 takes a while."
)
@click.option("--device", default="cpu", show_default=True, help="Where the target runs, e.g. cuda.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of samples to check.")
@RULE[0]
@RULE[1]
@click.option(
    "--max-time", type=click.FloatRange(min=1), metavar="SECONDS", help="Stop after a chunk; the same command goes on."
)
@click.option("--check", "checked", type=click.Path(path_type=Path), metavar="FILE", help="Try a certificate again.")
@click.option(
    "--sample",
    default=USUAL_SAMPLE,
    show_default=True,
    type=click.IntRange(0, 10**6),
    help="Random inputs that --check tries, besides those that the certificate names.",
)
@click.option("--output-format", type=click.Choice(FORMATS), default="text", show_default=True, help="Of the output.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The certificate, by default TARGET.DTYPE.certificate.json here; - keeps none.",
)
def certify(target: str | None, **options: Any) -> None:
    """Prove by trying every float that TARGET, a function of one number or two, is right: value and gradient.

    The certificate says how large errors are at most and where, and between which floats it fails. Interrupted, or
    stopped by --max-time, the same command goes on where it was.

    Exit code 0: proved, or --check found it consistent. 1: something fails, or --check found a contradiction. 2: it is
    not finished, something is open, it could not be judged, or the command is wrong.
    """
    with terminations_as_interrupts():
        sys.exit(exit_code_of(lambda: _certify(target, options), interrupted="any input was counted"))


def _certify(target: str | None, options: dict[str, Any]) -> int:
    if (target is None) == (options["checked"] is None):
        raise StabkitError(
            "the command",
            "names neither or both of TARGET and --check",
            "write stabkit certify TARGET, or --check FILE",
        )
    if target is None:
        return _check(options)
    check_request([target], options)
    if len(options["dtypes"]) > 1 and options["output"] is not None and str(options["output"]) != "-":
        raise StabkitError(
            f"output {str(options['output'])!r}", "cannot hold several dtypes", "give one --dtype, or leave -o out"
        )
    codes, started = [], time.monotonic()
    for dtype in options["dtypes"]:
        left = None if options["max_time"] is None else options["max_time"] - (time.monotonic() - started)
        codes.append(_certified(target, dtype, options, left))
        if codes[-1] == EXIT_INTERRUPTED:
            break
    return next((c for c in (EXIT_INTERRUPTED, EXIT_FINDINGS, EXIT_UNJUDGED) if c in codes), EXIT_CLEAN)


def default_name(target: str, dtype: str, device: str) -> str:
    """The file that a certificate is written to unless another is named.

    Example:
        >>> default_name("losses/mine.py:loss", "float16", "cpu")
        'losses_mine.py_loss.float16.certificate.json'
    """
    where = "" if device == "cpu" else f".{device}"
    return re.sub(r"[^\w.-]+", "_", f"{target[-150:]}.{dtype}{where}.certificate.json").lstrip("._")


def _certified(target: str, dtype: str, options: dict[str, Any], seconds: float | None) -> int:
    """The exit code of one dtype, with its certificate written and shown; some chunks are counted in any case."""
    from stabkit.certificates.certifying import certify as run

    job = CertifyJob(
        "open",
        target,
        tuple(options["arguments"]),
        options["reference"],
        dtype,
        options["device"],
        options["seed"],
        options["tolerance"],
        options["natural_scale"],
    )
    keeps = str(options["output"]) != "-"
    path = options["output"] or Path(default_name(target, dtype, options["device"]))
    known = _earlier(path) if keeps else None
    if known is not None and not known.complete:
        click.echo(f"stabkit: going on with {path}: {known.done:,} of {known.inputs:,} inputs are done", err=True)
    command = shlex.join(["stabkit", *sys.argv[1:]])
    done = run(job, command, known, _keeper(path if keeps else None), seconds, _progress())
    if sys.stderr.isatty():
        click.echo("\r" + " " * 60 + "\r", err=True, nl=False)
    return _told(done, known, path if keeps else None, options)


def _earlier(path: Path) -> Certificate | None:
    """What an earlier run has left.

    Raises:
        StabkitError: where the file is something else.
    """
    from stabkit.certificates.certificate import from_json

    return from_json(_text_of(path), str(path)) if path.exists() else None


def _text_of(path: Path) -> str:
    """What a file holds.

    Raises:
        StabkitError: where it cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES).decode()
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        raise StabkitError(f"file {printable(str(path))!r}", f"cannot be read ({why})", "check its name") from None
    except UnicodeDecodeError:
        raise StabkitError(
            f"file {printable(str(path))!r}", "is not a certificate of stabkit", "name one that stabkit certify wrote"
        ) from None


def _keeper(path: Path | None) -> Any:
    from stabkit.certificates.certificate import to_json

    return lambda certificate: None if path is None else write_quietly(path, to_json(certificate))


def _progress() -> Any:
    if not sys.stderr.isatty():
        return lambda done, inputs: None
    return lambda done, inputs: click.echo(f"\r{done:,} of {inputs:,} inputs", err=True, nl=False)


def _told(done: Certified, known: Certificate | None, path: Path | None, options: dict[str, Any]) -> int:
    """The exit code of what became of a certification, with it shown."""
    from stabkit.certificates.certificate import to_json

    if done.certificate is not None and done.certificate.done:
        if options["output_format"] == "json" or path is None:
            click.echo(to_json(done.certificate), nl=False)
        else:
            from stabkit.reports.certificate import text

            click.echo("\n".join(text(done.certificate)))
    if path is not None and done.certificate is not None and not done.reason:
        click.echo(f"stabkit: {path} was complete already" if done.certificate is known else f"wrote {path}", err=True)
    if done.reason:
        click.echo(f"stabkit: {done.reason}", err=True)
    if done.interrupted:
        click.echo("stabkit: interrupted; the same command goes on where it was", err=True)
        return EXIT_INTERRUPTED
    if done.certificate is None or done.reason:
        return EXIT_UNJUDGED
    failed = done.certificate.failures
    return EXIT_FINDINGS if failed else EXIT_CLEAN if done.certificate.is_proof else EXIT_UNJUDGED


def _check(options: dict[str, Any]) -> int:
    from stabkit.certificates.certificate import from_json
    from stabkit.certificates.certifying import check
    from stabkit.reports.certificate import statement

    path: Path = options["checked"]
    text = _text_of(path)
    certificate = from_json(text, str(path))  # says at once what is wrong with it
    found, reason = check(text, str(path), options["sample"], options["seed"])
    if found is None:
        click.echo(f"stabkit: {reason}", err=True)
        return EXIT_UNJUDGED
    code = EXIT_FINDINGS if found.contradictions else EXIT_UNJUDGED if found.unresolved else EXIT_CLEAN
    named = f"{path}, which says {statement(certificate)}"
    deliver(_report(found, path, named, code, options["output_format"]), options["output"])
    return code


def _report(found: Any, path: Path, named: str, code: int, output_format: str) -> str:
    import msgspec

    if output_format == "json":
        document = {"certificate": str(path), "consistent": code == EXIT_CLEAN, **msgspec.to_builtins(found)}
        return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
    head = {EXIT_CLEAN: "CONSISTENT", EXIT_FINDINGS: "CONTRADICTED"}.get(code, "OPEN")
    lines = [f"{head}  {named}: {found.inputs:,} inputs tried again, {found.unresolved} numbers open"]
    lines += [f"  {what}" for what in found.contradictions]
    return "\n".join([*lines, *(f"  note: {note}" for note in found.notes)]) + "\n"
