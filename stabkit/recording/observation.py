"""Watching what a loss is given in the user's own training loop, and writing it as an audit's command line."""

from __future__ import annotations

import functools
import inspect
import os
import re
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import torch

from stabkit.domain import Parameter
from stabkit.errors import TargetError, printable
from stabkit.recording.address import Address, address_of, references, uncompiled
from stabkit.recording.declaration import Summary, summarize
from stabkit.recording.observed import Seen, see

_observing = threading.local()  # observing calls functions that may be watched themselves


class Watched:
    """What `record` yields: a stand-in for the loss, which also holds what was seen of its calls.

    Calling it calls the loss and is seen, which serves where the loss is held in a local variable or a closure.
    """

    def __init__(self, loss: Callable[..., Any]) -> None:
        self._loss = loss
        self._address: Address = address_of(loss)
        self._signature = _signature_of(loss)
        self._seen = Seen()
        self._lock = threading.Lock()
        self._open = True
        self._call = loss if isinstance(loss, torch.nn.Module) else _watching(loss, self.observe)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the loss returns."""
        return self._call(*args, **kwargs)

    @property
    def calls(self) -> int:
        """How many calls were seen."""
        return self._seen.calls

    @property
    def arguments(self) -> tuple[Parameter, ...]:
        """The observed domains, as declarations."""
        return self._summary().arguments

    @property
    def notes(self) -> tuple[str, ...]:
        """What was seen and is not declared, and what to do by hand."""
        if not self.calls:
            return ("no call was seen: call the object that `with` yields in place of the loss",)
        return (*self._address.notes, *self._summary().notes)

    @property
    def command(self) -> str:
        """The whole command line; empty if no call was seen."""
        if not self.calls:
            return ""
        words = [f"--arg {_quoted(str(parameter))}" for parameter in self.arguments]
        return " ".join(["stabkit audit", _quoted(self._address.target), *words])

    def observe(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Adds one call, given its arguments; nothing that is written to them later counts."""
        if not self._open or getattr(_observing, "on", False):
            return
        _observing.on = True
        try:
            with suppress(TypeError), torch.no_grad(), self._lock:  # a call that does not fit the signature is no call
                see(self._seen, _named(self._signature, args, kwargs))
        finally:
            _observing.on = False

    def close(self) -> None:
        """Ends the watching; calls go on to the loss unseen."""
        self._open = False

    def _summary(self) -> Summary:
        with self._lock:
            return summarize(self._seen)


@contextmanager
def record(loss: Callable[..., Any], output: str | os.PathLike[str] | TextIO | None = None) -> Iterator[Watched]:
    """Watches the calls of a loss inside a `with` block and writes the `stabkit audit` command that fits them.

    Domains are what the arguments held, widened to two digits; tensors that never asked for a gradient, while others
    did, are `data:`. A module is watched by a hook; of a function or a bound method every name at the top of a loaded
    module, and in its classes or its object, is replaced until the block ends. Calls inside a `torch.compile`d
    function are not seen: watch the compiled one.

    Args:
        loss: a function, a bound method, or an instance of `nn.Module`.
        output: a path or a text stream for what is said at the end; standard error if None.

    Yields:
        A `Watched`: call it in place of the loss where no name of a module is used.

    Raises:
        TargetError: if the loss is not one of these.

    Example:
        >>> from stabkit.losses import gaussian
        >>> x, mean = torch.tensor([0.3, 1.7]), torch.tensor([-3.04, 5.0], requires_grad=True)
        >>> with record(gaussian.nll, output=sys.stdout) as watched:
        ...     loss = gaussian.nll(x, mean, x).sum()
        # 1 call of stabkit.losses.gaussian:nll seen
        stabkit audit stabkit.losses.gaussian:nll
            --arg 'x=data:[0.3,1.8]' --arg 'mean=[-3.1,5.0]' --arg 'scale=data:[0.3,1.8]'
        >>> watched.calls, str(watched.arguments[1])
        (1, 'mean=[-3.1,5.0]')
    """
    if not callable(loss) or isinstance(loss, type):
        raise TargetError(f"{loss!r}", "is not a function or an nn.Module", "record what your loop calls with tensors")
    watched = Watched(loss)
    put_back = _hooked(loss, watched) if isinstance(loss, torch.nn.Module) else _replaced(loss, watched)
    try:
        yield watched
    finally:
        watched.close()
        put_back()
        _tell(watched, output)


def _watching(function: Callable[..., Any], observe: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def watching(*args: Any, **kwargs: Any) -> Any:
        if not torch.compiler.is_compiling():
            observe(args, kwargs)
        return function(*args, **kwargs)

    return watching


def _hooked(module: torch.nn.Module, watched: Watched) -> Callable[[], None]:
    """Watches a module; returns what ends it."""

    def hook(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not torch.compiler.is_compiling():
            watched.observe(args, kwargs)

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def _replaced(function: Callable[..., Any], watched: Watched) -> Callable[[], None]:
    """Watches every name that stands for a function; returns what gives them back."""
    replaced = references(function)
    for reference in replaced:
        with suppress(TypeError):  # classes written in C do not change
            reference.put(watched._call)

    def put_back() -> None:
        for reference in replaced:
            if reference.holds(watched._call):  # what the block itself gave another meaning keeps it
                reference.restore()
        for newer in references(watched._call):  # modules that were loaded meanwhile
            newer.put(function)

    return put_back


def _signature_of(loss: Callable[..., Any]) -> inspect.Signature | None:
    try:
        original = uncompiled(loss)
        return inspect.signature(original.forward if isinstance(original, torch.nn.Module) else original)
    except (TypeError, ValueError):
        return None


def _named(signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments by name; further positional ones under a name with a star, which cannot be declared."""
    if signature is None:
        return {**{f"arg{i}": value for i, value in enumerate(args, 1)}, **kwargs}
    named: dict[str, Any] = {}
    for name, value in signature.bind(*args, **kwargs).arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named |= value
        else:
            named["*" + name if kind is inspect.Parameter.VAR_POSITIONAL else name] = value
    return named


def _quoted(word: str) -> str:
    """One word for a shell, in double quotes where it holds single ones and nothing that those do not protect."""
    return f'"{word}"' if "'" in word and not re.search(r'["$`\\!\n]', word) else shlex.quote(word)


def _text(watched: Watched) -> str:
    """The command with the notes above it, as comments."""
    try:
        calls, target = watched.calls, watched._address.target
        lines = [f"# {calls} {'call' if calls == 1 else 'calls'} of {target} seen", *(f"# {n}" for n in watched.notes)]
        return "\n".join([*map(printable, lines), *([watched.command] if calls else [])]) + "\n"
    except RuntimeError as error:  # a device that failed under the loop
        return f"# what was seen of {target} cannot be read: {printable(str(error))}\n"


def _tell(watched: Watched, output: str | os.PathLike[str] | TextIO | None) -> None:
    text = _text(watched)
    if not isinstance(output, (str, os.PathLike)):
        (output or sys.stderr).write(text)
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:  # the loop's own exception, or its result, matters more
        sys.stderr.write(f"# cannot write {os.fspath(output)!r} ({error})\n{text}")
