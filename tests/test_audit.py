"""The audit as a whole, in this process: events in order, witnesses that reproduce, slips that are reported."""

import math
import shlex
import time
from pathlib import Path

import pytest
import torch

from stabkit import auditor
from stabkit.audit_job import Job
from stabkit.auditor import audit_target
from stabkit.checks import NAMES
from stabkit.events import Begun, Ended, Event, Judged, decode, encode
from stabkit.finding import Finding, to_float
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.program import Program, points_of
from stabkit.sweep import Sweep, sweep
from stabkit.target import resolve
from stabkit.verification import Examiner, numbers_of
from stabkit.zoo import find

VAE_NOTES = """
import torch

def reconstruction_loss(x, mean, log_std):
    return log_std + ((x - mean) / torch.exp(log_std)) ** 2

def prior_matching_loss(mean, log_std):
    return torch.exp(log_std) + mean ** 2 - 1 - log_std

def reconstruction_term(x, mean, log_std):
    return 0.5 * (((x - mean) / torch.exp(log_std)) ** 2 + log_std)
"""
VAE_TRUTH = """
import mpmath

def reconstruction(x, mean, log_std):
    return log_std + ((x - mean) / mpmath.exp(log_std)) ** 2 / 2

def prior(ctx, mean, log_std):
    return (ctx.exp(2 * log_std) + mean ** 2 - 1 - 2 * log_std) / 2
"""


def events_of(job: Job) -> tuple[list[Event], list[Judged], Ended]:
    events = list(audit_target(job))
    judged = [e for e in events if isinstance(e, Judged)]
    assert isinstance(events[-1], Ended)
    return events, judged, events[-1]


def rerun(finding: Finding, job: Job) -> float:
    """What the program gives at a finding's witness, run by itself."""
    target = resolve(job.target, [parse_parameter(a) for a in job.arguments])
    program = Program(target, FORMATS[finding.dtype], seed=job.seed)
    sample = {n: [to_float(x) for x in v] if isinstance(v, list) else to_float(v) for n, v in finding.witness.items()}
    outcome = program.run(points_of(sample, target.arguments, program.form))
    return numbers_of(program, outcome, 0)[finding.of]


def test_pytorch_normal_kl_is_caught_in_all_four_dtypes_with_witnesses_that_reproduce() -> None:
    job = Job("zoo:normal_kl", seconds=40.0)
    events, judged, ended = events_of(job)
    assert isinstance(events[0], Begun)
    assert ended.status == "failed"
    assert [j.dtype for j in judged] == list(FORMATS)
    for j in judged:
        errors = [f for f in j.findings if f.claim == "value_is_finite" and f.severity == "error"]
        assert any(f.cause == "underflow" for f in errors)
        for f in j.findings:
            got = rerun(f, job)
            assert (math.isnan(got) and f.got == "nan") or torch.tensor(got).to(FORMATS[f.dtype].dtype) == torch.tensor(
                to_float(f.got)
            ).to(FORMATS[f.dtype].dtype)
            assert shlex.split(f.repro)[:3] == ["stabkit", "audit", "zoo:normal_kl"]


def test_a_reproduction_finds_the_same_again() -> None:
    _, judged, _ = events_of(Job("zoo:naive_exp_log_scale", dtypes=("float16",)))
    first = next(f for j in judged for f in j.findings)
    words = shlex.split(first.repro)
    pinned = tuple(words[i + 1] for i, w in enumerate(words) if w == "--arg")
    _, again, _ = events_of(Job("zoo:naive_exp_log_scale", pinned, dtypes=("float16",)))
    found = [f for j in again for f in j.findings if f.id == first.id]
    assert found[0].witness == first.witness
    assert found[0].got == first.got
    assert again[0].coverage is not None
    assert again[0].coverage.run == 1


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        ("reconstruction_loss", "reconstruction"),
        ("prior_matching_loss", "prior"),
        ("reconstruction_term", "reconstruction"),
    ],
)
def test_the_three_slips_of_the_vae_notes_are_mismatches_with_the_reference(
    tmp_path: Path, function: str, reference: str
) -> None:
    source, truth = tmp_path / "vae_notes.py", tmp_path / "vae_truth.py"
    source.write_text(VAE_NOTES)
    truth.write_text(VAE_TRUTH)
    names = ("mean", "log_std") if "prior" in function else ("x", "mean", "log_std")
    job = Job(
        f"{source}:{function}", tuple(f"{n}=[-4,4]" for n in names), f"{truth}:{reference}", ("float32",), seconds=30.0
    )
    _, judged, ended = events_of(job)
    assert ended.status == "failed"
    mismatch = [f for f in judged[0].findings if f.claim == "matches_reference"]
    assert [f.severity for f in mismatch] == ["error"]
    assert all(abs(to_float(v)) <= 4 for v in mismatch[0].witness.values())


