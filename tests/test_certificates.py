"""Proof by exhaustion, against brute force by mpmath, planted faults, and certificates that were tampered with."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import mpmath
import msgspec
import pytest
import torch
from stabkit.suites.certificates import table, unary
from torch import Tensor

from stabkit.certificates.certificate import (
    EDGES,
    MOST_RUNS,
    Certificate,
    Member,
    Run,
    Tally,
    begun,
    extended,
    from_json,
    join,
    merged,
    to_json,
)
from stabkit.certificates.certifier import events_of, opened
from stabkit.certificates.certify_job import CertifyJob
from stabkit.certificates.certifying import certify
from stabkit.certificates.exhaustion import count, judged, run_in_lanes
from stabkit.certificates.verdicts import KINDS
from stabkit.events import Checked, Ended
from stabkit.floats import ordinals

MINE = """
import torch
def log_of_one_plus(x): return torch.log(1 + x)
def truth(ctx, x): return ctx.log(1 + x)
def same(ctx, x): return x * 1
def difference(ctx, x, y): return x - y
def wrong_once(x): return torch.where(x == 1.5, x + 0.75, x * 1.0)
def only_positive(x):
    if (x < 0).any():
        raise ValueError("negative")
    return x * 1.0
def minus(x, y): return torch.where((x == 1) & (y > 1), 7.0 * x, x - y)
def rectified(x): return torch.relu(x) * 2
def halved(x): return (x * 0.5).sum()
def twice(x): return torch.stack([x, x], -1)
def noisy(x): return x + torch.rand_like(x)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(target: str, *arguments: str, reference: str | None = None, dtype: str = "float16") -> CertifyJob:
    return CertifyJob("open", target, arguments, reference, dtype)


def certified(asked: CertifyJob, chunks: int = 1) -> Certificate:
    """A certificate made in this process, in so many chunks."""
    examiner, space, identity = opened(asked)
    certificate = begun(identity, "stabkit certify")
    cuts = [space.count * k // chunks for k in range(chunks + 1)]
    for first, stop in pairwise(cuts):
        certificate = extended(certificate, stop - first, count(examiner, space, first, stop))
    return certificate


def checked(certificate: Certificate, sample: int = 100) -> Checked | str:
    """What trying it again says: of its contradictions, or why nothing can be said."""
    events = list(events_of(CertifyJob("check", "it.json", certificate=to_json(certificate), sample=sample)))
    reason = next(e.reason for e in events if isinstance(e, Ended))
    return next((e for e in events if isinstance(e, Checked)), reason)


def every_float(low: float, high: float) -> Tensor:
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.float16)
    inside = bits[(bits.double() >= low) & (bits.double() <= high)]
    return inside[ordinals(inside).argsort()]


def brute_force(got: Tensor, xs: Tensor, truth: Callable[[Any], Any]) -> tuple[list[int], float, float, list[bool]]:
    """Histogram, worst ulps and where, and which fail by the rule of the README: by mpmath alone."""
    mp, u = mpmath.MPContext(), mpmath.mpf(2) ** -11
    mp.dps = 60
    ulps, failing = [], []
    for g, x in zip(got.double().tolist(), xs.double().tolist(), strict=True):
        true, near = truth(mp.mpf(x)), [truth(mp.mpf(x) * (1 + s * u)) for s in (1, -1)]
        spacing = mp.ldexp(1, max(mp.frexp(true)[1] - 1, -14) - 10)
        explained = u * abs(true) + max(abs(t - true) for t in near)
        ulps.append(float(abs(g - true) / spacing))
        failing.append(abs(g - true) > 16 * max(explained, mp.ldexp(1, -24)))
    bins = [sum(low < e <= high for e in ulps) for low, high in zip((-1, *EDGES), (*EDGES, mp.inf), strict=True)]
    worst = max(range(len(ulps)), key=ulps.__getitem__)
    return bins, ulps[worst], xs[worst].item(), failing


