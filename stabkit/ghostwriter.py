"""The text of a test file for a target, as `ruff format` would leave it at any line length from 88 on."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stabkit import catalog, zoo
from stabkit.domain import Argument, Parameter
from stabkit.errors import TargetError
from stabkit.fuzzing import Fuzzed
from stabkit.target import Target, load_module, resolve

WIDTH = 88
SECONDS = 20
AUDIT = '''@pytest.mark.stability(
    target={target},
    arguments=ARGUMENTS,
{reference}    dtypes=DTYPES,
    max_time={seconds},
)
def test_{name}_is_stable():
    """An audit with stabkit; whatever it finds fails this test."""
'''
PROPERTY = '''@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_{name}_is_right_where_drawn(dtype, data):
    """No number that Hypothesis finds is wrong; stabkit.strategies has more to draw."""
    sample = data.draw(FUZZED.samples(dtype), label="sample")
    FUZZED.check(sample, dtype)
'''


@dataclass(frozen=True)
class _Imported:
    """How a test file gets at a function.

    Attributes:
        imports: lines among the imports.
        code: lines below them.
        name: what the function is called then.
        needs_file: whether a source file is loaded, rather than a module imported.
    """

    imports: tuple[str, ...]
    code: tuple[str, ...]
    name: str
    needs_file: bool = False


def test_file(
    name: str, declared: Sequence[Parameter], reference: str | None, dtypes: Sequence[str], place: Path
) -> str:
    """A test file that audits a target and lets Hypothesis look for what fails.

    Args:
        name: of the target, as on the command line.
        place: where the file will stand; source files are named from there.

    Raises:
        StabkitError: for a target, a domain or a reference that cannot be used.
    """
    _check_single(name)
    target = resolve(name, declared)
    Fuzzed(name, {p.name: _domain(p) for p in target.parameters}, reference).examiner(dtypes[0])
    loss = _imported(name, place, "LOSS")
    truth = None if reference is None else _imported(reference, place, "TRUTH")
    if truth is not None and truth.name == loss.name:
        truth = _renamed(truth, f"true_{loss.name}")
    extra = "" if truth is None else f"    reference={truth.name},\n"
    label = re.sub(r"\W+", "_", name.rpartition(":")[2]).strip("_").lower()
    parts = [
        _head(name, [loss, *([truth] if truth else [])]),
        _constants(target, loss, dtypes, extra),
        "",
        AUDIT.format(target=loss.name, reference=extra, seconds=SECONDS, name=label),
        "",
        PROPERTY.format(name=label),
    ]
    return "\n".join(parts)


def _check_single(name: str) -> None:
    """Raises TargetError for the name of a collection."""
    found = zoo.find(name) if name.partition(":")[0] == "zoo" else catalog.find(name) if catalog.is_meant(name) else [0]
    if len(found) > 1:
        raise TargetError(f"target {name!r}", f"stands for {len(found)} losses", "name one of them")


def _head(name: str, needed: Sequence[_Imported]) -> str:
    """The docstring and the imports, then what is loaded from files."""
    standard = ["from pathlib import Path", ""] if any(n.needs_file for n in needed) else []
    own = ["from stabkit.fuzzing import Fuzzed"]
    own += ["from stabkit.target import load_module"] if any(n.needs_file for n in needed) else []
    shown = name if len(name) < WIDTH - 50 else name.rpartition(":")[2][: WIDTH - 50]
    return "\n".join(
        [
            f'"""Is {shown} stable? Written by stabkit ghostwrite, yours to edit."""',
            "",
            *standard,
            "import pytest",
            "from hypothesis import given, settings",
            "from hypothesis import strategies as st",
            *own,
            *(["", *(line for n in needed for line in n.imports)] if any(n.imports for n in needed) else []),
            "",
            *dict.fromkeys(line for n in needed for line in n.code if line.startswith("HERE")),
            *(line for n in needed for line in n.code if not line.startswith("HERE")),
        ]
    )


def _constants(target: Target, loss: _Imported, dtypes: Sequence[str], reference: str) -> str:
    """The dtypes, the domains, and the loss for Hypothesis."""
    domains = []
    for p in target.parameters:
        guessed = isinstance(p, Argument) and p.guessed
        note = "  # guessed from its name: confirm or correct it" if guessed else ""
        domains.append(f"    {_quoted(p.name)}: {_quoted(_domain(p))},{note}")
    return "\n".join(
        [
            f"DTYPES = [{', '.join(map(_quoted, dtypes))}]",
            "ARGUMENTS = {",
            *domains,
            "}",
            f"FUZZED = Fuzzed(\n    {loss.name},\n    ARGUMENTS,\n{reference})",
            "",
        ]
    )


def _domain(parameter: Parameter) -> str:
    """What stands behind `NAME=` in its declaration."""
    return str(parameter).partition("=")[2]


def _imported(name: str, place: Path, fallback: str) -> _Imported:
    """How a test file gets at what a name of the command line means."""
    module, _, dotted = name.rpartition(":")
    if module in ("zoo", "torch") and fallback == "LOSS":
        return _Imported((), (), _quoted(name))
    first, *rest = dotted.split(".")
    found: Any = load_module(module)
    for part in dotted.split("."):
        found = getattr(found, part)
    call = "()" if isinstance(found, type) else ""
    whole = "".join([first, *(f".{part}" for part in rest), call])
    if not module.endswith(".py"):
        lines = (_import_line(module, first),)
        return _Imported(
            lines, () if whole == first else (f"{fallback} = {whole}",), first if whole == first else fallback
        )
    path = os.path.relpath(Path(module).resolve(), place.resolve().parent)
    source = f"{fallback}_FILE"
    local = dotted if dotted.isidentifier() and not call else fallback
    code = (
        "HERE = Path(__file__).resolve().parent",
        f"{source} = HERE.joinpath(",
        f"    {_quoted(Path(path).as_posix())},",
        ")",
        f"{local} = load_module(str({source})).{whole}",
    )
    return _Imported((), code, local, needs_file=True)


def _import_line(module: str, name: str) -> str:
    """`from module import name`, in brackets where it is long."""
    if any(not part.isidentifier() or keyword.iskeyword(part) for part in (*module.split("."), name)):
        raise TargetError(f"target {module}:{name}", "cannot be imported by a test file", "give it a plain name")
    line = f"from {module} import {name}"
    return line if len(line) <= WIDTH else f"from {module} import (\n    {name},\n)"


def _renamed(imported: _Imported, name: str) -> _Imported:
    """The same under another name."""
    imports = tuple(
        line.replace(f"\n    {imported.name},", f"\n    {imported.name} as {name},")
        if "\n" in line
        else f"{line} as {name}"
        for line in imported.imports
    )
    code = tuple(re.sub(rf"^{imported.name} = ", f"{name} = ", line) for line in imported.code)
    return _Imported(imports, code, name, imported.needs_file)


def _quoted(text: str) -> str:
    """A string literal as formatters write it."""
    return repr(text) if '"' in text or "\\" in text else f'"{text}"'
