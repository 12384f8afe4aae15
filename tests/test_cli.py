"""The command line as its user meets it: exit codes, formats, messages."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result
from stabkit.reports.page import page

from stabkit.cli import main
from stabkit.finding import from_json, json_schema

ROOT = Path(__file__).resolve().parent.parent
LOSSES = """
import torch, mpmath
def softplus(x): return torch.log(1 + torch.exp(x))
def better(x): return torch.logaddexp(x, torch.zeros_like(x))
def ref(x): return mpmath.log1p(mpmath.exp(x))
def crashes(x): import os; os._exit(9)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(LOSSES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stabkit(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


QUICK = ("--arg", "x=[-60,300]", "--dtype", "float32", "--max-time", "12")


def test_a_faulty_loss_fails_with_one_line_a_cause_and_at_most_25(here: Path) -> None:
    done = stabkit("audit", "mine.py:softplus", "--reference", "mine.py:ref", *QUICK)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert len(lines) <= 25
    assert lines[1].startswith("FAILED  mine.py:softplus")
    assert any("STB101 value = inf" in line and "[f32]" in line for line in lines)


def test_a_stable_loss_passes_with_exit_code_0_in_a_module_on_the_path(here: Path) -> None:
    done = stabkit("audit", "mine:better", "--reference", "mine:ref", *QUICK)
    assert done.exit_code == 0
    assert "PASSED  mine:better" in done.stdout


def test_json_follows_its_schema_and_holds_what_the_formats_print(here: Path) -> None:
    done = stabkit(
        "audit", "mine.py:softplus", *QUICK, "--output-format", "json", "-o", "result.json", "--report", "html"
    )
    assert done.exit_code == 1
    text = (here / "result.json").read_text()
    jsonschema.validate(json.loads(text), json_schema())
    result = from_json(text)
    assert (result.exit_code, result.complete, result.seed) == (1, True, 0)
    found = result.targets[0].findings[0]
    assert found.oracle == "program"
    assert found.repro.startswith("stabkit audit mine.py:softplus --arg 'x=point{")
    assert (here / "stability-report.html").read_text() == page(result)


@pytest.mark.parametrize("fmt", ["full", "concise", "markdown"])
def test_every_format_names_the_claim_or_its_code(here: Path, fmt: str) -> None:
    done = stabkit("audit", "mine.py:softplus", *QUICK, "--output-format", fmt)
    assert done.exit_code == 1
    assert "STB101" in done.stdout


def test_what_makes_the_exit_code_1_is_the_users_choice(here: Path) -> None:
    guessed = ("audit", "mine.py:softplus", "--dtype", "float32", "--max-time", "12")
    assert stabkit(*guessed).exit_code == 0  # a guess makes warnings only
    assert stabkit(*guessed, "--fail-on", "warning").exit_code == 1
    assert stabkit("audit", "mine.py:softplus", *QUICK, "--fail-on", "never").exit_code == 0
    assert stabkit("audit", "mine.py:softplus", *QUICK, "--exit-zero").exit_code == 0


def test_one_crashing_target_leaves_the_other_judged_and_the_run_unjudged(here: Path) -> None:
    done = stabkit(
        "audit", "mine.py:crashes", "mine.py:better", "--arg", "x=[-5,5]", "--dtype", "float32", "--max-time", "12"
    )
    assert done.exit_code == 2
    assert "PASSED  mine.py:better" in done.stdout
    assert "CRASHED  mine.py:crashes" in done.stdout
    assert "exit code 9" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("audit",), "Missing argument"),
        (("audit", "mine.py:softplus", "--dtype", "float8"), "dtype 'float8' is not one of"),
        (("audit", "mine.py:softplus", "--dtype", ""), "write for instance --dtype"),
        (("audit", "mine.py:softplus", "--device", "tpu"), "is neither cpu nor cuda"),
        (("audit", "mine.py:softplus", "--arg", "x"), "does not read NAME=DOMAIN"),
        (("audit", "mine.py:softplus", "--arg", "x=real", "--arg", "x=unit"), "is declared twice"),
        (("audit", "mine.py:softplus", "-o", "no/such/folder/x.json"), "cannot be written to"),
        (("audit", "mine.py:softplus", "--max-time", "0"), "is not in the range"),
        (("audit", "mine.py:softplus", "--output-format", "yaml"), "is not one of"),
        (("audit", "zoo:nothing"), "is not in the zoo"),
        (("audit", "mine.py:softpluss"), "did you mean 'softplus'?"),
        (("audit", "mine.py:softplus", "--arg", "y=real"), "it takes x"),
        (("audit", "mine.py:softplus", "--device", "cuda", "--dtype", "float32"), ""),
        (("adit", "mine.py:softplus"), "No such command"),
        (("audit", "mine.py:softplus", "--reference", ""), "is empty or holds control characters"),
        (("audit", "mine.py:soft\x1b[31mplus"), "\\x1b[31m"),
        (("audit", "mine.py:softplus", "--max-time", "nan"), "is not a number of seconds"),
        (("audit", "mine.py:softplus", "-o", "."), "is not the name of a file"),
        (("audit", "mine.py:softplus", "--arg", "x=int[0,inf]"), "whole numbers need finite bounds"),
        (("audit", "mine.py:softplus", "--arg", "x=real@[*,0]"), "is not a list of sizes"),
        (("audit", "mine.py:softplus", "--arg", "x=point{[1,2]}"), "does not have the declared shape"),
        (("audit", "mine.py:softplus", "--arg", "x=choice{}"), "list some"),
        (("table",), "Missing argument"),
        (("table", "max-sigma"), "table 'max-sigma' is not one of min-sigma; write stabkit table min-sigma"),
        (("table", "min\x1b[31m"), "\\x1b[31m"),
        (("table", "min-sigma", "--dtype", "float8"), "dtype 'float8' is not one of"),
        (("table", "min-sigma", "--device", "tpu"), "is neither cpu nor cuda"),
        (("table", "min-sigma", "--device", "cuda:99"), "use --device cpu"),
        (("table", "min-sigma", "--format", "json"), "is not one of"),
        (("table", "min-sigma", "-o", "no/such/folder/x.csv"), "cannot be written to"),
        (("table", "min-sigma", "--dtype", "float16", "-o", "/dev/full"), "cannot write the output"),
    ],
)
def test_a_wrong_command_exits_2_with_one_message_and_no_traceback(
    here: Path, words: tuple[str, ...], says: str
) -> None:
    done = stabkit(*words)
    assert done.exit_code == 2 or (says == "" and done.exit_code in (0, 1))
    assert says in done.stderr
    assert "Traceback" not in done.output


