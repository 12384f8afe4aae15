"""The zoo under Hypothesis: stable forms hold, labelled faults are found, and what was found is found again."""

import subprocess
import sys
import unittest
from pathlib import Path

import pytest
from hypothesis import Phase
from hypothesis.database import InMemoryExampleDatabase
from stabkit.suites.properties import holds, lines_of, main

from stabkit.errors import DomainError, TargetError
from stabkit.floats import FORMATS
from stabkit.fuzzing import Fuzzed
from stabkit.spec import Spec
from stabkit.zoo import families, find

EVERYTHING = [s for specs in families().values() for s in specs]
STABLE = [s for s in EVERYTHING if not s.status.is_fault]
FAULTS = [s for s in EVERYTHING if s.status.is_fault]
REPEATED = {"derandomize": True}
UNSHRUNK = {**REPEATED, "phases": (Phase.generate, Phase.target)}


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("spec", STABLE, ids=lambda s: s.name)
def test_stable_forms_are_right_wherever_hypothesis_looks(spec: Spec, dtype: str) -> None:
    seen = holds(spec, dtype, 10, **REPEATED)
    assert seen.failure == ""
    assert seen.unresolved == 0
    assert seen.samples >= 5


@pytest.mark.parametrize("spec", FAULTS, ids=lambda s: s.name)
def test_labelled_faults_fail_the_same_property(spec: Spec) -> None:
    assert any(holds(spec, dtype, 100, **UNSHRUNK).failure for dtype in FORMATS)


def test_failures_shrink_to_plain_numbers_and_come_back_first_from_the_database() -> None:
    (spec,) = find("zoo:naive_exp_log_scale")
    database = InMemoryExampleDatabase()
    first = holds(spec, "float32", 100, database=database, derandomize=False)
    assert first.failure == "value = inf, true 100; gradient:p = nan, true 1 at p=100.0 in float32"
    again = holds(spec, "float32", 100, database=database, derandomize=False, phases=[Phase.reuse])
    assert again.witness == {"p": 100.0}
    assert again.failure == first.failure
    with pytest.raises(unittest.SkipTest, match="no test cases"):  # kept by form and dtype
        holds(spec, "float16", 100, database=database, derandomize=False, phases=[Phase.reuse])


def test_the_table_says_what_is_not_as_labelled() -> None:
    (good,), (bad,) = find("zoo:exp_scale"), find("zoo:exp_lin_scale_as_printed")
    rows = list(lines_of([good, bad], 10, None))
    assert [row.split(" | ")[1] for row, _ in rows if "_scale" in row] == ["stable", "fault"]
    assert all(right for _, right in rows)
    mislabelled = Spec(bad.name, bad.function, bad.definition, bad.parameters, good.status, "")
    assert [right for row, right in lines_of([mislabelled], 10, None) if row.startswith("| exp_lin")] == [False]
    assert any(row.startswith("    value = ") for row, _ in lines_of([mislabelled], 10, None))


def test_the_suite_runs_from_the_shell(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stabkit.suites.properties", "--examples", "3"]
    done = subprocess.run([*command, "zoo:free_bits"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "| free_bits | stable |" in done.stdout


def test_a_name_that_does_not_exist_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["properties", "zoo:fre_bits"])
    with pytest.raises(SystemExit, match=r"^properties: target 'zoo:fre_bits' is not in the zoo; did you mean [^\n]*$"):
        main()


def test_a_check_tells_errors_from_warnings_and_what_raises() -> None:
    off = Fuzzed(lambda x: x * (1 + 2.0**-18), {"x": "real"}, reference=lambda ctx, x: x)
    assert off.check({"x": 1.0}, "float32")
    with pytest.raises(AssertionError, match=r"value = 1\.00000\d+, true 1, .* bits lost.* at x=1\.0 in float32"):
        off.check({"x": 1.0}, "float32", fail_on="warning")

    def picky(x):  # type: ignore[no-untyped-def]
        if x.numel() == 1 and float(x.detach()) == 7:
            raise ValueError("seven")
        return x * 2

    with pytest.raises(AssertionError, match=r"raises ValueError: seven at x=7\.0 in float16"):
        Fuzzed(picky, {"x": "real"}).check({"x": 7.0}, "float16")
    with pytest.raises(DomainError, match="float17"):
        off.check({"x": 1.0}, "float17")
    with pytest.raises(TargetError, match="cannot be called"):
        Fuzzed(3).examiner("float16")  # type: ignore[arg-type]
