"""The pytest plugin: a marker and a fixture that audit losses as tests. Loads nothing heavy before a test asks for it.

@pytest.mark.stability(arguments={"x": "real", "scale": "positive"})
def test_my_loss():
    return my_loss
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from stabkit.finding import Result

MARKER = (
    "stability(target=None, arguments={}, *, reference, dtypes, max_time, fail_on, tolerance, natural_scale, device, "
    "seed): audits the target, or the loss that the test returns, with stabkit"
)
PASSED_ON = ("reference", "tolerance", "natural_scale", "device", "seed")
SETTINGS = ("target", "arguments", "dtypes", "max_time", "fail_on", *PASSED_ON)
FAILING: dict[str, tuple[Any, ...]] = {"error": ("error",), "warning": ("error", "warning"), "never": ()}
DEFAULT_SECONDS = 20.0


class StabilityWarning(UserWarning):
    """Something about an audit that a test should state."""


class _Mistake(Exception):
    """A setting that cannot be used."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The command-line options and their twins in the ini file."""
    group = parser.getgroup("stability", "numerical stability (stabkit)")
    group.addoption("--stability-time", metavar="SECONDS", help="for each audit, all its dtypes together")
    group.addoption("--stability-dtypes", metavar="DTYPES", help="comma-separated dtypes of every audit")
    group.addoption("--stability-fail-on", metavar="SEVERITY", help="error, warning or never")
    group.addoption("--no-stability", action="store_true", help="skip the tests that audit")
    parser.addini("stability_max_time", f"seconds for each audit, {DEFAULT_SECONDS:g} unless given", default="")
    parser.addini("stability_dtypes", "dtypes of audits, all four unless given", default="")
    parser.addini("stability_fail_on", "error, warning or never; error unless given", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker, and refuses settings that no audit could use."""
    config.addinivalue_line("markers", MARKER)
    for source in (_from_command_line(config), _from_ini(config)):
        try:
            _checked(source)
        except _Mistake as mistake:
            raise pytest.UsageError(f"stabkit: {mistake}") from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips what audits where that is asked for."""
    if config.getoption("--no-stability"):
        for item in items:
            if item.get_closest_marker("stability") or "stability" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason="--no-stability"))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Audits the target of a marked test before the test runs, or the loss that it returns after."""
    if pyfuncitem.get_closest_marker("stability") is None:
        return (yield)
    stability = pyfuncitem.funcargs.get("stability") or Stability(pyfuncitem)
    assert isinstance(stability, Stability)
    given = stability.settings()
    if given.get("target") is not None:
        stability.audit()
    returned: list[Any] = []
    test = pyfuncitem.obj

    @functools.wraps(test)
    def keeping(*args: Any, **kwargs: Any) -> None:
        returned.append(test(*args, **kwargs))

    pyfuncitem.obj = keeping
    try:
        outcome = yield
    finally:
        pyfuncitem.obj = test
    if returned and returned[0] is not None:
        stability.audit(returned[0])
    elif stability.result is None:
        _fail("nothing was audited: give the marker a target, return the loss, or call stability.audit(loss)")
    return outcome


@pytest.fixture
def stability(request: pytest.FixtureRequest) -> Stability:
    """Audits losses inside a test: `stability.audit(loss, {"x": "real"})` fails it where the loss does."""
    return Stability(request.node)


class Stability:
    """The audits of one test.

    Attributes:
        result: of the last audit, None before the first.
    """

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self.result: Result | None = None

    def settings(self) -> dict[str, Any]:
        """What markers say about this test, those nearest to it first."""
        found: dict[str, Any] = {}
        for marker in self._item.iter_markers("stability"):
            names = dict(zip(("target", "arguments"), marker.args, strict=False))
            own = {**names, **marker.kwargs}
            unknown = next((name for name in own if name not in SETTINGS), None)
            if unknown is not None or len(marker.args) > len(names):
                wrong = f"has no setting {unknown!r}" if unknown else "takes two values by position"
                _fail(f"the marker stability {wrong}; it takes {', '.join(SETTINGS)}")
            found = {**own, **found}
        return found

    def audit(
        self, target: Callable[..., Any] | str | None = None, arguments: Mapping[str, str] | None = None, **options: Any
    ) -> Result:
        """Audits a loss and fails the test where the loss fails, or where it could not be judged.

        Args:
            target: a function, an `nn.Module`, or a name as on the command line; the marker's unless given.
            arguments: domains by argument name; the marker's unless given.
            options: settings of the marker, over those that it has. Options of pytest are over both.

        Returns:
            The result, as `stabkit.audit` gives it.
        """
        config, given = self._item.config, {k: v for k, v in options.items() if v is not None}
        unknown = next((name for name in options if name not in SETTINGS), None)
        if unknown is not None:
            _fail(f"stability.audit has no setting {unknown!r}; it takes {', '.join(SETTINGS)}")
        named = {"target": target, "arguments": arguments}
        chosen = {**_from_ini(config), **self.settings(), **given, **{k: v for k, v in named.items() if v is not None}}
        chosen |= _from_command_line(config)
        try:
            checked = _checked(chosen)
        except _Mistake as mistake:
            _fail(str(mistake))
        if checked.get("target") is None:
            _fail("there is nothing to audit: name a target")
        self.result = _audited(checked)
        self._record(self.result)
        _judge(self.result, FAILING[checked.get("fail_on", "error")])
        return self.result

    def _record(self, result: Result) -> None:
        """Puts what was found into the report of the test, as `record_property` does."""
        findings = result.findings
        unresolved = sum(v.verdict == "unresolved" for t in result.targets for v in t.verdicts)
        self._item.user_properties += [
            ("stability_target", ", ".join(t.target for t in result.targets)),
            ("stability_findings", str(len(findings))),
            ("stability_ids", " ".join(f.id for f in findings)),
            ("stability_worst_excess_bits", _worst([f.excess_bits for f in findings if f.severity != "note"])),
            ("stability_unresolved", str(unresolved)),
        ]


def _audited(chosen: Mapping[str, Any]) -> Result:
    """The result of an audit; a mistake of the user's fails the test in one line."""
    from stabkit.auditing import audit
    from stabkit.errors import StabkitError

    further = {name: chosen[name] for name in PASSED_ON if name in chosen}
    if "dtypes" in chosen:
        further["dtypes"] = chosen["dtypes"]
    try:
        return audit(
            chosen["target"], chosen.get("arguments"), seconds=chosen.get("max_time", DEFAULT_SECONDS), **further
        )
    except StabkitError as error:
        _fail(str(error))


