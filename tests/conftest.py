"""One thread, derandomized Hypothesis in CI, and no leftovers of mpmath's global precision."""

import os
from collections.abc import Iterator

import mpmath
import pytest
import torch
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, max_examples=60)
settings.register_profile("dev", deadline=None, max_examples=60)
settings.load_profile(os.environ.get("STABKIT_HYPOTHESIS_PROFILE", "ci"))
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def untouched_precision() -> Iterator[None]:
    """mpmath's global precision is the user's; no test may leave it changed."""
    before = mpmath.mp.prec
    yield
    assert mpmath.mp.prec == before
