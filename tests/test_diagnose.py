"""One run taken apart: what each operation gave, should have given, lost and amplifies, on which line, and why."""

import json
import math
import shlex
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner, Result
from stabkit.reports.source import annotated

from stabkit.anatomy import Anatomy, Operation
from stabkit.cli import main
from stabkit.dissection import dissect_at
from stabkit.notation import parse_parameter

LOSSES = """import torch


def softplus(x):
    grown = torch.exp(x)
    total = 1 + grown
    return torch.log(total)


def difference(a, b):
    return a - b


def entropy(logits, label):
    chosen = torch.softmax(logits, -1).gather(-1, label[..., None])[..., 0]
    return -torch.log(chosen)


def masked(x, keep):
    return torch.where(keep, torch.log(1 + torch.exp(x)), x)


def broken(x):
    raise ValueError("never works")


def switched(x):
    return x * 2 if (x * 3 >= 0.3).all() else x.exp()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(LOSSES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stabkit(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def dissected(name: str, *arguments: str, dtype: str = "float32") -> Anatomy:
    return dissect_at(f"mine.py:{name}", [parse_parameter(a) for a in arguments], None, dtype, "cpu", 0)


def the(anatomy: Anatomy, name: str, backward: bool = False) -> Operation:
    (found,) = [o for o in anatomy.operations if (o.name, o.backward) == (name, backward)]
    return found


def test_each_operation_stands_beside_what_it_should_have_given(here: Path) -> None:
    found = dissected("softplus", "x=point{-20}")
    grown, total, log = (the(found, n) for n in ("exp", "add", "log"))
    assert (grown.line, total.line, log.line) == (5, 6, 7)
    assert {o.file for o in found.operations} == {"mine.py"}
    assert grown.exactly == pytest.approx(math.exp(-20), rel=1e-15)
    assert abs(float(grown.alone_ulps or 0)) < 1
    assert (total.gives, total.exactly) == (1.0, pytest.approx(1 + math.exp(-20), rel=1e-15))
    assert float(total.alone_ulps or 0) == pytest.approx(-math.exp(-20) * 2**23, rel=1e-3)
    assert (log.gives, log.alone_ulps) == (0.0, 0.0)  # right for the 1 that it got
    assert (log.bits_lost, total.bits_lost) == (24.0, 0.0)


def test_the_operation_to_blame_carries_the_cause(here: Path) -> None:
    found = dissected("softplus", "x=point{-10}")
    assert found.blamed_for == "value"
    assert found.cause == "absorption"
    assert [(o.line, o.cause) for o in found.operations if o.cause] == [(7, "absorption")]
    right = dissected("softplus", "x=point{1}")
    assert (right.cause, right.blamed_for, [o.cause for o in right.operations if o.cause]) == ("", "", [])
    assert {n.verdict for n in right.numbers} == {"right"}


def test_conditions_are_those_of_the_textbook(here: Path) -> None:
    a, b = 1.0, 1 - 2.0**-10
    found = dissected("difference", f"a=point{{{a}}}", f"b=point{{{b}}}")
    assert the(found, "sub").condition == pytest.approx((a + b) / (a - b), rel=1e-3)
    grown = the(dissected("softplus", "x=point{30}"), "exp")
    assert grown.condition == pytest.approx(30, rel=1e-3)


def test_room_is_counted_to_the_ends_of_the_dtype(here: Path) -> None:
    grown = the(dissected("softplus", "x=point{8}", dtype="float16"), "exp")
    assert grown.headroom == pytest.approx(math.log2(65504 / math.exp(8)), abs=0.06)
    assert grown.footroom == pytest.approx(math.log2(math.exp(8)) + 14, abs=0.06)
    lost = the(dissected("softplus", "x=point{12}", dtype="float16"), "exp")
    assert (lost.gives, lost.headroom) == ("inf", None)


def test_where_the_exact_run_goes_another_way_it_says_so(here: Path) -> None:
    assert torch.tensor(0.1) * 3 == torch.tensor(0.3) != torch.tensor(0.1).double() * 3  # rounding makes it so
    found = dissected("switched", "x=point{0.1}")
    assert any("another way" in note for note in found.notes)


def test_the_annotated_source_fits_80_columns_and_ends_with_who_judged(here: Path) -> None:
    words = ("diagnose", "mine.py:entropy", "--at", "logits=[0,-200,10],label=1", "--arg", "label=index[0,3)@[*]")
    done = stabkit(*words)
    assert done.exit_code == 1
    own = [line for line in done.stdout.splitlines() if " | " not in line]  # source lines stay as they are
    assert max(map(len, own)) <= 80
    assert "^^^ underflow: log of 0" in done.stdout
    assert "   16 |     return -torch.log(chosen)" in done.stdout
    assert done.stdout.rstrip().endswith("certified")


def test_json_holds_what_is_printed(here: Path) -> None:
    done = stabkit(
        "diagnose", "mine.py:softplus", "--at", "x=200", "--dtype", "float16,float32", "--output-format", "json"
    )
    assert done.exit_code == 1
    found = msgspec.json.decode(done.stdout, type=list[Anatomy])
    assert [a.dtype for a in found] == ["float16", "float32"]
    assert json.loads(done.stdout)[0]["numbers"][0]["got"] == "inf"
    assert any("overflow" in line for line in annotated(found[0]))


def test_an_audits_reproduction_can_be_dissected_labels_and_masks_included(here: Path) -> None:
    for words in (
        ("mine.py:entropy", "--arg", "logits=[-300,300]@[*,3]", "--arg", "label=index[0,3)"),
        ("mine.py:masked", "--arg", "x=real", "--arg", "keep=bool"),
    ):
        audit = stabkit("audit", *words, "--dtype", "float32", "--max-time", "10", "--output-format", "full")
        commands = [line.strip() for line in audit.stdout.splitlines() if line.strip().startswith("stabkit diagnose")]
        assert commands
        done = stabkit(*shlex.split(commands[0])[1:])
        assert done.exit_code == 1
        assert "error" in done.stdout
        again = stabkit(*shlex.split(commands[0].replace("diagnose", "audit", 1))[1:])
        assert again.exit_code == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mine.py:softplus",), "argument 'x' has no value; give it one: --at 'x=1.5'"),
        (("mine.py:softplus", "--at", "x"), "does not read NAME=VALUE"),
        (("mine.py:softplus", "--at", "x=1,x=2"), "is given twice"),
        (("mine.py:softplus", "--at", "x=nan"), "is not a number"),
        (("mine.py:softplus", "--at", "x=[1,[2]]"), "rows of different lengths"),
        (("mine.py:softplus", "--at", "x=1,q.loc=2"), "--arg 'q=Normal(loc:real,scale:positive)'"),
        (("mine.py:softplus", "--at", "x=1,y=2"), "is not one of"),
        (("mine.py:softplus", "--at", "x=1", "--dtype", "float8"), "is not one of float16"),
        (("mine.py:softplus", "--at", "x=1", "--device", "cuda:7"), "is not there"),
        (("mine.py:entropy", "--at", "logits=[0,1],label=0.5", "--arg", "label=index[0,3)"), "whole number"),
        (("mine.py:broken", "--at", "x=1"), "never works"),
        (("absent.py:f", "--at", "x=1"), "does not exist"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_exit_code_2(here: Path, words: tuple[str, ...], said: str) -> None:
    done = stabkit("diagnose", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
