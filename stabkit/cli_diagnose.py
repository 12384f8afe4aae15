"""`stabkit diagnose`: one run at one point, every operation beside what it should have given."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stabkit.audit_job import DTYPES
from stabkit.cli_options import check_device, check_writable, checked_dtypes, deliver, exit_code_of
from stabkit.cli_request import RULE
from stabkit.domain import Argument, Built, Parameter, at_point, real
from stabkit.errors import DomainError
from stabkit.notation import parse_parameter, parts_of, point_of

if TYPE_CHECKING:
    from stabkit.anatomy import Anatomy

FORMATS = ("text", "json")


@click.command()
@click.argument("target")
@click.option(
    "--at", "points", multiple=True, metavar="NAME=VALUE,…", help="Where, e.g. 'x=3,s=1e-8' or 'p.scale=[1,2]'."
)
@click.option(
    "--arg", "arguments", multiple=True, metavar="NAME=DOMAIN", help="As in stabkit audit; a point{…} says where, too."
)
@click.option("--reference", metavar="PLACE:FUNCTION", help="What is true, as in stabkit audit.")
@click.option(
    "--dtype", "dtypes", default="float32", show_default=True, help=f"Of {', '.join(DTYPES)}; comma-separated."
)
@click.option("--device", default="cpu", show_default=True)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Of random draws.")
@RULE[0]
@RULE[1]
@click.option("--output-format", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the output there instead.")
def diagnose(target: str, **options: Any) -> None:
    """Show, line by line, what each operation of TARGET loses at one point: bits, values, causes.

    It runs in this process, forward and backward, natively and on exact real numbers side by side.

    Exit code 0: no number fails there. 1: one does, with severity error. 2: it could not be judged.
    """
    sys.exit(exit_code_of(lambda: _diagnose(target, options), interrupted="the run was taken apart"))


def _diagnose(target: str, options: dict[str, Any]) -> int:
    dtypes = checked_dtypes(options["dtypes"])
    check_device(options["device"])
    check_writable(options["output"])
    declared = pinned([parse_parameter(a) for a in options["arguments"]], values_at(options["points"]))
    from stabkit.dissection import dissect_at

    rule = options["tolerance"], options["natural_scale"]
    places = (options["device"], options["seed"], *rule)
    found = [dissect_at(target, declared, options["reference"], d, *places) for d in dtypes]
    deliver(_rendered(found, options["output_format"]), options["output"])
    if not all(a.numbers for a in found):
        return 2
    return int(any(n.severity == "error" for a in found for n in a.numbers))


def _rendered(found: Sequence[Anatomy], output_format: str) -> str:
    if output_format == "json":
        import msgspec

        return msgspec.json.format(msgspec.json.encode(found), indent=1).decode() + "\n"
    from stabkit.reports.source import annotated

    return "\n\n".join("\n".join(annotated(a)) for a in found) + "\n"


def values_at(texts: Sequence[str]) -> dict[str, Any]:
    """The values that `--at` texts give, by argument name.

    Raises:
        DomainError: for a part that does not read NAME=VALUE.

    Example:
        >>> values_at(["x=3,s=1e-8", "p.loc=[0,-inf]"])
        {'x': 3, 's': 1e-08, 'p.loc': [0, -inf]}
    """
    found: dict[str, Any] = {}
    for part in (p for text in texts for p in parts_of(text)):
        name, equals, value = (w.strip() for w in part.partition("="))
        if not equals or not all(word.isidentifier() for word in name.split(".")):
            raise DomainError(f"--at {part!r}", "does not read NAME=VALUE", "write for instance --at 'x=3,s=1e-8'")
        if name in found:
            raise DomainError(f"--at {name}", "is given twice", "keep one")
        found[name] = point_of(value, name)
    return found


def pinned(declared: Sequence[Parameter], values: Mapping[str, Any]) -> list[Parameter]:
    """The declared parameters at the given values, and those that only a value was given for.

    Raises:
        DomainError: for a value of a parameter that is neither a tensor nor within a declared distribution.
    """
    left = dict(values)

    def at(argument: Argument) -> Argument:
        return at_point(argument, left.pop(argument.name)) if argument.name in left else argument

    found: list[Parameter] = []
    for p in declared:
        inner = tuple(map(at, p.arguments)) if isinstance(p, Built) else ()
        found.append(replace(p, arguments=inner) if isinstance(p, Built) else at(p) if isinstance(p, Argument) else p)
    for name, value in left.items():
        whole, dot, _ = name.partition(".")
        if dot:
            raise DomainError(
                f"--at {name}",
                f"is a part of {whole}, which is not declared",
                f"add --arg '{whole}=Normal(loc:real,scale:positive)'",
            )
        if name in {p.name for p in declared}:
            raise DomainError(f"--at {name}", "is declared as a Python value or a distribution", "give the value there")
        found.append(at_point(Argument(name, real), value))
    return found
