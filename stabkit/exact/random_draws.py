"""Random draws: torch's own generator fills a tensor of the audited dtype, and what it drew is lifted.

So an exact run sees the same draws, bit for bit, as the native run under the same seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stabkit.exact.tensor import ExactTensor, lifted, overwrite

DRAWS = frozenset(
    (
        *("rand_like", "randn_like", "randint_like", "bernoulli", "multinomial", "poisson", "binomial", "normal"),
        *("_standard_gamma", "_sample_dirichlet", "normal_", "uniform_", "exponential_", "cauchy_", "log_normal_"),
        *("geometric_", "bernoulli_", "random_"),
    )
)


def drawn(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The draw of the native operation at its parameters rounded to their dtype."""
    result = func(*map(rounded, args), **{n: rounded(v) for n, v in kwargs.items()})
    return overwrite(args[0], result) if func._schema.is_mutable else lifted(result)


def rounded(value: Any) -> Any:
    """An exact tensor as a plain one of its dtype, laid out alike; other values as they are."""
    if not isinstance(value, ExactTensor):
        return value
    stored = torch.as_strided(value.places, (value.places.untyped_storage().nbytes() // 8,), (1,), 0)
    numbers = [float(value.cells[k].x.mid()) for k in stored.tolist()]
    plain = torch.tensor(numbers, dtype=torch.float64).to(value.dtype)
    return plain.as_strided(value.places.shape, value.places.stride(), value.places.storage_offset())


def leaky_under_noise(x: Any, lower: float, upper: float, generator: Any) -> Tensor:
    """The slopes that a randomized leaky ReLU takes, drawn natively."""
    plain = rounded(x)
    noise = torch.empty_like(plain)
    torch.ops.aten.rrelu_with_noise(plain, noise, lower, upper, True, generator)
    return noise
