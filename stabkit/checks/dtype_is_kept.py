"""Claim: the result and its gradients have the dtype of the inputs."""

from collections.abc import Iterable

from stabkit.checks import Claim, Failure, always
from stabkit.program import points_of
from stabkit.search.points import probe_points
from stabkit.sweep import Sweep

CLAIM = Claim(
    name="dtype_is_kept",
    code="STB401",
    says="inputs of one dtype give a result of that dtype",
    remedy="create constants with torch.full_like or in the dtype of the input",
)

MOST_SAMPLES = 60  # from everyday to remote ones: a branch may hold the wider constant

applies = always


def failures(sweep: Sweep) -> Iterable[Failure]:
    """One failure if the result comes back in another dtype."""
    program, form = sweep.program, sweep.program.form
    nearest = sorted(range(len(sweep.samples)), key=sweep.remoteness)
    for row in [None, *nearest[:: max(len(nearest) // MOST_SAMPLES, 1)]]:
        sample = None if row is None else sweep.samples[row]
        points = probe_points(program, 1) if sample is None else points_of(sample, sweep.arguments, form)
        outcome = program.run(points, gradients=False)
        if not bool(outcome.raised.all()) and outcome.values.dtype != form.dtype:
            returned = str(outcome.values.dtype).removeprefix("torch.")
            note = f"{form.name} inputs give a {returned} result"
            return [Failure("value", "dtype", cause="cast", note=note, sample=sample)]
    return []
