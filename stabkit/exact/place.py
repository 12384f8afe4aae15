"""Which line of a program is running: the deepest one that is not machinery of torch, of Python or of this package."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import stabkit

_TORCH, _OWN, _PYTHON = (str(Path(m.__file__ or "").parent) for m in (torch, stabkit, contextlib))
_PROGRAMS = (
    *(f"{_TORCH}/{part}" for part in ("distributions/", "nn/functional.py", "nn/modules/")),
    *(f"{_OWN}/{part}" for part in ("losses/", "parameterizations/", "exponentials.py")),
)
_GENERATED = ("<frozen", "<eval_with_key", "<torch")
_CALLERS = (f"{_OWN}/program.py", f"{_OWN}/exact/replaying.py")  # what is above them on the stack is not the program


def program_place() -> tuple[str, int] | None:
    """File and line of the program's deepest frame on the stack; None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in _CALLERS:
        if _is_program(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


class Places:
    """Where the operations of one run stand in the program, backward ones where their forward ones do."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[str, int] | None] = {}  # by the number of the autograd node

    def running(self) -> tuple[str, int] | None:
        """File and line of the operation that is running; to be asked after each one, views among them."""
        node: Any = torch._C._current_autograd_node()
        if node is not None:
            return self._seen.get(node._sequence_nr())
        place = program_place()
        self._seen.setdefault(torch._C._autograd._get_sequence_nr() - 1, place)
        return place


def is_backward() -> bool:
    """Whether autograd is running backwards."""
    return bool(torch._C._current_graph_task_id() != -1)


def near(file: str) -> str:
    """A path as readers want it: relative to the working directory where it lies below."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _is_program(file: str) -> bool:
    if file.startswith(_PROGRAMS):
        return True
    if file.startswith((_TORCH, _OWN, *_GENERATED)):
        return False
    return "site-packages" in file or not file.startswith(_PYTHON)  # Python's own folder may hold what is installed
