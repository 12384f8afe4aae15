"""Claim: the result and its gradients have the dtype of the inputs."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, always
from stabkit.search.points import probe_points
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="dtype_is_kept",
    code="STB401",
    says="inputs of one dtype give a result of that dtype",
    remedy="create constants with torch.full_like or in the dtype of the input",
)

applies = always


def failures(sweep: Sweep) -> Iterable[Failure]:
    """One failure if the result comes back in another dtype."""
    outcome = sweep.program.run(probe_points(sweep.program, 1), gradients=False)
    if bool(outcome.raised.all()) or outcome.values.dtype == sweep.program.form.dtype:
        return []
    returned = str(outcome.values.dtype).removeprefix("torch.")
    return [Failure("value", "dtype", cause="cast", note=f"{sweep.program.form.name} inputs give a {returned} result")]
