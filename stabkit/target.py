"""What is to be audited.

From `module:callable`, `path/file.py:callable`, `zoo:name` or `torch:family.name` to something that can be called.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from stabkit import catalog, zoo
from stabkit.dependence import settled
from stabkit.distribution import within_support
from stabkit.domain import Argument, Between, Built, Fixed, Interval, Parameter, guess_domain
from stabkit.errors import StabkitError, TargetError
from stabkit.facts.properties import Property, check_property
from stabkit.recording.address import address_of
from stabkit.spec import USUAL_TOLERANCE, Spec, Status, Tolerance, stable

LOWER = {"high": "low", "upper": "lower", "maximum": "minimum"}  # of two bounds that are told by their names


@dataclass(frozen=True)
class Target:
    """Something to audit, with all that was declared or guessed about it.

    Attributes:
        name: as the user wrote it.
        function: the callable; an `nn.Module` as an instance.
        parameters: every argument it is called with, in order.
        positional: how many of them are passed by position.
        definition: a zoo entry's definition, or None.
        status: a zoo entry's label.
        tolerance: what its errors are measured by.
        properties: what is declared of it.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    positional: int = 0
    definition: Callable[..., Any] | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    status: Status = stable
    tolerance: Tolerance = USUAL_TOLERANCE
    properties: tuple[Property, ...] = ()

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """The tensors, those inside distribution objects included, with what their domains name settled.

        Raises:
            StabkitError: where a domain names what is not there or bounds nothing.
        """
        return arguments_of(self.parameters)

    @property
    def guesses(self) -> tuple[Argument, ...]:
        """The arguments whose domain is a guess."""
        return tuple(a for a in self.arguments if a.guessed)


def with_tolerance(target: Target, bits: float | None, natural_scale: float | None) -> Target:
    """The target under another error rule, as far as one is given."""
    own = target.tolerance
    given = Tolerance(own.bits if bits is None else bits, own.natural_scale if natural_scale is None else natural_scale)
    return replace(target, tolerance=given)


def arguments_of(parameters: Sequence[Parameter]) -> tuple[Argument, ...]:
    """The tensors of some parameters, with what their domains name settled.

    Raises:
        StabkitError: where a domain names what is not there or bounds nothing.
    """
    objects = {p.name: p for p in parameters if isinstance(p, Built)}
    return settled([within_support(a, objects) for a in leaves_of(parameters)])


def with_properties(target: Target, declared: Sequence[Property]) -> Target:
    """The target with what is declared of it.

    Raises:
        PropertyError: where a property does not fit its arguments.
    """
    for fact in declared:
        check_property(fact, target.arguments)
    return replace(target, properties=tuple(dict.fromkeys(declared)))


def leaves_of(parameters: Sequence[Parameter]) -> Iterator[Argument]:
    """The tensor arguments among parameters, in order."""
    for p in parameters:
        if isinstance(p, Built):
            yield from p.arguments
        elif isinstance(p, Argument):
            yield p


def resolve(name: str, declared: Sequence[Parameter]) -> Target:
    """The target of that name with the declared arguments, the rest guessed.

    Raises:
        TargetError: where it cannot be found, is not callable, or an argument is missing or unknown.
        DomainError: where a domain names an argument that is not there or bounds nothing.
    """
    found = _resolved(name, declared)
    _ = found.arguments  # settled, or told what is wrong with them
    return found


def _resolved(name: str, declared: Sequence[Parameter]) -> Target:
    if name == "zoo" or name.startswith("zoo:"):
        return _from_zoo(name, declared)
    if catalog.is_meant(name):
        (entry,) = catalog.find(name).values()
        return Target(name, entry.function, redeclared(name, entry.parameters, declared))
    return target_of(_callable(name), name, declared)


def target_of(function: Callable[..., Any], name: str, declared: Sequence[Parameter]) -> Target:
    """A callable as a target under that name, with the declared arguments, the rest guessed.

    Raises:
        TargetError: where an argument is missing or unknown.
        DomainError: where a domain names an argument that is not there or bounds nothing.
    """
    found = _of_callable(function, name, declared)
    _ = found.arguments
    return found


def _of_callable(function: Callable[..., Any], name: str, declared: Sequence[Parameter]) -> Target:
    call = function.forward if isinstance(function, torch.nn.Module) else function
    try:
        signature = inspect.signature(call)
    except (ValueError, TypeError):
        return _without_signature(name, function, declared)
    return _with_signature(name, function, signature, declared)


def target_for(thing: Spec | Callable[..., Any] | str, declared: Sequence[Parameter]) -> Target:
    """A spec, a function or a name as a target; a function of the zoo brings its domains and its definition along.

    Raises:
        TargetError: where it cannot be found or called, or an argument is missing or unknown.
    """
    if isinstance(thing, str):
        return resolve(thing, declared)
    if not isinstance(thing, Spec) and not callable(thing):
        raise TargetError(f"{thing!r:.60}", "cannot be called", "pass a function, an nn.Module, or a name")
    spec = thing if isinstance(thing, Spec) else _spec_of(thing)
    if spec is not None:
        return _of_spec(spec, f"zoo:{spec.name}", declared)
    return target_of(thing, address_of(thing).target, declared)  # type: ignore[arg-type]


def _spec_of(function: Callable[..., Any]) -> Spec | None:
    """The zoo's first entry of a function, if it has one."""
    return next((spec for specs in zoo.families().values() for spec in specs if spec.function is function), None)


def _from_zoo(name: str, declared: Sequence[Parameter]) -> Target:
    (spec,) = zoo.find(name)
    return _of_spec(spec, name, declared)


