"""Smoke runs of what is otherwise run on demand."""

import pytest
from stabkit.suites.accuracy import Row, measure, table
from stabkit.suites.truth_speed import compare, fixed_precision_kl, plain_kl

from stabkit.floats import FORMATS
from stabkit.zoo import find

STABLE = [s.name for s in find("zoo") if not s.status.is_fault]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", STABLE)
def test_stable_forms_are_within_4_ulps_or_2_excess_bits(name: str, dtype: str) -> None:
    (spec,) = find(f"zoo:{name}")
    rows = measure(spec, FORMATS[dtype], points=300)
    assert {r.number for r in rows} == {"value", *(f"gradient:{p.name}" for p in spec.parameters)}
    assert [(r.number, r.excess) for r in rows if r.outside] == []


def test_the_table_has_a_row_for_each_number_and_leaves_faults_out() -> None:
    lines = list(table(20, ["zoo:exp_scale", "zoo:naive_exp_log_scale"]))
    assert len(lines) == 2 + 4 * 2
    assert not any("naive" in line for line in lines)


def test_a_number_beyond_both_bounds_is_counted() -> None:
    row = Row("q", "value", "float32")
    row.take(3.5, float("-inf"))
    row.take(100.0, 1.5)
    row.take(100.0, 2.5)
    assert (row.count, row.ulps, row.excess, row.outside) == (3, 3.5, 2.5, 1)


def test_the_speed_comparison_times_every_way_on_the_same_points() -> None:
    found = compare(points=3)
    assert set(found) == {"balls", "mpmath, agreeing", "mpmath, 50 digits"}
    assert all(seconds > 0 for seconds in found.values())


def test_the_mpmath_loop_computes_the_same_divergence() -> None:
    value, *slopes = fixed_precision_kl(0.0, 1.0, 1.0, 1.0)
    assert value == plain_kl(0.0, 1.0, 1.0, 1.0) == 0.5
    assert [float(s) for s in slopes] == pytest.approx([-1, 0, 1, -1], abs=1e-12)
