"""Table 1 of dehaene2021 comes out as published, and every limit is a pair of neighbouring floats."""

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from stabkit.reports.tables import text
from stabkit.suites import min_sigma_table as module
from stabkit.suites.min_sigma import FORMS, PARAMETERIZATIONS, Reach, Row, Sigma, row, rows
from stabkit.suites.min_sigma_table import COLUMNS, PUBLISHED, min_sigma_table
from stabkit.suites.usable_range import Limit, limit_of
from torch import Tensor

from stabkit.errors import StabkitError
from stabkit.finding import Table
from stabkit.floats import FORMATS, from_ordinals, neighbours, ordinals
from stabkit.zoo import find

NAIVE = PARAMETERIZATIONS[0]
FORM = {f.label: f for f in FORMS}


@pytest.fixture(scope="module")
def table() -> Table:
    return min_sigma_table(tuple(FORMATS))


def cells(table: Table, *heading: str) -> dict[str, str]:
    """The row of one dtype, parameterization and form, by column."""
    (found,) = (r for r in table.rows if (r[0], r[2], r[3]) == heading)
    return dict(zip([c.name for c in table.columns], found, strict=True))


@pytest.mark.parametrize(("dtype", "form"), PUBLISHED)
def test_the_published_numbers_come_out(table: Table, dtype: str, form: str) -> None:
    step, sigma = PUBLISHED[dtype, form]
    found = cells(table, dtype, "NaiveExp", form)
    assert found["step"] == str(step)
    assert f"{float(found['sigma_at_step']):.2e}" == sigma
    assert float(found["sigma_at_step"]) == pytest.approx(math.exp(step), rel=1e-15)


@pytest.mark.parametrize(("dtype", "step"), [("float32", "-88"), ("float16", "-11")])
def test_the_quotient_taken_literally_ends_earlier(table: Table, dtype: str, step: str) -> None:
    assert cells(table, dtype, "NaiveExp", "quotient")["step"] == step


@pytest.mark.parametrize(("dtype", "stored"), [("float32", 2.0**-149), ("float16", 2.0**-24)])
def test_the_stored_float_is_the_smallest_subnormal(table: Table, dtype: str, stored: float) -> None:
    assert float(cells(table, dtype, "NaiveExp", "difference")["stored_at_step"]) == stored


def test_sigma_is_written_even_where_no_float64_holds_it(table: Table) -> None:
    written = mpmath.mpf(cells(table, "float64", "NaiveExp", "difference")["sigma_at_step"])
    assert mpmath.almosteq(written, mpmath.exp(-745), rel_eps=1e-15)


def test_notes_say_where_the_published_numbers_belong_and_what_flushing_moves(table: Table) -> None:
    notes = " ".join(table.notes)
    assert notes.count("as here") == 4
    assert "the quotient of eq. 6 taken literally ends at -88 in float32 and -11 in float16" in notes
    assert "float32 difference -103 to -87, squared -51 to -43" in notes
    assert "none beyond it is finite" in notes


def test_the_text_fits_80_columns_and_says_every_p_once_for_a_bounded_scale(table: Table) -> None:
    lines = list(text(table))
    assert max(map(len, lines)) <= 80
    start = lines.index("float32, cpu, DownBounded(1/sqrt 12)")
    assert lines[start + 1].split() == ["every", "form", "every", "p", "2.89e-01", "2.89e-01", "every", "p"]
    assert lines[start + 2].startswith("float32, cpu, Bounded")


@pytest.mark.parametrize("dtype", FORMATS)
def test_limits_are_neighbouring_floats_of_which_one_fails(dtype: str) -> None:
    one, zero = torch.ones((), dtype=FORMATS[dtype].dtype), torch.zeros((), dtype=FORMATS[dtype].dtype)
    for found in rows([dtype]):
        for limit in (found.value.limit, found.gradient.limit):
            assert limit.confirmed
            if limit.last is not None and limit.beyond is not None:
                pair = torch.tensor([limit.last, limit.beyond], dtype=one.dtype)
                assert neighbours(pair[:1], -1 if limit.beyond < 0 else 1).item() == limit.beyond
                if (found.parameterization, found.form) == ("NaiveExp", "squared") and limit is found.value.limit:
                    losses = [FORM["squared"].function(zero, torch.exp(p), zero, one).isfinite() for p in pair]
                    assert losses == [True, False]


@pytest.mark.parametrize("dtype", FORMATS)
def test_forms_on_log_scales_never_fail_with_exp(dtype: str) -> None:
    exp = next(p for p in PARAMETERIZATIONS if p.label == "Exp")
    for label in ("eq. 8", "eq. 10", "accurate, log"):
        found = row(exp, FORM[label], FORMATS[dtype])
        assert (found.value.limit.beyond, found.gradient.limit.beyond) == (None, None)
        assert found.value.limit.last == -FORMATS[dtype].largest