def test_counts_and_worst_errors_are_those_of_brute_force_by_mpmath(here: Path) -> None:
    c = certified(job("mine.py:log_of_one_plus", "x=[0.004,0.02]", reference="mine.py:truth"), chunks=3)
    xs = every_float(0.004, 0.02).requires_grad_()
    assert c.done == c.inputs == len(xs) > 2000
    values = torch.log(1 + xs)
    (slopes,) = torch.autograd.grad(values.sum(), xs)
    sides = (values.detach(), mpmath.log1p), (slopes, lambda x: 1 / (1 + x))
    for tally, (got, truth) in zip(c.numbers, sides, strict=True):
        bins, worst, at, failing = brute_force(got, xs.detach(), truth)
        assert tally.histogram == bins
        assert tally.most_ulps is not None
        assert tally.most_ulps.amount == pytest.approx(worst, rel=1e-12)
        assert tally.most_ulps.amount <= tally.most_ulps.at_most <= worst * (1 + 1e-9)
        assert tally.most_ulps.member.at == {"x": at}
        assert tally.failures == sum(failing)
        inside = [any(r.first <= k <= r.last for r in tally.failing) for k in range(len(xs))]
        assert [f for f, there in zip(failing, inside, strict=True) if f and not there] == []
        assert tally.gap > 1 or inside == failing
    assert c.numbers[0].failures > 300
    assert c.numbers[1].failures == 0


def test_one_wrong_float_is_an_interval_of_its_own(here: Path) -> None:
    c = certified(job("mine.py:wrong_once", "x=[1,2]", reference="mine.py:same"))
    value, slope = c.numbers
    (run,) = value.failing
    assert (run.low, run.high, run.count, run.kinds) == ({"x": 1.5}, {"x": 1.5}, 1, {"inaccurate": 1})
    assert run.severity == "error"
    assert (run.worst.got, run.worst.truth, run.worst.ulps) == (2.25, 1.5, pytest.approx(768))
    assert (slope.failures, value.right, c.is_proof) == (0, 1024, False)


def test_every_form_of_one_number_that_is_stable_is_proved_and_every_faulty_one_is_not() -> None:
    chosen = [s for s in unary() if s.name in ("exp_lin_scale", "softplus_inverse_log_scale", "naive_exp_log_scale")]
    for spec in chosen:
        c = certified(job(f"zoo:{spec.name}", dtype="bfloat16"))
        assert c.is_proof != spec.status.is_fault
        assert all(t.inputs == 65280 for t in c.numbers)
    assert len(chosen) == 3


def test_enclosures_and_balls_give_the_same_verdicts() -> None:
    examiner, space, _ = opened(job("zoo:exp_lin_log_scale_unclipped"))
    ranks = torch.tensor(sorted(random.Random(1).sample(range(space.count), 400)))
    points = space.points(ranks)
    outcome = run_in_lanes(examiner.program, points)
    sheets = judged(examiner, ranks, points, outcome)
    met = set()
    for row in range(len(ranks)):
        sample = {"p": points["p"][row].item()}
        for s, j in zip(sheets, examiner.judge_row(sample, outcome, row, row), strict=True):
            assert KINDS[int(s.verdicts.kind[row])] is j.kind
            assert bool(s.verdicts.grave[row]) == (j.severity == "error")
            met.add((j.kind, j.severity))
            if j.ulps is not None:
                assert float(s.verdicts.ulps.hi[row]) == pytest.approx(abs(j.ulps), rel=1e-9)
    assert len(met) >= 4


def test_without_a_reference_the_program_is_replayed_on_exact_numbers(here: Path) -> None:
    c = certified(job("mine.py:rectified", "x=[-1e-5,1e-5]"))
    assert c.is_proof
    assert c.inputs == len(every_float(-1e-5, 1e-5))
    assert c.numbers[0].most_ulps is not None
    assert c.numbers[0].most_ulps.at_most == 0
    assert "exact real numbers" in c.identity.oracle


def test_inputs_that_raise_fail_and_the_others_do_not(here: Path) -> None:
    c = certified(job("mine.py:only_positive", "x=[-1e-6,1]", reference="mine.py:same"))
    for tally in c.numbers:
        (run,) = tally.failing
        assert run.kinds == {"raises": int((every_float(-1e-6, 1) < 0).sum())}
        assert run.high == {"x": -(2.0**-24)}
        assert tally.right == c.inputs - run.count


def test_a_pair_runs_through_every_combination_the_last_argument_fastest(here: Path) -> None:
    asked = job("mine.py:minus", "x=[1,1.005]", "y=data:[1,1.005]", reference="mine.py:difference")
    c = certified(asked, chunks=4)
    assert c.inputs == 36
    value = c.numbers[0]
    (run,) = value.failing
    assert (run.low, run.high) == ({"x": 1.0, "y": 1 + 2.0**-10}, {"x": 1.0, "y": 1 + 5 * 2.0**-10})
    assert (run.first, run.last, run.count) == (1, 5, 5)
    assert isinstance(found := checked(c), Checked)
    assert found.contradictions == []


