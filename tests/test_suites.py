"""Smoke runs of what is otherwise run on demand."""

import json
import math
from dataclasses import replace
from pathlib import Path

import mpmath
import pytest
from stabkit.suites import cold_start, search_benchmark
from stabkit.suites.accuracy import BEGIN, END, Row, measure, table, worst, written_into
from stabkit.suites.search_benchmark import Row as SearchRow
from stabkit.suites.search_benchmark import measure as measure_search
from stabkit.suites.search_faults import FAULTS
from stabkit.suites.search_tools import TOOLS, hunt_for
from stabkit.suites.torch_findings import HEADS, summary
from stabkit.suites.torch_findings import table as findings_table
from stabkit.suites.truth_speed import QUANTITIES, Quantity, loop_truth
from stabkit.suites.truth_speed import measure as timed

from stabkit.arithmetic.evaluate import evaluate_any
from stabkit.floats import FORMATS
from stabkit.run import Request, run
from stabkit.spec import definitions_of
from stabkit.target import leaves_of
from stabkit.zoo import find

STABLE = [s.name for s in find("zoo") if not s.status.is_fault]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", STABLE)
def test_stable_forms_are_within_4_ulps_or_2_excess_bits(name: str, dtype: str) -> None:
    (spec,) = find(f"zoo:{name}")
    rows = measure(spec, FORMATS[dtype], points=300)
    slopes = {f"gradient:{a.name}" for a in leaves_of(spec.parameters) if a.is_differentiable}
    assert {r.number.partition("[")[0] for r in rows} == {"value", *slopes}
    assert [(r.number, r.excess) for r in rows if r.outside] == []


def test_the_table_has_a_row_for_value_and_gradient_and_leaves_faults_out() -> None:
    lines = list(table(20, ["zoo:exp_scale", "zoo:naive_exp_log_scale", "zoo:kl_of_normals"]))
    assert len(lines) == 2 + 2
    assert not any("naive" in line for line in lines)
    assert {line.count("|") for line in lines} == {6}
    assert all(line.count(" / ") == 4 for line in lines[2:])


def test_several_rows_make_one_of_their_worst() -> None:
    rows = [Row("q", "gradient:a", "float32", 5, 1.0, 0.5, 0), Row("q", "gradient:b", "float32", 5, 2.0, 1.5, 1)]
    assert worst(rows) == Row("q", "gradient", "float32", 10, 2.0, 1.5, 1)
    assert str(worst(rows)) == "2.00 (1.5) **1 outside**"
    assert str(Row("q", "value", "float32", 5, 0.5)) == "0.50"


def test_the_table_is_written_between_its_markers_and_the_rest_stays() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert written_into(text, ["new"]) == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_the_readme_lists_every_stable_form() -> None:
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text()
    shown = readme.partition(BEGIN)[2].partition(END)[0]
    assert [name for name in STABLE if f"| {name} | " not in shown] == []
    assert "outside" not in shown


def test_a_number_beyond_both_bounds_is_counted() -> None:
    row = Row("q", "value", "float32")
    row.take(3.5, float("-inf"))
    row.take(100.0, 1.5)
    row.take(100.0, 2.5)
    assert (row.count, row.ulps, row.excess, row.outside) == (3, 3.5, 2.5, 1)


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda q: q.name)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_speed_comparison_decides_every_point(quantity: Quantity, dtype: str) -> None:
    found = timed(quantity, FORMATS[dtype], points=300, loop=1)
    assert found.by_interval > 0.9
    assert found.by_interval + found.by_ball == pytest.approx(1)
    assert found.unresolved == 0
    assert min(found.seconds, found.loop_seconds) > 0


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda q: q.name)
def test_the_mpmath_loop_computes_the_same_numbers(quantity: Quantity) -> None:
    sample = {a.name: 0.25 + 0.5 * k for k, a in enumerate(quantity.arguments)}
    value, *slopes = loop_truth(quantity.definition, sample)
    truth = evaluate_any(definitions_of(quantity.definition), sample, FORMATS["float64"], list(sample), 5.0)
    assert float(value) == pytest.approx(truth.values[0].as_double(), rel=1e-13)
    for (name,), slope in zip(truth.gradient.values(), slopes, strict=True):
        assert float(slope) == pytest.approx(name.as_double(), rel=1e-9, abs=1e-12)


