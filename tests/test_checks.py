"""Every check can fail, and does where it must; its stable twin passes every claim."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from planted import PLANTED, Planted

from stabkit.checks import NAMES, checks
from stabkit.facts.properties import parse_property
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.oracle import oracle_for
from stabkit.program import Program, confirm_batching
from stabkit.search.points import probe_points
from stabkit.sweep import Sweep, sweep
from stabkit.target import Target, with_properties
from stabkit.verification import Examiner
from stabkit.zoo import find

each_dtype = pytest.mark.parametrize("dtype", FORMATS)


def swept(target: Target, dtype: str, seconds: float = 60.0) -> Sweep:
    program = Program(target, FORMATS[dtype])
    program, _ = confirm_batching(program, probe_points(program, 5))
    return sweep(Examiner(program, oracle_for(target, None, program)), seconds, seed=0)


def target_of(function: Callable[..., torch.Tensor], planted: Planted) -> Target:
    parameters = tuple(parse_parameter(a) for a in planted.arguments)
    target = Target(function.__name__, function, parameters, definition=planted.reference)
    return with_properties(target, [parse_property(text) for text in planted.properties])


def failed_claims(result: Sweep) -> dict[str, Any]:
    """The claims that fail, with their failures."""
    found = {}
    for check in checks():
        if check.applies(result) is None:
            failures = list(check.failures(result))
            if failures:
                found[check.claim.name] = failures
    return found


@pytest.mark.parametrize(
    ("planted", "dtype"),
    [*((p, "float32") for p in PLANTED), *((p, "bfloat16") for p in PLANTED[::4])],
    ids=lambda p: p if isinstance(p, str) else f"{p.claim}-{p.faulty.__name__}",
)
def test_a_planted_fault_breaks_its_claim_and_its_twin_breaks_none(planted: Planted, dtype: str) -> None:
    assert planted.claim in failed_claims(swept(target_of(planted.faulty, planted), dtype))
    assert failed_claims(swept(target_of(planted.stable, planted), dtype)) == {}


def test_every_claim_has_three_planted_faults() -> None:
    faults = {name: {p.faulty for p in PLANTED if p.claim == name} for name in NAMES}
    assert {name: len(found) for name, found in faults.items() if len(found) < 3} == {}
    assert {p.claim for p in PLANTED} <= set(NAMES)


def test_codes_and_names_are_unique_and_stable() -> None:
    codes = {c.claim.name: c.claim.code for c in checks()}
    assert codes == {
        "value_is_finite": "STB101",
        "gradient_is_finite": "STB102",
        "value_is_accurate": "STB201",
        "gradient_is_accurate": "STB202",
        "gradient_is_alive": "STB203",
        "range_is_not_cut_short": "STB301",
        "dtype_is_kept": "STB401",
        "inputs_are_untouched": "STB402",
        "is_deterministic": "STB403",
        "matches_reference": "STB501",
        "properties_hold": "STB601",
        "guards_do_not_bind": "STB602",
        "is_continuous": "STB701",
        "gradient_is_continuous": "STB702",
    }


@each_dtype
@pytest.mark.parametrize("name", [s.name for s in find("zoo") if not s.status.is_fault])
def test_a_stable_form_of_the_zoo_passes_every_claim_with_nothing_unresolved(name: str, dtype: str) -> None:
    (spec,) = find(f"zoo:{name}")
    result = swept(Target(name, spec.function, spec.parameters, 9, spec.definition, spec.constants), dtype)
    assert failed_claims(result) == {}
    assert all(j.kind.value != "unresolved" for j in result.judgements)
    # the search goes on where enclosures are widest, next to kinks, so that less than all is proved
    assert result.certified >= (400 if dtype == "float64" else 0.9 * result.run)


@each_dtype
@pytest.mark.parametrize("name", [s.name for s in find("zoo") if s.status.is_fault])
def test_a_labelled_fault_of_the_zoo_breaks_the_claim_on_its_label(name: str, dtype: str) -> None:
    (spec,) = find(f"zoo:{name}")
    positional = sum(1 for p in spec.parameters if p.name != "reduction")
    result = swept(Target(name, spec.function, spec.parameters, positional, spec.definition, spec.constants), dtype)
    assert spec.status.claim in failed_claims(result)
