"""A program run on exact real numbers, and beside its native run."""

from importlib import import_module as _import_module
from typing import Any as _Any

_LATER = {"replay": "stabkit.exact.replaying", "Replay": "stabkit.exact.replaying"}


def __getattr__(name: str) -> _Any:
    if name in _LATER:
        return getattr(_import_module(_LATER[name]), name)
    raise AttributeError(f"module 'stabkit.exact' has no attribute {name!r}")
