"""stabkit: where a floating-point loss stops computing the mathematics it stands for, by how much, and why."""

from pathlib import Path as _Path

__version__ = "0.1.0"

# In a checkout `reference`, `suites` and `reports` stand beside this folder instead of inside it.
_ROOT = _Path(__file__).resolve().parent.parent
if all((_ROOT / name / "__init__.py").is_file() for name in ("reference", "suites", "reports")):
    __path__.append(str(_ROOT))