def _judge(result: Result, failing: Sequence[Any]) -> None:
    """Fails the test for findings of these severities, and for what was not judged; warns about guessed domains."""
    from stabkit.reports.assertion import failure_lines

    lines = failure_lines(result, failing)
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)
    for target in result.targets:
        if target.guesses:
            told = f"domains of {target.target} are guesses: {', '.join(target.guesses)}; declare them"
            warnings.warn(StabilityWarning(told), stacklevel=3)


def _worst(bits: Sequence[float | str | None]) -> str:
    """The most bits lost; infinite where something was not finite."""
    return str(max((math.inf if b is None else float(b) for b in bits), default=0.0))


def _fail(message: str) -> NoReturn:
    pytest.fail(f"stabkit: {message}", pytrace=False)


def _from_command_line(config: pytest.Config) -> dict[str, Any]:
    names = {"max_time": "--stability-time", "dtypes": "--stability-dtypes", "fail_on": "--stability-fail-on"}
    found = {name: config.getoption(option) for name, option in names.items()}
    return {name: value for name, value in found.items() if value is not None}


def _from_ini(config: pytest.Config) -> dict[str, Any]:
    found = {name: str(config.getini(f"stability_{name}")).strip() for name in ("max_time", "dtypes", "fail_on")}
    return {name: value for name, value in found.items() if value}


def _checked(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with time and dtypes as an audit takes them."""
    found = dict(chosen)
    if "max_time" in found:
        found["max_time"] = _seconds(found["max_time"])
    if isinstance(found.get("dtypes"), str):
        found["dtypes"] = _dtypes(found["dtypes"])
    if found.get("fail_on", "error") not in FAILING:
        raise _Mistake(f"fail_on {found['fail_on']!r} is not one of {', '.join(FAILING)}; write for instance error")
    if not isinstance(found.get("arguments", {}), Mapping):
        raise _Mistake(f"arguments {found['arguments']!r:.60} are no mapping; write {{'x': 'real'}}")
    return found


def _seconds(given: Any) -> float:
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise _Mistake(f"time {given!r} is not a positive number of seconds; write for instance 20")
    return seconds


def _dtypes(text: str) -> tuple[str, ...]:
    from stabkit.audit_job import DTYPES

    names = tuple(text.replace(",", " ").split())
    unknown = next((name for name in names or ("",) if name not in DTYPES), None)
    if unknown is not None:
        raise _Mistake(f"dtype {unknown!r} is not one of {', '.join(DTYPES)}; write for instance float16,float32")
    return names
