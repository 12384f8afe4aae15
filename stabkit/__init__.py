"""stabkit: where a floating-point loss stops computing the mathematics it stands for, by how much, and why."""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import Any as _Any

__version__ = "0.1.0"

_LATER = {"audit": "stabkit.auditing", "record": "stabkit.recording.observation"}  # public name -> module that has it

# In a checkout `reference`, `suites` and `reports` stand beside this folder instead of inside it.
_ROOT = _Path(__file__).resolve().parent.parent
if all((_ROOT / name / "__init__.py").is_file() for name in ("reference", "suites", "reports")):
    __path__.append(str(_ROOT))


def __getattr__(name: str) -> _Any:
    if name in _LATER:
        return getattr(_import_module(_LATER[name]), name)
    raise AttributeError(f"module 'stabkit' has no attribute {name!r}")
