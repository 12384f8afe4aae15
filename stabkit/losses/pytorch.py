"""PyTorch's own Normal losses, audited as they are shipped."""

import torch.nn.functional
from torch.distributions import kl_divergence

from stabkit.domain import Argument, Built, Fixed, Literal, positive, real
from stabkit.reference import gaussian as definition
from stabkit.spec import Spec, fault


def _normal(name: str) -> Built:
    return Built(name, "Normal", (Argument(f"{name}.loc", real), Argument(f"{name}.scale", positive)))


SPECS = (
    Spec(
        "normal_kl",
        kl_divergence,
        definition.kl,
        (_normal("p"), _normal("q")),
        fault("value_is_finite", "underflow"),
        "torch.distributions.kl",
    ),
    Spec(
        "gaussian_nll_loss",
        torch.nn.functional.gaussian_nll_loss,
        definition.nll_of_variance_without_constant,
        (
            Argument("input", real),
            Argument("target", real, data=True),
            Argument("var", positive),
            Fixed("reduction", Literal("none")),
        ),
        fault("value_is_accurate", "clamp"),
        "torch.nn.functional",
    ),
)