def test_without_a_reference_the_program_on_exact_numbers_judges(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("import torch\ndef loss(x): return torch.log(torch.exp(x) + 1)\n")
    _, judged, _ = events_of(Job(f"{source}:loss", ("x=[-300,300]",), dtypes=("float32", "float64"), seconds=20.0))
    single, double = judged
    found = next(f for f in single.findings if f.claim == "value_is_finite")
    assert (found.oracle, found.certified, found.severity) == ("program", True, "error")
    verdicts = {v.claim: v.verdict for v in double.verdicts}
    assert (verdicts["value_is_accurate"], verdicts["matches_reference"]) == ("failed", "not_applicable")
    assert verdicts["value_is_finite"] == "passed"
    lost = next(f for f in double.findings if f.claim == "value_is_accurate")
    assert (lost.cause, lost.certified) == ("absorption", True)


def test_a_float64_result_that_is_not_finite_is_judged_by_the_program_on_exact_numbers(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("import torch\ndef loss(x): return torch.log(torch.exp(x) + 1)\n")
    _, judged, _ = events_of(Job(f"{source}:loss", ("x=[-3000,3000]",), dtypes=("float64",), seconds=20.0))
    found = next(f for f in judged[0].findings if f.claim == "value_is_finite")
    assert (found.oracle, found.severity, found.got) == ("program", "error", "inf")


def test_a_program_that_is_nan_everywhere_in_a_declared_domain_fails(tmp_path: Path) -> None:
    (tmp_path / "never.py").write_text("import torch\ndef loss(x): return torch.log(-1 - x * x)\n")
    place = f"{tmp_path / 'never.py'}:loss"
    events = list(audit_target(Job(place, ("x=[-5,5]",), dtypes=("float32",), seconds=10.0)))
    found = [f for e in events if isinstance(e, Judged) for f in e.findings if f.claim == "value_is_finite"]
    assert {(f.got, f.severity, f.oracle) for f in found} == {("nan", "error", "property")}
    assert events[-1] == Ended("failed")
    guessed = list(audit_target(Job(place, dtypes=("float32",), seconds=10.0)))
    assert isinstance(guessed[-1], Ended)
    assert guessed[-1].status != "failed"  # the guess may be what is wrong


def test_a_guessed_domain_makes_no_errors_and_says_how_to_confirm(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("import torch\ndef loss(x): return torch.log(torch.exp(x))\n")
    events, judged, ended = events_of(Job(f"{source}:loss", dtypes=("float32",), seconds=10.0))
    assert isinstance(events[0], Begun)
    assert events[0].guesses == ["x=real"]
    assert ended.status == "audited"
    findings = judged[0].findings
    assert {f.severity for f in findings} == {"warning"}
    assert all("--arg x=real" in f.hint for f in findings)


def test_every_claim_has_a_verdict_in_every_dtype_even_when_time_runs_out() -> None:
    _, judged, _ = events_of(Job("zoo:kl_textbook", seconds=0.01))
    for j in judged:
        assert [v.claim for v in j.verdicts] == list(NAMES)
        assert j.coverage is not None


def test_what_importing_the_target_takes_is_taken_off_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", time.monotonic)  # the module below moves the clock, which ends with the test
    (tmp_path / "slow.py").write_text(
        "import time, torch\n"
        "before = time.monotonic\n"
        "time.monotonic = lambda: before() + 1000\n"
        "def loss(x): return torch.exp(x)\n"
    )
    given = []

    def spied(examiner: Examiner, seconds: float, seed: int) -> Sweep:
        given.append(seconds)
        return sweep(examiner, seconds, seed)

    monkeypatch.setattr(auditor, "sweep", spied)
    list(audit_target(Job(f"{tmp_path / 'slow.py'}:loss", ("x=real",), dtypes=("float32",), seconds=500.0)))
    assert given[0] < 1


def test_a_dtype_that_holds_no_value_of_the_domain_is_not_applicable() -> None:
    _, judged, ended = events_of(
        Job("zoo:exp_scale", ("p=[70000,80000]",), dtypes=("float16", "float32"), seconds=10.0)
    )
    assert {v.verdict for v in judged[0].verdicts} == {"not_applicable"}
    assert "holds no float16 number" in judged[0].verdicts[0].reason
    assert ended.status == "audited"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("nowhere.py:f", "does not exist"),
        ("stabkit.reference.gaussian:nothing", "is not a function"),
        ("stabkit.reference.gaussian", "PLACE:FUNCTION"),
        ("stabkit.reference.parameterizations:exp_scale", "takes 1 inputs, the target 3"),
    ],
)
def test_a_wrong_reference_is_told(reference: str, says: str) -> None:
    _, _, ended = events_of(Job("zoo:nll", reference=reference))
    assert ended.status == "not_judged"
    assert says in ended.reason


def test_a_reference_with_another_number_of_components_is_told(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("def loss(x): return x * 2\ndef ref(x): return [x, x]\n")
    _, _, ended = events_of(Job(f"{source}:loss", ("x=real@[*,3]",), f"{source}:ref", ("float32",)))
    assert "the reference returns 6 numbers a sample, the target 3" in ended.reason


def test_integer_labels_reach_a_reference_as_ints(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text(
        "import torch, mpmath\n"
        "def loss(logits, label): return torch.nn.functional.cross_entropy(logits, label, reduction='none')\n"
        "def ref(ctx, logits, label):\n"
        "    return ctx.log(sum((ctx.exp(v) for v in logits), start=ctx.number(0))) - logits[label]\n"
        "def plain(logits, label): return mpmath.log(sum(map(mpmath.exp, logits))) - logits[label]\n"
    )
    arguments = ("logits=[-20,20]@[*,3]", "label=index[0,3)")
    for reference in ("ref", "plain"):
        _, judged, ended = events_of(
            Job(f"{source}:loss", arguments, f"{source}:{reference}", ("float64",), seconds=12.0)
        )
        assert ended.status == "audited"
        assert {v.verdict for v in judged[0].verdicts if v.claim == "matches_reference"} == {"passed"}


def test_a_target_that_returns_several_tensors_is_noted(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("import torch\ndef loss(x): return x * 2, torch.log1p(x)\n")
    events, _, _ = events_of(Job(f"{source}:loss", ("x=[1,2]",), dtypes=("float32",), seconds=10.0))
    assert isinstance(events[0], Begun)
    assert events[0].notes == ["it returns 2 tensors, of which the first is audited"]


def test_a_random_result_is_not_compared_with_another_dtype(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text("import torch\ndef loss(x): return torch.distributions.Gamma(x, x).rsample()\n")
    events, judged, ended = events_of(Job(f"{source}:loss", ("x=[1,2]",), dtypes=("float32",), seconds=10.0))
    assert isinstance(events[0], Begun)
    assert any("random" in n for n in events[0].notes)
    assert ended.status == "audited"
    assert {v.claim: v.verdict for v in judged[0].verdicts}["value_is_accurate"] == "not_applicable"


@pytest.mark.parametrize(("loss", "verdict"), [("x * torch.rand_like(x)", "passed"), ("drawn(x)", "failed")])
def test_a_random_result_is_compared_with_an_exact_run_on_the_same_draws(
    tmp_path: Path, loss: str, verdict: str
) -> None:
    source = tmp_path / "mine.py"
    source.write_text(
        f"import torch\ndef drawn(x): return x * torch.rand_like(x) + 1e6 - 1e6\ndef loss(x): return {loss}\n"
    )
    events, judged, _ = events_of(Job(f"{source}:loss", ("x=[1,2]",), dtypes=("float32",), seconds=10.0))
    assert isinstance(events[0], Begun)
    assert any("random" in n for n in events[0].notes)
    assert {v.claim: v.verdict for v in judged[0].verdicts}["value_is_accurate"] == verdict


def test_a_failure_that_does_not_repeat_alone_is_unresolved_not_passed(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text(
        "import torch\ndef loss(x):\n"
        "    return torch.where(torch.arange(len(x)) % 64 == 7, x * 1.5, x) if len(x) > 8 else x * 1\n"
        "def ref(ctx, x): return x\n"
    )
    _, judged, _ = events_of(Job(f"{source}:loss", ("x=[1,2]",), f"{source}:ref", ("float32",), seconds=10.0))
    accuracy = ("value_is_accurate", "matches_reference")
    verdict = next(v for v in judged[0].verdicts if v.claim in accuracy and v.verdict != "passed")
    assert verdict.verdict == "unresolved"
    assert "none again by itself" in verdict.reason


def test_results_with_several_components_are_judged_one_by_one(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text(
        "import torch, mpmath\n"
        "def loss(x): return torch.stack([x[:, 0] + x[:, 1], torch.log(torch.exp(x[:, 1]))], -1)\n"
        "def ref(x): return [x[0] + x[1], x[1]]\n"
    )
    _, judged, _ = events_of(
        Job(f"{source}:loss", ("x=[-200,200]@[*,2]",), f"{source}:ref", ("float32",), seconds=20.0)
    )
    finite = [f for f in judged[0].findings if f.claim == "value_is_finite"]
    assert {f.of for f in finite} == {"value[1]"}
    assert {f.of for f in judged[0].findings if f.claim == "gradient_is_finite"} == {"gradient:x[1]"}


def test_events_survive_the_way_to_another_process() -> None:
    events, _, _ = events_of(Job("zoo:exp_lin_scale_as_printed", dtypes=("float16",)))
    assert [decode(encode(e).strip()) for e in events] == events


@pytest.mark.parametrize("name", [s.name for s in find("zoo:gaussian") if s.status.is_fault])
def test_a_labelled_fault_is_found_with_the_claim_and_the_cause_on_its_label(name: str) -> None:
    (spec,) = find(f"zoo:{name}")
    _, judged, ended = events_of(Job(f"zoo:{name}", dtypes=("float32",), seconds=60.0))
    assert ended.status in ("audited", "failed")
    found = {(f.claim, f.cause) for e in judged for f in e.findings}
    assert (spec.status.claim, spec.status.cause) in found


def test_slopes_that_fail_alike_are_one_finding_that_names_them_all() -> None:
    _, (judged,), _ = events_of(Job("zoo:kl_textbook", dtypes=("float32",), seconds=60.0))
    overflows = [f for f in judged.findings if f.code == "STB102" and f.cause == "overflow"]
    assert len({f.id for f in overflows}) == len(overflows)
    assert max(len(f.numbers) for f in overflows) >= 3
    assert all(f.of in f.numbers for f in overflows)


REFERENCES = """
import torch

def naive(p, y): return -y * torch.log(p)

def truth(ctx, p, y): return -y * ctx.log(p) + abs(y) * 0 * ctx.log(2)

def nothing(ctx, p, y): return None

def empty(ctx, p, y): return []
"""


def test_a_limit_is_taken_only_along_arguments_that_vary(tmp_path: Path) -> None:
    source = tmp_path / "mine.py"
    source.write_text(REFERENCES)
    arguments = ("p=[0,0.5]", "y=data:point{0}")
    _, (judged,), _ = events_of(Job(f"{source}:naive", arguments, f"{source}:truth", ("float32",), seconds=20.0))
    found = next(f for f in judged.findings if f.claim == "value_is_finite")
    assert (found.got, found.truth, found.witness["p"]) == ("nan", 0.0, 0.0)


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_a_reference_that_returns_no_number_is_told_as_such(tmp_path: Path, name: str) -> None:
    source = tmp_path / "mine.py"
    source.write_text(REFERENCES)
    _, _, ended = events_of(Job(f"{source}:naive", ("p=unit", "y=unit"), f"{source}:{name}", ("float32",)))
    assert ended.status == "not_judged"
    assert "reference" in ended.reason


def test_claims_on_calls_do_not_boast_of_inputs() -> None:
    _, (judged,), _ = events_of(Job("zoo:exp_lin_scale", dtypes=("float16",), seconds=30.0))
    reasons = {v.claim: v.reason for v in judged.verdicts}
    assert reasons["value_is_accurate"] == "proved on every input, 63488 in all"
    assert reasons["is_deterministic"] == reasons["inputs_are_untouched"] == "a few calls compared"