def test_the_mpmath_loop_survives_a_singularity() -> None:
    with mpmath.workdps(15):
        assert mpmath.isnan(loop_truth(lambda ctx, x: 1 / x, {"x": 0.0})[0])


def test_the_stages_of_a_cold_start_are_measured_in_processes_of_their_own() -> None:
    found = cold_start.stages(repeats=1, limit=4.0)
    assert [s.name for s in found][-1] == "whole command"
    assert all(s.median > 0 for s in found)
    lines = cold_start.table(found)
    assert len(lines) == len(found) + 1
    assert all(s.name in line for s, line in zip(found, lines[1:], strict=True))


def test_findings_about_torch_are_tabled_with_what_torch_gives_and_what_is_true() -> None:
    result = run(Request(("torch:losses.soft_margin_loss", "torch:losses.l1_loss"), dtypes=("float32",), max_time=30.0))
    heads, rule, *rows = findings_table(result)
    assert {line.count("|") for line in (heads, rule, *rows)} == {len(HEADS) + 1}
    values = [r.split(" | ") for r in rows if "STB101 value" in r]
    assert values[0][0] == "| `torch:losses.soft_margin_loss`"
    assert values[0][4:6] == ["inf", "100"]
    assert "soft_margin_loss, functional.py:" in values[0][-1]
    assert not any("l1_loss" in r for r in rows)
    assert summary(result).startswith("2 of 2 targets judged in torch")
    assert summary(result).endswith("nothing was found in 1.")
    assert len(list(findings_table(result, "error"))) <= len(rows) + 2


EASY = next(f for f in FAULTS if f.name == "bernoulli_kl_of_logits")


@pytest.mark.parametrize("tool", ["stabkit", "hypothesis", "uniform", "anomaly"])
def test_a_search_that_can_find_a_fault_does_and_finds_nothing_in_its_twin(tool: str) -> None:
    found = hunt_for(EASY, tool, seconds=60.0)
    assert found.found is not None
    assert found.witness is not None
    assert abs(found.witness["b"]) > 16
    assert found.tried >= 1
    none = hunt_for(replace(EASY, function=EASY.twin), tool, seconds=0.4)
    assert (none.found, none.witness) == (None, None)
    assert none.tried > 1


def test_gradcheck_finds_a_wrong_backward_and_nothing_in_its_twin() -> None:
    fault = next(f for f in FAULTS if f.name == "dead_zone")
    inside = replace(fault, arguments=("x=[2.0002,2.0008]",))
    assert hunt_for(inside, "gradcheck", seconds=60.0).found is not None
    assert hunt_for(replace(inside, function=fault.twin), "gradcheck", seconds=0.2).found is None


def test_a_search_is_measured_in_a_process_of_its_own() -> None:
    row = measure_search(EASY, "uniform", limit=60.0, seeds=(3,))
    assert math.isfinite(row.median)
    assert row.startup[0] > 0
    assert "b=" in row.witness


def test_searches_are_tabled_with_ratios_and_misses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        SearchRow("ties", "stabkit", 10.0, (0.5, 0.25, None), (1, 1, 9), (2.0, 2.0, 2.0)),
        SearchRow("ties", "hypothesis", 60.0, (5.0, 6.0, 4.0), (1, 1, 1), (2.0, 2.0, 2.0)),
        SearchRow("last_class", "stabkit", 10.0, (None,), (9,), (2.0,)),
        SearchRow("last_class", "hypothesis", 60.0, (20.0,), (9,), (2.0,)),
    ]
    text = "\n".join(search_benchmark.table(rows))
    assert "| float32 | 0.5 | 5 | 10 |" in text
    assert "| float32 | none in 10 | 20 |  |" in text
    assert "stabkit: 1 of 2 within 10 s; median 0.5 s of 1 found" in text
    assert "hypothesis: 1 of 2 within 10 s; median 12.5 s of 2 found" in text
    assert "not found by stabkit within 10 s: last_class" in text
    with pytest.raises(SystemExit, match="no_such_fault: not known"):
        search_benchmark.main(["--only", "no_such_fault"])
    search_benchmark.main(["--here", "--only", EASY.name, "--tools", "uniform", "--seconds", "60"])
    assert json.loads(capsys.readouterr().out)["tried"] >= 1
    assert set(TOOLS) == {"stabkit", "hypothesis", "uniform", "gradcheck", "anomaly"}
