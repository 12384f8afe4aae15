"""What a loss returns of its elements: all of them, their mean or their sum."""

from torch import Tensor

REDUCTIONS = ("none", "mean", "sum")


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The losses [...] as they are, or their mean or sum [].

    Raises:
        ValueError: where `reduction` is not one of 'none', 'mean' and 'sum'.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction {reduction!r} is not one of 'none', 'mean', 'sum'; pass reduction='none'")
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()
