"""What users call from Python: an audit of a function at hand, and its exact run."""

import math

import flint
import mpmath
import pytest
import torch
from flint import arb
from torch import Tensor, nn

import stabkit
from stabkit.arithmetic import Undecided
from stabkit.errors import DomainError, StabkitError, TargetError
from stabkit.exact import replay
from stabkit.exact.tensor import UnsupportedOperationError
from stabkit.recording.address import address_of


def textbook(x: Tensor) -> Tensor:
    return torch.log(1 + torch.exp(x))


def test_an_audit_finds_the_faults_of_a_closure_and_passes_its_stable_twin() -> None:
    shift = 0.0
    faulty = stabkit.audit(lambda x: textbook(x + shift), {"x": "[-200,200]"}, dtypes=["float32"], seconds=6)
    assert {f.claim for f in faulty.findings} >= {"value_is_finite", "value_is_accurate"}
    assert faulty.exit_code == 1
    assert faulty.findings[0].severity == "error"
    stable = stabkit.audit(lambda x: torch.logaddexp(x, x * 0), {"x": "[-60,60]"}, dtypes=["float32"], seconds=6)
    assert (stable.findings, stable.exit_code) == ([], 0)


def test_a_reference_may_be_a_function_and_shows_a_wrong_formula() -> None:
    found = stabkit.audit(
        lambda x: torch.exp(x) * 1.01, {"x": "[-5,5]"}, reference=mpmath.exp, dtypes=["float32"], seconds=6
    )
    assert "matches_reference" in {f.claim for f in found.findings}


def test_modules_are_audited_and_generators_left_as_they_were() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    result = stabkit.audit(nn.Softplus(), {"input": "[-10,10]"}, dtypes=["float32"], seconds=4)
    assert result.targets[0].status == "audited"
    assert torch.equal(torch.rand(1), expected)


def test_mistakes_are_raised() -> None:
    with pytest.raises(TargetError, match="cannot be called"):
        stabkit.audit(3)  # type: ignore[arg-type]
    with pytest.raises(DomainError, match="is not one that stabkit knows"):
        stabkit.audit(textbook, {"x": "plausible"})
    with pytest.raises(TargetError, match="did you mean"):
        stabkit.audit(textbook, {"xx": "real"})
    with pytest.raises(StabkitError, match="float17"):
        stabkit.audit(textbook, {"x": "real"}, dtypes=["float17"])
    with pytest.raises(TargetError, match="positive number of seconds"):
        stabkit.audit(textbook, {"x": "real"}, seconds=-2)
    with pytest.raises(TargetError, match=r"torch\.tensor\(3\.0\)"):
        replay(textbook, 3.0)
    with pytest.raises(TargetError, match="number of bits"):
        replay(textbook, torch.tensor(3.0), precision=0)
    with pytest.raises(AttributeError, match="no attribute 'audits'"):
        _ = stabkit.audits


def test_dtypes_are_named_or_torchs_own() -> None:
    found = stabkit.audit(nn.Softplus(), {"input": "[-1,1]"}, dtypes=[torch.float16], seconds=3)
    assert {v.dtype for v in found.targets[0].verdicts} == {"float16"}
    assert stabkit.audit(nn.Softplus(), {"input": "[-1,1]"}, dtypes="float16", seconds=3).targets[0].status == "audited"


def test_reproductions_name_the_function_as_the_command_line_finds_it() -> None:
    result = stabkit.audit(textbook, {"x": "[50,200]"}, dtypes=["float32"], seconds=4)
    assert result.findings[0].repro.startswith(f"stabkit audit {address_of(textbook).target} ")


def test_a_replay_gives_value_and_gradients_to_the_precision_asked_for() -> None:
    x = torch.tensor([-700.0, 3.0], dtype=torch.float64)
    found = replay(textbook, x, precision=2300)
    with mpmath.workdps(600):
        for k in (0, 1):
            true = mpmath.log1p(mpmath.exp(mpmath.mpf(x[k].item())))
            slope = 1 / (1 + mpmath.exp(-mpmath.mpf(x[k].item())))
            with flint.ctx.workprec(2000):
                assert abs(found.value[k] - arb(mpmath.nstr(true, 590))) < arb(10) ** -580
            assert float(found.gradients[0][k]) == pytest.approx(float(slope), rel=1e-15)  # type: ignore[index]


def test_a_replay_passes_on_what_is_no_floating_tensor() -> None:
    logits, label = torch.tensor([1.0, 2.0, 3.0]), torch.tensor(2)
    found = replay(torch.nn.functional.cross_entropy, logits, label, reduction="sum")
    assert float(found.value.item()) == pytest.approx(math.log(1 + math.exp(-1) + math.exp(-2)), rel=1e-14)
    assert found.gradients[1] is None
    assert found.gradients[0] is not None
    assert found.gradients[0].shape == (3,)


def test_the_trace_names_operations_numbers_and_lines() -> None:
    found = replay(textbook, torch.tensor(2.0))
    forward = [s for s in found.steps if not s.backward]
    assert [s.name for s in forward] == ["exp", "add", "log"]
    assert forward[0].output == (pytest.approx(math.exp(2), rel=1e-15),)
    assert {s.place[0] for s in forward if s.place} == {__file__}
    assert any(s.backward for s in found.steps)


def test_what_a_replay_cannot_do_is_raised_and_what_leaves_is_noted() -> None:
    with pytest.raises(UnsupportedOperationError, match="eigh"):
        replay(torch.linalg.eigvalsh, torch.eye(2))
    with pytest.raises(Undecided):
        replay(lambda x: torch.where(x / 3 * 3 > x, x, -x), torch.tensor(0.7))
    with pytest.raises(TargetError, match="not a floating tensor"):
        replay(lambda x: None, torch.tensor(0.7))
    left = replay(lambda x: x * float((x / 3).detach()), torch.tensor(0.7))
    assert [d.partition(",")[0] for d in left.departures] == ["item"]
    assert replay(lambda x: torch.zeros(2), torch.tensor(0.7)).gradients[0].item() == 0  # type: ignore[union-attr]
