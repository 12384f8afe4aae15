"""`stabkit certify` as its user meets it: files, exit codes, what is said."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stabkit.certificates.certificate import Certificate, from_json, to_json
from stabkit.cli import main
from stabkit.cli_certify import default_name

LOSSES = """
import torch
def same(ctx, x): return x * 1
def wrong_once(x): return torch.where(x == 1.5, x + 0.75, x * 1.0)
def dies(x): import os; os._exit(9)
"""
NAME = "mine.py_wrong_once.float16.certificate.json"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(LOSSES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def certify(*words: str) -> Result:
    return CliRunner().invoke(main, ["certify", *words])


def test_a_proof_is_written_shown_and_consistent(here: Path) -> None:
    done = certify("zoo:exp_scale", "--arg", "p=[-1,1]")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.partition("  ")[0].rpartition(" on")[0] for line in lines if line.startswith("P")] == ["PROVED"] * 2
    assert max(map(len, lines)) <= 80
    names = [default_name("zoo:exp_scale", dtype, "cpu") for dtype in ("float16", "bfloat16")]
    assert sorted(p.name for p in here.glob("*.json")) == sorted(names)
    found = certify("--check", names[0], "--output-format", "json")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["consistent"] is True
    again = certify("zoo:exp_scale", "--arg", "p=[-1,1]", "--dtype", "float16")
    assert again.exit_code == 0
    assert "was complete already" in again.stderr
    other = certify("zoo:exp_scale", "--arg", "p=[-1,2]", "--dtype", "float16")
    assert other.exit_code == 2
    assert "differs in its arguments" in other.stderr
    assert "name another file with -o" in other.stderr


def test_one_wrong_float_makes_exit_code_1_and_stands_in_text_and_file(here: Path) -> None:
    done = certify("mine.py:wrong_once", "--reference", "mine.py:same", "--arg", "x=[1,2]", "--dtype", "float16")
    assert done.exit_code == 1
    assert done.stdout.startswith("FAILED  mine.py:wrong_once in float16 on cpu")
    assert "fails at x=1.5: 1 float, error (inaccurate 1); 2.25, true 1.5, 768 ulps" in done.stdout
    c = from_json((here / NAME).read_text(), NAME)
    assert (c.complete, c.next, c.failures) == (True, None, 1)
    wrong = to_json(c).replace('"right": 1024', '"right": 1025')
    (here / NAME).write_text(wrong)
    found = certify("--check", NAME)
    assert found.exit_code == 1
    assert "CONTRADICTED" in found.stdout


def test_what_was_counted_before_a_crash_is_said_to_be_nothing(here: Path) -> None:
    done = certify("mine.py:dies", "--arg", "x=[1,2]", "--dtype", "float16")
    assert done.exit_code == 2
    assert "its process died (exit code 9)" in done.stderr
    assert not list(here.glob("*.json"))


GOOD = '{"format": "stabkit certificate", "schema_version": 1'


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "cannot be read"),
        ("", "is empty"),
        (GOOD, "is cut off"),
        ("[1, 2]", "is not a certificate of stabkit"),
        ('{"format": "another"}', "is not a certificate of stabkit"),
        ("\xff\xfe", "is not a certificate of stabkit"),
        (GOOD + "}", "is damaged"),
        (GOOD.replace(" 1", " 99") + "}", "has schema version 99"),
    ],
)
@pytest.mark.parametrize("words", [("--check", "it.json"), ("zoo:exp_scale", "--dtype", "float16", "-o", "it.json")])
def test_a_file_that_is_no_certificate_is_told_in_words_and_left_alone(
    here: Path, text: str | None, part: str, words: tuple[str, ...]
) -> None:
    if text is not None:
        (here / "it.json").write_text(text, encoding="latin-1")
    elif words[0] != "--check":
        return  # the file is made there
    done = certify(*words)
    assert done.exit_code == 2
    assert part in done.stderr
    assert "Traceback" not in done.output
    assert text is None or (here / "it.json").read_text(encoding="latin-1") == text


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "names neither"),
        (("zoo:exp_scale", "--check", "it.json"), "names neither or both"),
        (("zoo:exp_scale", "-o", "it.json"), "cannot hold several dtypes"),
        (("zoo:exp_scale", "--dtype", "float8"), "is not one of"),
        (("zoo:exp_scale", "--device", "tpu"), "is neither cpu nor cuda"),
        (("zoo:exp_scale", "-o", "no/such/folder.json", "--dtype", "float16"), "cannot be written to"),
        (("zoo:exp_scale", "--arg", "p=nonsense"), "is not one that stabkit knows"),
    ],
)
def test_a_wrong_command_is_told_before_anything_starts(here: Path, words: tuple[str, ...], part: str) -> None:
    done = certify(*words)
    assert done.exit_code == 2
    assert part in done.stderr
    assert ";" in done.stderr  # the remedy
    assert not list(here.glob("*.json"))


def test_an_unfinished_certificate_is_gone_on_with(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stabkit.certificates import certifying

    kept: list[Certificate] = []
    words = ("zoo:exp_log_scale", "--dtype", "float32", "--arg", "p=[1,1.01]", "-o", "it.json")
    whole = certify(*words)
    assert whole.exit_code == 0
    text = (here / "it.json").read_text()
    (here / "it.json").unlink()

    def interrupt(self: certifying._Progress, event: object) -> None:
        take(self, event)  # type: ignore[arg-type]
        if self.certificate.done and not kept:
            kept.append(self.certificate)
            raise KeyboardInterrupt

    take = certifying._Progress.take
    monkeypatch.setattr(certifying._Progress, "take", interrupt)
    stopped = certify(*words)
    assert stopped.exit_code == 130
    assert "interrupted; the same command goes on" in stopped.stderr
    assert from_json((here / "it.json").read_text(), "it.json").done >= kept[0].done > 0
    again = certify(*words)
    assert again.exit_code == 0
    assert (here / "it.json").read_text() == text
