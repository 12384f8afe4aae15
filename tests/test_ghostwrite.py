"""Test files that stabkit writes: formatted, red on a faulty loss, green on a stable one."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stabkit.cli import main

NEEDED = () if entry_points(group="pytest11", name="stabkit") else ("-p", "stabkit.pytest_plugin")
LOSSES = """
import mpmath, torch
def faulty(x): return torch.log(1 + torch.exp(x))
def stable(x): return torch.logaddexp(x, torch.zeros_like(x))
def true(x): return mpmath.log1p(mpmath.exp(x))
def certain(ctx, x): return ctx.log1p(ctx.exp(x))
class Scaled(torch.nn.Module):
    def forward(self, logits, scale): return torch.nn.functional.logsigmoid(logits) * scale
class Kept:
    method = staticmethod(stable)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "checks").mkdir()
    (tmp_path / "source" / "written_losses.py").write_text(LOSSES)
    (tmp_path / "in_reach.py").write_text(LOSSES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ghostwrite(*words: str) -> Result:
    return CliRunner().invoke(main, ["ghostwrite", *words])


def formatted(text: str) -> bool:
    """Whether a formatter leaves the text as it is, with usual and with long lines."""
    widths = ("88", "120")
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--check", "-", "--line-length"]
    return all(
        subprocess.run([*command, w], input=text, text=True, check=False, capture_output=True).returncode == 0
        for w in widths
    )


def run_tests(folder: Path, file: str) -> subprocess.CompletedProcess[str]:
    """A pytest of its own on a written file."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *NEEDED, "--stability-time=2", file]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_file_is_green_on_a_stable_loss(here: Path) -> None:
    words = (
        "source/written_losses.py:stable",
        "--arg",
        "x=[-60,60]",
        "--dtype",
        "float32",
        "-o",
        "checks/test_stable.py",
    )
    assert ghostwrite(*words, "--reference", "in_reach:true").exit_code == 0
    text = (here / "checks" / "test_stable.py").read_text()
    assert formatted(text)
    assert '"../source/written_losses.py"' in text
    assert "from in_reach import true\n" in text
    done = run_tests(here, "checks/test_stable.py")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_the_file_is_red_on_a_faulty_loss(here: Path) -> None:
    words = ("in_reach:faulty", "--reference", "in_reach:certain")
    assert ghostwrite(*words, "--dtype", "float32", "-o", "test_faulty.py").exit_code == 0
    text = (here / "test_faulty.py").read_text()
    assert formatted(text)
    assert '    "x": "real",  # guessed from its name: confirm or correct it\n' in text
    done = run_tests(here, "test_faulty.py")
    assert "2 failed" in done.stdout
    assert "E STB101 value = inf, true" in done.stdout
    assert "AssertionError: value = inf, true 100; gradient:x = nan, true 1 at x=100.0 in float32" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["in_reach:Scaled"], "LOSS = Scaled()\n"),
        (["in_reach:Kept.method"], "LOSS = Kept.method\n"),
        (["source/written_losses.py:Scaled"], "LOSS = load_module(str(LOSS_FILE)).Scaled()\n"),
        (["in_reach:stable", "--reference", "source/written_losses.py:stable"], "true_stable = load_module("),
        (["zoo:kl"], 'target="zoo:kl",'),
        (["torch:kl.normal_normal"], '"p": "Normal(loc:'),
        (["torch.nn.functional:mse_loss", "--arg", "reduction=='none'"], '"reduction": "=\'none\'",'),
    ],
)
def test_every_kind_of_target_is_reached(here: Path, words: list[str], expected: str) -> None:
    done = ghostwrite(*words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert expected in done.stdout
    assert formatted(done.stdout)
    names: dict[str, object] = {"__file__": str(here / "test_loss.py"), "__name__": "written"}
    exec(compile(done.stdout.partition("\n@pytest.mark")[0], "written", "exec"), names)
    assert names["FUZZED"].examiner("float32").oracle is not None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in_reach:fault"], "did you mean 'faulty'?"),
        (["zoo:gaussian"], "name one of them"),
        (["in_reach:faulty", "--arg", "y=real"], "argument 'y' is not one of"),
        (["in_reach:faulty", "--arg", "x=odd"], "is not one that stabkit knows"),
        (["in_reach:faulty", "--dtype", "float17"], "dtype 'float17' is not one of"),
        (["in_reach:faulty", "--reference", "in_reach:untrue"], "reference 'in_reach:untrue' is not a function"),
        (["in_reach:faulty", "-o", "nowhere/test_it.py"], "cannot be written to"),
        (["nowhere.py:faulty"], "does not exist"),
    ],
)
def test_mistakes_are_told_in_one_line(here: Path, words: list[str], message: str) -> None:
    done = ghostwrite(*words)
    assert done.exit_code == 2
    assert done.stderr.startswith("stabkit: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