def test_one_sample_a_call_is_certified_too(here: Path) -> None:
    c = certified(job("mine.py:halved", "x=[1,1.01]"))
    assert c.is_proof
    assert any("one at a time" in note for note in c.identity.notes)


@pytest.mark.parametrize("chunks", [2, 7])
def test_chunks_merge_to_what_the_whole_gives(chunks: int) -> None:
    whole, parts = (certified(job("zoo:naive_exp_log_scale", "p=[-9,-0.001]"), chunks=k) for k in (1, chunks))
    for a, b in zip(whole.numbers, parts.numbers, strict=True):
        assert (a.right, a.warnings, a.errors, a.histogram, a.gap) == (
            b.right,
            b.warnings,
            b.errors,
            b.histogram,
            b.gap,
        )
        assert a.most_ulps is not None
        assert b.most_ulps is not None
        assert a.most_ulps.member == b.most_ulps.member
        assert [(r.first, r.last, r.kinds) for r in a.failing] == [(r.first, r.last, r.kinds) for r in b.failing]
    assert len(whole.numbers[0].failing) > 10


def test_too_many_runs_are_joined_the_same_way_in_whatever_parts_they_come() -> None:
    drawn = random.Random(0)
    places = sorted(drawn.sample(range(10_000), 2_000))
    runs = [Run(k, k, {}, {}, 1, {"inaccurate": 1}, "warning", Member(k, {}, 0, 0, float(k))) for k in places]
    single = [Tally("value", warnings=1, failing=[run]) for run in runs]
    found = []
    for size in (1, 300):
        total = Tally("value")
        for start in range(0, len(single), size):
            part = Tally("value")
            for tally in single[start : start + size]:
                part = merged(part, tally)
            total = merged(total, part)
        found.append(total)
    assert found[0] == found[1]
    assert len(found[0].failing) <= MOST_RUNS < len(join(runs, found[0].gap // 2))
    assert sum(r.count for r in found[0].failing) == 2_000
    assert max(r.worst.rank for r in found[0].failing) == places[-1]


WIDE = job("zoo:exp_lin_log_scale", "p=[1,1.01]", dtype="float32")  # three chunks


def test_a_run_that_is_interrupted_and_goes_on_gives_the_certificate_of_one_that_was_not() -> None:
    kept: list[Certificate] = []

    def interrupt(done: int, inputs: int) -> None:
        if done:
            raise KeyboardInterrupt

    whole = certify(WIDE, "stabkit certify", None, kept.append)
    assert whole.certificate is not None
    assert whole.certificate.is_proof
    assert whole.certificate.inputs == 83_887
    stopped = certify(WIDE, "stabkit certify", None, kept.append, progress=interrupt)
    assert stopped.interrupted
    assert kept[-1] == stopped.certificate
    assert kept[-1].done > 0
    examiner, space, identity = opened(WIDE)
    first = extended(begun(identity, "stabkit certify"), identity.chunk, count(examiner, space, 0, identity.chunk))
    assert first.next == {"p": int(ordinals(torch.tensor(1.0))) + identity.chunk}
    for known in (first, kept[-1]):
        again = certify(WIDE, "stabkit certify", from_json(to_json(known), "it.json"), kept.append)
        assert again.certificate is not None
        assert to_json(again.certificate) == to_json(whole.certificate)


def tampered(certificate: Certificate, path: str, change: Callable[[Any], Any]) -> Certificate:
    document = msgspec.to_builtins(certificate)
    *places, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    node = document
    for place in places:
        node = node[place]
    node[last] = change(node[last])
    return msgspec.convert(document, Certificate)


NUMBERS = (
    "inputs", "done", "identity.axes.0.last", "edges.3", "numbers.0.right", "numbers.0.warnings", "numbers.1.right",
    "numbers.0.errors", "numbers.0.range_limits", "numbers.0.unresolved", "numbers.0.histogram.0",
    "numbers.0.most_ulps.amount", "numbers.0.most_ulps.member.got", "numbers.0.most_ulps.member.truth",
    "numbers.0.most_ulps.member.rank", "numbers.0.most_ulps.member.at.x", "numbers.0.most_ulps.member.ulps",
    "numbers.0.most_excess.amount", "numbers.1.most_ulps.amount", "numbers.0.failing.0.first",
    "numbers.0.failing.0.last", "numbers.0.failing.0.count", "numbers.0.failing.0.kinds.inaccurate",
    "numbers.0.failing.0.low.x", "numbers.0.failing.0.high.x", "numbers.0.failing.0.worst.got",
)  # fmt: skip


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    place = tmp_path_factory.mktemp("tampered") / "mine.py"
    place.write_text(MINE)
    return certified(job(f"{place}:log_of_one_plus", "x=[0.001,0.0011]", reference=f"{place}:truth"))


def test_an_honest_certificate_of_a_failing_function_is_consistent(failing: Certificate) -> None:
    assert failing.numbers[0].failing
    found = checked(failing)
    assert isinstance(found, Checked)
    assert (found.contradictions, found.unresolved) == ([], 0)
    assert found.inputs > 60


@pytest.mark.parametrize("path", NUMBERS)
def test_a_tampered_number_is_contradicted_even_if_the_certificate_is_sealed_again(
    failing: Certificate, path: str
) -> None:
    found = checked(tampered(failing, path, lambda x: x + 1))
    assert isinstance(found, Checked)
    assert found.contradictions


def test_a_lower_bound_that_is_too_low_and_failures_that_are_hidden_are_contradicted(failing: Certificate) -> None:
    lowered = tampered(failing, "numbers.1.most_ulps.at_most", lambda x: x / 2)
    assert isinstance(found := checked(lowered), Checked)
    assert found.contradictions
    hidden = tampered(failing, "numbers.0.failing", lambda runs: runs[1:])
    lost = failing.numbers[0].failing[0].count
    hidden = tampered(hidden, "numbers.0.warnings", lambda n: n - lost)
    hidden = tampered(hidden, "numbers.0.right", lambda n: n + lost)
    assert isinstance(found := checked(hidden), Checked)
    assert any("fails" in what for what in found.contradictions)


def test_a_seal_that_is_broken_is_a_contradiction(failing: Certificate) -> None:
    text = to_json(failing).replace('"tolerance": 4.0', '"tolerance": 5.0')
    events = list(events_of(CertifyJob("check", "it.json", certificate=text)))
    assert isinstance(events[0], Checked)
    assert "digest" in events[0].contradictions[0]


def test_a_changed_source_cannot_be_judged_and_another_torch_is_only_said(here: Path) -> None:
    c = certified(job("mine.py:wrong_once", "x=[1,1.25]", reference="mine.py:same"))
    other = tampered(c, "identity.versions.torch", lambda _: "1.0")
    assert isinstance(found := checked(other), Checked)
    assert found.contradictions == []
    assert any(note.startswith("made with torch 1.0") for note in found.notes)
    (here / "mine.py").write_text(MINE.replace("x + 0.75", "x + 0.875"))
    assert "has changed since" in str(checked(c))
    (here / "mine.py").write_text(MINE.replace("return x * 1\n", "return x * 1 + 0\n"))
    assert "source of the definition" in str(checked(c))


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        (job("zoo:kl"), "varies 4 arguments"),
        (job("zoo:parameterizations"), "names 37 functions"),
        (job("zoo:exp_scale", dtype="float64"), "too many numbers"),
        (job("zoo:exp_scale", "p=real@[*,3]"), "no single float of an interval"),
        (job("zoo:exp_scale", "p=int[0,9]"), "no single float of an interval"),
        (job("zoo:exp_scale", "p=(1,1.0000001)"), "holds no float16 number"),
        (job("mine.py:minus", dtype="float32"), "inputs in float32"),
        (job("mine.py:noisy"), "draws random numbers"),
        (job("mine.py:nothing"), "has no 'nothing'"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_cannot_be_walked_through_is_told_in_words(here: Path, asked: CertifyJob, part: str) -> None:
    (ended,) = events_of(asked)
    assert isinstance(ended, Ended)
    assert ended.status == "not_judged"
    assert part in ended.reason
    assert ";" in ended.reason  # the remedy


def test_several_numbers_for_one_input_are_told_in_words(here: Path) -> None:
    events = list(events_of(CertifyJob("count", "mine.py:twice", ("x=[1,1.1]",))))
    assert isinstance(events[-1], Ended)
    assert "returns 2 numbers" in events[-1].reason


def test_the_table_has_a_row_for_each_form_and_dtype() -> None:
    lines = list(table(["exp_scale", "naive_exp_log_scale"], ["float16"]))
    assert len(lines) == 4
    assert "| proved on 63,488 | 0.5 ulps" in lines[2]
    assert "numbers fail, 0 open" in lines[3]
    assert len(list(unary())) == 30
