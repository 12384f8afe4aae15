"""The pytest plugin as its user meets it: three lines a test, readable failures, no traceback for a mistake."""

import subprocess
import sys
from importlib.metadata import entry_points
from xml.etree import ElementTree

import pytest
from _pytest.pytester import Pytester, RunResult

pytest_plugins = ["pytester"]

PLUGIN = "stabkit.pytest_plugin"
LOSSES = """
import torch
def faulty(x): return torch.log(1 + torch.exp(x))
def stable(x): return torch.logaddexp(x, torch.zeros_like(x))
def picky(x): raise RuntimeError("no")
"""
INSTALLED = bool(entry_points(group="pytest11", name="stabkit"))
NEEDED = () if INSTALLED else ("-p", PLUGIN)  # a checkout that is not installed says which plugin it means
QUICK = ("--stability-time", "2", "--stability-dtypes", "float16")


@pytest.fixture
def project(pytester: Pytester) -> Pytester:
    """A folder with losses to test."""
    pytester.makepyfile(losses=LOSSES)
    pytester.syspathinsert()
    return pytester


def ran(project: Pytester, test: str, *options: str) -> RunResult:
    """What pytest says about one test file."""
    project.makepyfile(test_it="import pytest\nfrom losses import faulty, picky, stable\n" + test)
    return project.runpytest_inprocess(*NEEDED, "-p", "no:cacheprovider", *(options or QUICK))


def test_the_plugin_loads_nothing_heavy() -> None:
    code = (
        f"import sys, {PLUGIN}\n"
        "heavy = ('torch', 'numpy', 'mpmath', 'flint', 'hypothesis', 'click', 'msgspec', 'rich')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_marked_test_that_returns_its_loss_audits_it(project: Pytester) -> None:
    found = ran(
        project,
        """
arguments = {"x": "[-60,300]"}

@pytest.mark.stability(arguments=arguments)
def test_faulty():
    return faulty

@pytest.mark.stability(arguments=arguments)
class TestStable:
    def test_stable(self):
        return stable
""",
    )
    found.assert_outcomes(passed=1, failed=1)
    text = found.stdout.str()
    assert "losses:faulty is not stable: " in text
    assert "  E STB101 value = inf, true " in text
    assert "      stabkit audit losses:faulty --arg 'x=point{" in text
    assert "Traceback" not in text
    assert "pytest_plugin.py" not in text


def test_a_target_is_audited_before_the_test_goes_on_with_the_result(project: Pytester) -> None:
    found = ran(
        project,
        """
@pytest.mark.stability(target="losses:stable", arguments={"x": "[-9,9]"})
def test_named(stability):
    assert stability.result.targets[0].status == "audited"

@pytest.mark.stability(faulty, {"x": "[50,300]"}, fail_on="never")
def test_positional_and_lenient(stability):
    assert stability.result.findings

@pytest.mark.stability(faulty, {"x": "[50,300]"})
def test_never_gets_there():
    raise ValueError("the body ran")
""",
    )
    found.assert_outcomes(passed=2, failed=1)
    assert "the body ran" not in found.stdout.str()


def test_the_fixture_fails_the_test_and_puts_what_it_found_into_junit(project: Pytester) -> None:
    found = ran(
        project,
        """
def test_loss(stability):
    stability.audit(faulty, {"x": "[50,300]"})

def test_stable(stability):
    result = stability.audit(stable, {"x": "[-9,9]"}, dtypes=["float32"], max_time=99)
    assert {c.dtype for c in result.targets[0].coverage} == {"float16"}  # the command line has the last word
""",
        *QUICK,
        "--junitxml=junit.xml",
    )
    found.assert_outcomes(passed=1, failed=1)
    cases = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in ElementTree.parse(project.path / "junit.xml").iter("testcase")
    }
    assert int(cases["test_loss"]["stability_findings"] or 0) >= 1
    assert (cases["test_loss"]["stability_ids"] or "").startswith("STB101-")
    assert cases["test_loss"]["stability_worst_excess_bits"] == "inf"
    assert cases["test_stable"]["stability_findings"] == "0"
    assert cases["test_stable"]["stability_target"] == "losses:stable"


