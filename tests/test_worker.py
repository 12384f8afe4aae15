"""Hostile targets: each gets its status, the others go on, and what was judged is kept."""

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from stabkit.audit_job import Job
from stabkit.collect import Collected
from stabkit.errors import TargetError
from stabkit.events import Ended, Judged
from stabkit.finding import TargetResult, Verdict
from stabkit.run import Request, run
from stabkit.worker import Workers

HOSTILE = """
import ctypes, os, sys, time
import torch

def fine(x): return x * 2
def segfault(x): ctypes.string_at(0)
def exits(x): os._exit(3)
def endless(x):
    while True: pass
def huge(x): return x + torch.zeros(25 * 10**9).sum()
def chatty(x):
    print("noise" * 1000); sys.stderr.write("more noise"); return x * 2
def exits_quietly(x): os._exit(0)
def kills_its_group(x): os.killpg(0, 9)
def leaves_a_child(x):
    if os.fork() == 0: time.sleep(3600)
    return x * 2
def doubles(x):
    os.fork()
    return x * 2
def late(x):
    if x.dtype is torch.float32: os._exit(7)
    return torch.log(torch.exp(x))
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "hostile.py"
    path.write_text(textwrap.dedent(HOSTILE))
    return path


def result_of(job: Job) -> TargetResult:
    """One job, through a worker of its own."""
    collected = Collected(job.target)
    with Workers(1) as workers:
        for _, event in workers.events([job]):
            collected.add(event)
    return collected.result()


def test_a_hostile_target_costs_itself_and_nobody_else(hostile: Path) -> None:
    names = ("segfault", "exits", "endless", "huge", "chatty", "fine", "exits_quietly", "kills_its_group")
    jobs = [Job(f"{hostile}:{n}", ("x=[-1,1]",), dtypes=("float32",), seconds=4.0) for n in names]
    collected = [Collected(j.target) for j in jobs]
    with Workers(2) as workers:
        for index, event in workers.events(jobs, grace=4.0):
            collected[index].add(event)
    ends = {n: c.result() for n, c in zip(names, collected, strict=True)}
    assert {n: e.status for n, e in ends.items()} == {
        "segfault": "crashed",
        "exits": "crashed",
        "endless": "timed_out",
        "huge": "crashed",
        "chatty": "audited",
        "fine": "audited",
        "exits_quietly": "crashed",
        "kills_its_group": "crashed",
    }
    assert "SIGSEGV" in ends["segfault"].reason
    assert "exit code 3" in ends["exits"].reason
    assert "memory" in ends["huge"].reason


@pytest.mark.parametrize("name", ["leaves_a_child", "doubles"])
def test_what_a_target_forks_neither_speaks_nor_stays(hostile: Path, name: str) -> None:
    job = Job(f"{hostile}:{name}", ("x=point{1}",), dtypes=("float32",), seconds=4.0)
    collected = Collected(job.target)
    with Workers(1) as workers:
        for _, event in workers.events([job], grace=4.0):
            collected.add(event)
        group = workers.running[0].group
    result = collected.result()
    assert len(result.coverage) <= 1
    assert len({(v.claim, v.dtype) for v in result.verdicts}) == len(result.verdicts)
    assert not group.exists()  # its process group was ended


def test_what_was_judged_before_a_crash_is_kept(hostile: Path) -> None:
    job = Job(f"{hostile}:late", ("x=[-200,200]",), dtypes=("float16", "float32"), seconds=10.0)
    result = result_of(job)
    assert result.status == "crashed"
    assert "exit code 7" in result.reason
    assert {v.dtype for v in result.verdicts} == {"float16"}
    assert any(f.claim == "value_is_finite" for f in result.findings)


def test_findings_at_the_ends_of_float64_cross_the_process_border() -> None:
    job = Job("zoo:kl_textbook", dtypes=("float64",), seconds=8.0)
    result = result_of(job)
    assert result.status == "failed"
    assert any(f.severity == "error" for f in result.findings)


def test_the_zoo_is_expanded_by_name_family_and_whole() -> None:
    with Workers(1) as workers:
        assert workers.expand(["zoo:nll", "a.py:f"]) == ["zoo:nll", "a.py:f"]
        family = workers.expand(["zoo:pytorch"])
        assert family == ["zoo:normal_kl", "zoo:gaussian_nll_loss"]
        everything = workers.expand(["zoo", "zoo:nll"])
        assert len(everything) == len(set(everything)) > len(family)
        with pytest.raises(TargetError, match="is not in the zoo"):
            workers.expand(["zoo:nonsense"])


def test_dtypes_of_one_target_are_judged_side_by_side_and_come_back_in_order() -> None:
    collected = Collected("m:f", dtypes=("float16", "float32", "float64"), jobs=2)
    late, early = (Judged(d, [Verdict("c", d, "cpu", "passed", "")], [], None) for d in ("float64", "float16"))
    for event in (late, Ended("audited"), early):
        collected.add(event)
    assert collected.ended is None
    collected.add(Ended("not_judged", "its domain is empty there"))
    assert [v.dtype for v in collected.result().verdicts] == ["float16", "float64"]
    assert collected.result().status == "audited"  # where a dtype holds nothing of the domain, the others count
    for worse in (Ended("failed"), Ended("timed_out"), Ended("crashed")):
        assert replace(collected, endings=[Ended("audited"), worse]).result().status == worse.status


def test_a_run_of_one_target_gives_the_same_in_one_job_or_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(("zoo:naive_exp_log_scale",), dtypes=("float16", "bfloat16"), max_time=60.0)
    found = []
    for cores in (1, 2):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        (target,) = run(request).targets
        found.append([(v.claim, v.dtype, v.verdict) for v in target.verdicts])
    assert found[0] == found[1]
    assert {dtype for _, dtype, _ in found[0]} == {"float16", "bfloat16"}
