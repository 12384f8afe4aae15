"""Where loaded modules hold an object, and what it is called on the command line."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import torch

Owner: TypeAlias = dict[str, Any] | type  # the attributes of a module or an object, or a class

UNNAMED = "NAME"  # stands for what the user has to write
_MISSING = object()


@dataclass(frozen=True)
class Address:
    """A target's name on the command line, and what has to be said about it."""

    target: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """A name under which something was found, and exactly what stood there."""

    owner: Owner
    name: str
    value: Any

    def put(self, value: Any) -> None:
        """Makes the name mean something else; a name that was not there before is taken away by `restore`."""
        if isinstance(self.owner, dict):
            self.owner[self.name] = value
        else:
            setattr(self.owner, self.name, value if isinstance(self.value, FunctionType) else staticmethod(value))

    def holds(self, value: Any) -> bool:
        """Whether the name means this object now."""
        names = self.owner if isinstance(self.owner, dict) else vars(self.owner)
        return _bare(names.get(self.name)) is value

    def restore(self) -> None:
        """Makes the name mean what it meant."""
        if self.value is not _MISSING and isinstance(self.owner, dict):
            self.owner[self.name] = self.value
        elif self.value is not _MISSING:
            setattr(self.owner, self.name, self.value)
        elif isinstance(self.owner, dict):
            self.owner.pop(self.name, None)
        else:
            delattr(self.owner, self.name)


def references(thing: Any) -> list[Reference]:
    """Every name of loaded modules, and of classes defined in them, that stands for this very object."""
    found = []
    for module, names in _namespaces(thing):
        values = list(names.items())
        found += [Reference(names, n, v) for n, v in values if _is(v, thing)]
        for cls in {id(v): v for _, v in values if issubclass(type(v), type) and v.__module__ == module}.values():
            found += [Reference(cls, n, v) for n, v in list(vars(cls).items()) if _is(_bare(v), thing)]
    return found + (_on_its_owner(thing) if isinstance(thing, MethodType) else [])


def _namespaces(thing: Any) -> list[tuple[str, dict[str, Any]]]:
    """The names of every loaded module, and of the module of a function, which may not be among them."""
    loaded = {id(vars(m)): (n, vars(m)) for n, m in list(sys.modules.items()) if isinstance(m, ModuleType)}
    if isinstance(thing, FunctionType):
        loaded.setdefault(id(thing.__globals__), (thing.__module__, thing.__globals__))
    return list(loaded.values())


def _is(value: Any, thing: Any) -> bool:
    """Whether both are one object; a bound method is made anew wherever it is asked for."""
    return value is thing or (type(value) is MethodType and isinstance(thing, MethodType) and value == thing)


def _bare(value: Any) -> Any:
    return value.__func__ if type(value) is staticmethod else value


def _on_its_owner(method: MethodType) -> list[Reference]:
    """The places in an object, or a class, that its bound method is looked up in."""
    owner, name = method.__self__, method.__func__.__name__
    if isinstance(owner, type):
        return [Reference(owner, name, vars(owner).get(name, _MISSING))]
    try:
        names = vars(owner)
    except TypeError:  # it has slots: nothing can be put in front of its class
        return []
    kept = [Reference(names, n, v) for n, v in list(names.items()) if _is(v, method)]
    return kept if any(r.name == name for r in kept) else [*kept, Reference(names, name, _MISSING)]


def address_of(thing: Any) -> Address:
    """What to write on the command line for a function, a bound method or an `nn.Module`.

    Example:
        >>> address_of(torch.nn.functional.mse_loss).target
        'torch.nn.functional:mse_loss'
    """
    original = uncompiled(thing)
    note = () if original is thing else ("the original is named, not what torch.compile made of it",)
    for candidate, notes in ((original, note), (thing, ())):
        for module, dotted in _homes(candidate):
            place, more = _place(module)
            if place:
                return Address(f"{place}:{dotted}", (*more, *notes))
    if isinstance(original, torch.nn.Module) and _is_built_without_arguments(type(original)):
        address = address_of(type(original))
        return replace(address, notes=(*address.notes, f"{type(original).__name__} is built anew, with no argument"))
    return Address(
        f"{_source_of(original) or 'MODULE'}:{UNNAMED}",
        (f"what was watched has no name at the top of a module: give it one, and write it in place of {UNNAMED}",),
    )


def uncompiled(thing: Any) -> Any:
    """What `torch.compile` was given, or the thing itself."""
    if isinstance(thing, torch.nn.Module):
        return getattr(thing, "_orig_mod", thing)
    return getattr(thing, "_torchdynamo_orig_callable", thing)


def _homes(thing: Any) -> Iterator[tuple[str, str]]:
    """The loaded modules and the dotted names in them that lead to an object, where it was defined first."""
    module, dotted = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if module in sys.modules and dotted and _is(_at(sys.modules[module], dotted), thing):
        yield module, dotted
    found = [(m, n) for m, names in _namespaces(thing) for n, v in list(names.items()) if _is(v, thing)]
    yield from sorted(found, key=lambda home: home[0] == "__main__")
    if isinstance(thing, MethodType):
        yield from ((m, f"{name}.{thing.__func__.__name__}") for m, name in _homes(thing.__self__))


def _at(module: ModuleType, dotted: str) -> Any:
    found: Any = module
    for part in dotted.split("."):
        found = getattr(found, part, None)
    return found


def _place(name: str) -> tuple[str, tuple[str, ...]]:
    """How a fresh process is told of a loaded module: its name, or its file; '' where it has neither."""
    module = sys.modules.get(name)
    file, spec = getattr(module, "__file__", None), getattr(module, "__spec__", None)
    if module is sys.modules.get("__main__") and spec is None:
        again = "the file runs once more when it is audited: keep its loop below if __name__ == '__main__'"
        return (_shown(file), (again,)) if file else ("", ())
    name = spec.name if spec else name
    if not file:
        return (name if spec else ""), ()
    depth = name.count(".") + hasattr(module, "__path__")
    above = Path(file).absolute().parents
    root, script = above[min(depth, len(above) - 1)], Path(sys.path[0]).absolute()
    if depth and root == script != Path.cwd():
        return name, (f"run the command in {root}",)
    found = root == Path.cwd() or depth or root in [Path(p).absolute() for p in sys.path[1:]]
    return (name if found else _shown(file)), ()


def _shown(file: str) -> str:
    """A path as seen from the working directory, if it lies below."""
    path = Path(file).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _source_of(thing: Any) -> str:
    """The file that an object, or its class, is written in."""
    with suppress(TypeError, OSError):
        file = inspect.getsourcefile(thing if inspect.isroutine(thing) else type(thing))
        return _shown(file) if file and Path(file).is_file() else ""
    return ""


def _is_built_without_arguments(cls: type) -> bool:
    try:
        inspect.signature(cls).bind()
    except (TypeError, ValueError):
        return False
    return any(_homes(cls))