def test_output_follows_links_and_leaves_devices_alone(here: Path) -> None:
    (here / "real.json").write_text("old")
    (here / "link.json").symlink_to("real.json")
    pinned = ("audit", "mine.py:better", "--arg", "x=point{1}", "--dtype", "float32", "--output-format", "json")
    assert stabkit(*pinned, "-o", "link.json").exit_code == 0
    assert (here / "link.json").is_symlink()
    assert from_json((here / "real.json").read_text()).complete
    os.mkfifo(here / "pipe")
    reader = subprocess.Popen(["cat", here / "pipe"], stdout=subprocess.PIPE, text=True)
    assert stabkit(*pinned, "-o", "pipe").exit_code == 0
    assert from_json(reader.communicate()[0]).complete
    assert from_json(stabkit(*pinned, "-o", "-").stdout).complete


def test_a_reference_that_says_nothing_judges_nothing(here: Path) -> None:
    (here / "truth.py").write_text("def ref(x): return 1 / (x - x)\n")
    done = stabkit("audit", "mine.py:softplus", "--reference", "truth.py:ref", *QUICK)
    assert done.exit_code == 2
    assert "undefined or unresolved at every point" in done.stderr


def test_a_mistake_in_a_reference_is_told_as_one(here: Path) -> None:
    (here / "truth.py").write_text("import mpmath\ndef typo(x): return mpmath.expp(x)\ndef two(x, y): return x\n")
    for name, says in (("typo", "reference 'truth.py:typo' raises AttributeError"), ("two", "also needs y")):
        done = stabkit("audit", "mine.py:softplus", "--reference", f"truth.py:{name}", *QUICK)
        assert done.exit_code == 2
        assert says in done.stderr


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = json.loads((ROOT / "stabkit" / "result.schema.json").read_text())
    assert published == json_schema()
    assert json.loads(stabkit("schema").stdout) == published


def test_a_table_is_printed_in_every_format_and_written_whole(here: Path) -> None:
    short = ("table", "min-sigma", "--dtype", "float16")
    for fmt, starts in (("text", "Smallest"), ("csv", "dtype,"), ("markdown", "## "), ("latex", "% Smallest")):
        done = stabkit(*short, "--format", fmt)
        assert done.exit_code == 0
        assert done.stdout.startswith(starts)
        assert "-17" in done.stdout
        assert stabkit(*short, "--format", fmt, "-o", f"table.{fmt}").stdout == ""
        assert (here / f"table.{fmt}").read_text() == done.stdout
    assert not (here / "stability-report.html").exists()