def _of_spec(spec: Spec, name: str, declared: Sequence[Parameter]) -> Target:
    parameters = redeclared(name, spec.parameters, declared)
    positional = sum(1 for p in parameters if not isinstance(p, Fixed))
    return Target(name, spec.function, parameters, positional, spec.definition, spec.constants, spec.status)


def redeclared(name: str, ready: Sequence[Parameter], declared: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """The parameters of what is ready made, those that the user declares replaced.

    Raises:
        TargetError: where one is declared that it does not have.
    """
    given = {p.name: p for p in declared}
    unknown = [n for n in given if n not in {p.name for p in ready}]
    if unknown:
        raise _unknown(name, unknown[0], [p.name for p in ready])
    return tuple(given.get(p.name, p) for p in ready)


def _with_signature(
    name: str, function: Callable[..., Any], signature: inspect.Signature, declared: Sequence[Parameter]
) -> Target:
    given = {p.name: p for p in declared}
    takes = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in takes.values())
    named = {n: p for n, p in takes.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    for unknown in (n for n in given if n not in named and not open_ended):
        raise _unknown(name, unknown, list(named))
    parameters = [given.get(n) or _guess(name, p) for n, p in named.items() if n in given or p.default is p.empty]
    parameters = [_above_its_partner(p, parameters) for p in parameters]
    parameters += [p for n, p in given.items() if n not in named]
    positional = sum(
        1 for p in parameters if p.name in named and named[p.name].kind is inspect.Parameter.POSITIONAL_ONLY
    )
    if not any(leaves_of(parameters)):
        raise TargetError(
            f"target {name!r}", "takes no tensor that could be varied", "declare one with --arg NAME=DOMAIN"
        )
    return Target(name, function, tuple(parameters), positional)


def _without_signature(name: str, function: Callable[..., Any], declared: Sequence[Parameter]) -> Target:
    if not any(leaves_of(declared)):
        raise TargetError(
            f"target {name!r}", "does not tell its parameters", "declare them in order: --arg x=real --arg y=positive"
        )
    tensors = [p for p in declared if not isinstance(p, Fixed)]
    fixed = [p for p in declared if isinstance(p, Fixed)]
    return Target(name, function, (*tensors, *fixed), len(tensors))


def _guess(name: str, parameter: inspect.Parameter) -> Argument:
    annotation = parameter.annotation
    if annotation not in (parameter.empty, torch.Tensor, "Tensor", "torch.Tensor", Any, "Any"):
        label = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
        if label in ("str", "bool", "int", "dict", "list", "tuple") or "Distribution" in label:
            raise TargetError(
                f"argument {parameter.name!r} of {name!r}",
                f"is a {label} and has no default",
                f"""pass a Python value with --arg "{parameter.name}==VALUE", """
                f"or a distribution with --arg '{parameter.name}=Normal(loc:real,scale:positive)'",
            )
    return Argument(parameter.name, guess_domain(parameter.name), guessed=True)


def _above_its_partner(parameter: Parameter, others: Sequence[Parameter]) -> Parameter:
    """A guess for the upper of two bounds: above the lower one, where that is a number of the sample too."""
    partner = next((p for p in others if p.name == LOWER.get(parameter.name)), None)
    if not isinstance(parameter, Argument) or not parameter.guessed:
        return parameter
    if not isinstance(partner, Argument) or not isinstance(partner.domain, Interval) or partner.shape:
        return parameter
    return replace(parameter, domain=Between(partner.name, math.inf, False, False))


def _unknown(target: str, name: str, known: Sequence[str]) -> TargetError:
    close = difflib.get_close_matches(name, known, 1)
    return TargetError(
        f"argument {name!r}",
        f"is not one of {target!r}",
        f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(known) or 'no named argument'}",
    )


def _callable(name: str) -> Callable[..., Any]:
    place, colon, attribute = name.rpartition(":")
    if not colon or not attribute or not place:
        raise TargetError(
            f"target {name!r}",
            "does not read PLACE:CALLABLE",
            "write module:function, path/file.py:function or zoo:name",
        )
    found: Any = load_module(place)
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [n for n in dir(found) if not n.startswith("_")]
            close = difflib.get_close_matches(part, public, 1)
            raise TargetError(
                f"target {name!r}",
                f"has no {part!r} in {place}",
                f"did you mean {close[0]!r}?" if close else "check the spelling",
            )
        found = getattr(found, part)
    if isinstance(found, type) and issubclass(found, torch.nn.Module):
        try:
            found = found()
        except Exception as error:  # whatever its __init__ raises
            raise TargetError(
                f"module {name!r}", f"cannot be built without arguments ({error})", "point to an instance instead"
            ) from error
    if not callable(found) or isinstance(found, type):
        raise TargetError(
            f"target {name!r}",
            f"is a {type(found).__name__}, not a function or an nn.Module",
            "point to something that is called with tensors",
        )
    return found  # type: ignore[no-any-return]


def load_module(place: str) -> ModuleType:
    """The module that a dotted name or a path to a .py file means; the working directory is importable.

    Raises:
        TargetError: where it is missing or fails to import.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        if place.endswith(".py"):
            return _load_file(Path(place))
        return importlib.import_module(place)
    except StabkitError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(error.name + ".")):
            raise TargetError(
                f"module {place!r}", "cannot be found", "check the name, or run from the folder it is in"
            ) from error
        raise TargetError(
            f"module {place!r}", f"needs {error.name!r}, which is not installed", f"install {error.name}"
        ) from error
    except Exception as error:  # whatever the user's module raises at import is the user's to see
        raise TargetError(
            f"module {place!r}", f"fails to import ({type(error).__name__}: {error})", "mend it first"
        ) from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(f"file {str(path)!r}", "does not exist", "check the path")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"file {str(path)!r}", "is not a Python source file", "give a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module
