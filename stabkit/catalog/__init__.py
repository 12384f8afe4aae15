"""Ready-made targets: what PyTorch ships, unlabelled and without a definition, as `torch:family.name`."""

import difflib
import importlib
from functools import cache

import torch

from stabkit.catalog.entry import Entry
from stabkit.errors import TargetError

FAMILIES = {"losses": "torch_losses", "kl": "torch_divergences"}


@cache
def families() -> dict[str, tuple[Entry, ...]]:
    """The entries of each family, by family name."""
    return {name: importlib.import_module(f"stabkit.catalog.{module}").ENTRIES for name, module in FAMILIES.items()}


def is_meant(name: str) -> bool:
    """Whether a target is looked up here: `torch`, or `torch:` and nothing that torch itself has.

    Example:
        >>> is_meant("torch:kl.beta_beta"), is_meant("torch:sigmoid")
        (True, False)
    """
    place, _, key = name.partition(":")
    return place == "torch" and not hasattr(torch, key.partition(".")[0] or " ")


def find(name: str) -> dict[str, Entry]:
    """The entries that `torch`, `torch:family` or `torch:family.name` means, by the name of each target.

    Raises:
        TargetError: with the name that is closest.
    """
    everything = {f"torch:{family}.{e.name}": e for family, entries in families().items() for e in entries}
    found = {full: e for full, e in everything.items() if name in ("torch", "torch:", full, full.partition(".")[0])}
    if not found:
        keys = [*families(), *(full.removeprefix("torch:") for full in everything)]
        close = difflib.get_close_matches(name.removeprefix("torch:"), keys, 1)
        raise TargetError(
            f"target {name!r}",
            "is neither in torch nor among what is ready to be audited of it",
            f"did you mean torch:{close[0]}?" if close else "write torch:losses, torch:kl or one of their names",
        )
    return found