def test_mistakes_are_told_in_a_line_each(project: Pytester) -> None:
    found = ran(
        project,
        """
def test_domain(stability):
    stability.audit(stable, {"x": "plausible"})

def test_argument(stability):
    stability.audit(stable, {"z": "real"})

def test_setting(stability):
    stability.audit(stable, {"x": "real"}, dtype="float16")

def test_severity(stability):
    stability.audit(stable, {"x": "real"}, fail_on="sometimes", tolerance=3)

def test_unjudged(stability):
    stability.audit(picky, {"x": "real"})

def test_missing(stability):
    stability.audit("losses:stabel", {"x": "real"})

@pytest.mark.stability(argument={"x": "real"})
def test_marker():
    return stable

@pytest.mark.stability
def test_nothing():
    pass
""",
        "--stability-time=2",
    )
    found.assert_outcomes(failed=8)
    text = found.stdout.str()
    assert "stabkit: domain 'plausible' of x is not one that stabkit knows" in text
    assert "stabkit: argument 'z' is not one of 'losses:stable'" in text
    assert "stabkit: stability.audit has no setting 'dtype'; it takes target" in text
    assert "stabkit: fail_on 'sometimes' is not one of error, warning, never" in text
    assert "stability of losses:picky was not judged: target 'losses:picky' raises at every input" in text
    assert "stabkit: target 'losses:stabel' has no 'stabel' in losses; did you mean 'stable'?" in text
    assert "stabkit: the marker stability has no setting 'argument'" in text
    assert "stabkit: nothing was audited" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--stability-dtypes=float17", "dtype 'float17' is not one of float16"),
        ("--stability-time=soon", "time 'soon' is not a positive number of seconds"),
        ("--stability-fail-on=always", "fail_on 'always' is not one of error"),
        ("--override-ini=stability_max_time=-1", "time '-1' is not a positive number"),
    ],
)
def test_wrong_options_stop_pytest_before_it_starts(project: Pytester, option: str, words: str) -> None:
    found = ran(project, "def test_one(): pass", option)
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    assert words in found.stderr.str()


def test_the_ini_file_says_what_no_test_does_and_guesses_are_warned_about(project: Pytester) -> None:
    project.makeini("[pytest]\nstability_dtypes = bfloat16\nstability_max_time = 2\nstability_fail_on = warning\n")
    found = ran(
        project,
        """
def test_guessed(stability):
    result = stability.audit(stable)
    assert {c.dtype for c in result.targets[0].coverage} == {"bfloat16"}

@pytest.mark.stability(dtypes="float16", max_time=2)
def test_marked(stability):
    result = stability.audit(stable, {"x": "[-9,9]"})
    assert {c.dtype for c in result.targets[0].coverage} == {"float16"}

def test_warnings_fail(stability):
    stability.audit(faulty)
""",
        "-v",
    )
    found.assert_outcomes(passed=2, failed=1)
    found.stdout.fnmatch_lines(["*StabilityWarning: domains of losses:stable are guesses: x=real; declare them"])
    assert "  guessed: x=real" in found.stdout.str()


def test_audits_are_skipped_on_request(project: Pytester) -> None:
    found = ran(
        project,
        """
@pytest.mark.stability(arguments={"x": "real"})
def test_marked():
    return faulty

def test_fixture(stability):
    stability.audit(faulty, {"x": "real"})

def test_other():
    assert stable
""",
        "--no-stability",
    )
    found.assert_outcomes(passed=1, skipped=2)


def test_the_marker_is_known_under_strict_markers(project: Pytester) -> None:
    found = ran(project, "", "--markers", "--strict-markers")
    assert "@pytest.mark.stability(target=None" in found.stdout.str()
