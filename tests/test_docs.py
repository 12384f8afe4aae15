"""Examples in docstrings and the README's Python run as they stand."""

import doctest
import importlib
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import stabkit

ROOT = Path(__file__).resolve().parent.parent


def modules() -> list[str]:
    """Every module that ships, by its dotted name."""
    found = []
    for top, prefix in (("stabkit", ""), ("reference", "reference"), ("suites", "suites"), ("reports", "reports")):
        for file in sorted((ROOT / top).rglob("*.py")):
            parts = [p for p in ("stabkit", prefix, *file.relative_to(ROOT / top).with_suffix("").parts) if p]
            if parts[-1] not in ("__init__", "__main__"):
                found.append(".".join(parts))
    return found


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples_to_run() -> None:
    finder = doctest.DocTestFinder()
    counts = [len(t.examples) for name in modules() for t in finder.find(importlib.import_module(name))]
    assert sum(counts) >= 20


def test_the_import_that_the_readme_recommends_works() -> None:
    (code,) = re.findall(r"```python\n(from stabkit.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names = dict.fromkeys(("mean1", "log_scale1", "mean2", "log_scale2"), torch.zeros(3))
    exec(code, names)
    assert torch.equal(names["loss"], torch.zeros(3))


def test_the_readmes_session_in_python_works() -> None:
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(import torch\n\nimport stabkit\n.*?)```", readme, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["worst"].severity == "error"
    assert float(names["exact"].value.item()) == pytest.approx(math.exp(-50), rel=1e-15)


def test_the_version_is_stated_once() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", stabkit.__version__)
    assert stabkit.__version__ not in (ROOT / "pyproject.toml").read_text()