def test_a_table_has_a_report_of_its_own(here: Path) -> None:
    done = stabkit("table", "min-sigma", "--dtype", "float16", "--report", "html")
    assert done.exit_code == 0
    assert done.stderr == "wrote stability-report.html\n"
    html = (here / "stability-report.html").read_text()
    assert "float16, cpu, NaiveExp" in html
    assert "4.14e-08" in html


WAITS_FOR_THE_OTHER = """
import pathlib, time
def f(x):
    while not any(b'"ended"' in p.read_bytes() for p in pathlib.Path(".").glob("stabkit-*/0.events")):
        time.sleep(0.01)
    pathlib.Path("reached").write_text("the other target is done")  # a fifo: the test reads its end
    time.sleep(3600)
"""


def test_an_interrupt_keeps_what_was_judged(here: Path) -> None:
    (here / "slow.py").write_text(WAITS_FOR_THE_OTHER)
    os.mkfifo(here / "reached")
    words = ["audit", "mine.py:better", "slow.py:f", "--arg", "x=[-5,5]", "--dtype", "float32"]
    process = subprocess.Popen(
        [sys.executable, "-m", "stabkit", *words, "--output-format", "json", "-o", "result.json"],
        cwd=here,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(here)},
    )
    (here / "reached").read_text()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    result = from_json((here / "result.json").read_text())
    assert not result.complete
    assert [(t.target, t.status) for t in result.targets] == [
        ("mine.py:better", "audited"),
        ("slow.py:f", "not_judged"),
    ]


def test_a_range_names_its_edges_and_what_is_proved(here: Path) -> None:
    done = stabkit("range", "zoo:naive_exp_log_scale", "--dtype", "float16", "--max-time", "20")
    assert done.exit_code == 0, done.output
    value = next(line for line in done.stdout.splitlines() if line.startswith("  f16"))
    assert value.split() == ["f16", "-17.32", "11.08", "proved", "-inf", "for", "-17.3", "inf", "for", "11.1"]
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_ranges_come_as_csv_and_as_json_that_matches_the_schema(here: Path) -> None:
    words = ("range", "mine.py:softplus", "--reference", "mine.py:ref", "--arg", "x=real", "--dtype", "float32")
    table = list(csv.DictReader(io.StringIO(stabkit(*words, "--format", "csv").stdout)))
    assert [row["of"] for row in table] == ["value", "gradient"]
    assert float(table[0]["high"]) == pytest.approx(88.72, abs=0.01)
    result = json.loads(stabkit(*words, "--format", "json").stdout)
    jsonschema.validate(result, json_schema())
    assert [r["above"]["why"] for r in result["targets"][0]["ranges"]] == ["fails", "fails"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("range", "mine.py:nothing"), "has no 'nothing'"),
        (("range", "mine.py:softplus", "--dtype", "float8"), "is not one of"),
        (("range", "mine.py:softplus", "--arg", "y=real"), "it takes x"),
        (("range", "mine.py:softplus", "-o", "nowhere/out.txt"), "cannot be written to"),
        (("range", "mine.py:crashes"), "crashed"),
    ],
)
def test_a_range_that_cannot_be_known_exits_with_2_and_says_why(
    here: Path, words: tuple[str, ...], complaint: str
) -> None:
    done = stabkit(*words)
    assert done.exit_code == 2
    assert complaint in done.output.replace("\n", " ")
    assert "Traceback" not in done.output


def test_the_error_rule_has_two_numbers_and_reproductions_repeat_them(here: Path) -> None:
    words = ("audit", "mine.py:softplus", "--arg", "x=[-12,-9]", "--dtype", "float32", "--max-time", "6")
    strict = stabkit(*words, "--output-format", "full")
    assert "STB201" in strict.stdout
    lenient = stabkit(*words, "--tolerance", "20")
    assert "STB201" not in lenient.stdout
    grave = stabkit(*words, "--natural-scale", "1e-6", "--output-format", "full")
    assert grave.exit_code == 1
    assert "--natural-scale 1e-06" in grave.stdout
    assert strict.exit_code == 0
    assert stabkit(*words, "--tolerance", "-1").exit_code == 2
