"""The logistic sigmoid s(p) and its slope, as accurate where they vanish as elsewhere, times a factor."""

import torch
from torch import Tensor

from stabkit.exponentials import times_exp


def logistic(p: Tensor, factor: float = 1.0) -> Tensor:
    """factor * s(p)."""
    folded = negative_size(p)
    quotient = factor / (1 + torch.exp(folded))
    return torch.where(p <= 0, times_exp(quotient, folded), quotient)


def logistic_slope(p: Tensor, factor: Tensor | float = 1.0) -> Tensor:
    """factor * s(p) * s(-p), as exp(-|p|)/(1 + exp(-|p|))**2."""
    folded = negative_size(p)
    small = torch.exp(folded)
    return times_exp(factor / (1 + small * (2 + small)), folded)


def negative_size(p: Tensor) -> Tensor:
    """-|p|, whose derivative at 0 is that of p."""
    return torch.where(p <= 0, p, -p)


def log_near_one(value: Tensor, excess: Tensor) -> Tensor:
    """log(value) given also excess = value - 1, which says more of a value next to 1."""
    near = excess.abs() < 0.5
    return torch.where(near, torch.log1p(excess.masked_fill(~near, 0)), torch.log(value.masked_fill(near, 1)))