def test_p_walks_where_sigma_falls() -> None:
    inverse = next(p for p in PARAMETERIZATIONS if p.label == "SoftplusInverse")
    there, back = (row(p, FORM["difference"], FORMATS["float32"]).value for p in (inverse, NAIVE))
    assert there.limit.step == -(back.limit.step or 0) == 103
    assert there.at_step is not None
    assert float(there.at_step.true) == pytest.approx(math.exp(-103), rel=1e-15)


def test_every_parameterization_has_sigma_and_its_logarithm_in_the_zoo() -> None:
    p = torch.tensor([-2.0, 0.5], dtype=torch.float64)
    for parameterization in PARAMETERIZATIONS:
        ((scale,), (log,)) = (find(f"zoo:{n}") for n in (parameterization.scale, parameterization.log_scale))
        sigma = scale.function(p, **scale.constants)
        torch.testing.assert_close(torch.log(sigma), log.function(p, **log.constants), rtol=1e-12, atol=1e-12)


def planted(last: float) -> Callable[[Tensor], Tensor]:
    return lambda p: torch.where(p.abs() <= abs(last), 0.0, math.inf).isfinite()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("share", [0.0, 1e-9, 0.1, 0.4999, 0.731, 1.0])
@pytest.mark.parametrize("direction", [-1, 1])
def test_a_planted_threshold_is_found_to_the_float_and_not_beside_it(dtype: str, share: float, direction: int) -> None:
    form = FORMATS[dtype]
    top = int(ordinals(torch.tensor(form.largest, dtype=form.dtype)))
    rank = min(int(share * top), top - 1)
    last, beyond = (direction * from_ordinals(torch.tensor([rank, rank + 1]), form)).tolist()
    assert limit_of(planted(last), form, direction) == Limit(last, beyond)
    assert limit_of(planted(beyond), form, direction).last == beyond != last


def test_a_success_beyond_the_first_failure_is_kept() -> None:
    for form in FORMATS.values():
        found = limit_of(lambda p: (p > -3) | (p < -1000), form)
        assert found.beyond == -3.0
        assert found.again is not None
        assert found.again < -1000
    (island,) = from_ordinals(torch.tensor([-20000]), FORMATS["float16"])  # halves are walked float by float
    assert limit_of(lambda p: (p > -3) | (p == island), FORMATS["float16"]).again == island
    assert limit_of(lambda p: (p > -3) & (p != -1), FORMATS["float64"]).beyond == -1.0  # whole numbers are all met


def test_nothing_usable_and_nothing_unusable_are_told_apart() -> None:
    form = FORMATS["float32"]
    assert limit_of(torch.isnan, form) == Limit(None, -0.0)
    assert limit_of(torch.isfinite, form) == Limit(-form.largest, None)
    assert limit_of(torch.isnan, form).step is limit_of(torch.isfinite, form).step is None


def test_a_float_that_does_another_thing_alone_is_not_confirmed() -> None:
    found = limit_of(lambda p: p > (-3 if len(p) > 1 else 0), FORMATS["float32"])
    assert not found.confirmed


@pytest.mark.parametrize("dtype", FORMATS)
def test_an_exp_that_flushes_subnormals_ends_where_the_note_says(table: Table, dtype: str) -> None:
    form = FORMATS[dtype]

    def flushed(x: Tensor) -> Tensor:
        return torch.where(x < form.smallest_normal, 0, x)

    scale = limit_of(lambda p: flushed(torch.exp(p)) > 0, form).step
    square = limit_of(lambda p: flushed(torch.exp(p) ** 2) > 0, form).step
    kept = [cells(table, dtype, "NaiveExp", f)["step"] for f in ("difference", "squared")]
    note = f"{dtype} difference {kept[0]} to {scale}, squared {kept[1]} to {square}"
    assert note in " ".join(table.notes)


def test_notes_tell_another_number_a_flush_a_return_and_an_unsteady_float(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = Limit(-87.3, -87.4, again=-200.0, confirmed=False)
    reach = Reach(limit, None, Sigma("1.6458114310822737e-38", 1.6458e-38))
    odd = [Row("NaiveExp", form, "float32", "cpu", reach, reach) for form in ("quotient", "difference")]
    monkeypatch.setattr(module, "rows", lambda dtypes, device: odd)
    monkeypatch.setattr(module, "flushes_subnormals", lambda form, device: True)
    notes = " ".join(min_sigma_table(["float32"]).notes)
    assert "-103 and 1.85e-45, here -87" in notes
    assert "cpu flushes those of float32" in notes
    assert "Not monotone, finite again beyond the first failure: NaiveExp quotient in float32 (at -200.0)" in notes
    assert "Not the same alone as in a batch" in notes


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(StabkitError, match="device 'cuda:99' is not there"):
        min_sigma_table(["float32"], "cuda:99")


def test_columns_have_names_of_their_own() -> None:
    assert len({c.name for c in COLUMNS}) == len(COLUMNS)
