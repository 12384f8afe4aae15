"""Products with an exponential that stay in range wherever the product does."""

import math

import torch
from torch import Tensor

from stabkit.floats import format_of


def times_exp(x: Tensor, exponent: Tensor) -> Tensor:
    """x * exp(exponent) on equal shapes [...], float32 or float64; 0 for x = 0 whatever the exponent.

    An exponential beyond the normal range is applied in four equal factors. For x = 0 it is the exponent that is
    bounded and not the product that is replaced, so that the derivative by x survives.

    Example:
        >>> times_exp(torch.tensor([1e-40, 0.0]), torch.tensor([160.0, 1e30]))
        tensor([3.0698e+29, 0.0000e+00])
    """
    limit = -math.log(format_of(x.dtype).smallest_normal)
    bounded = exponent.clamp(-limit, limit)
    root = torch.exp(torch.where(x == 0, bounded, exponent) / 4)
    far = x * root * root * root * root
    return torch.where((exponent.abs() < limit) | (x == 0), x * torch.exp(bounded), far)
