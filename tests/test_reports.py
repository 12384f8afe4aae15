"""Reports from a result alone: bounded, escaped, and saying what was not checked."""

import csv
import io
import re
from html.parser import HTMLParser

import msgspec
import pytest
from stabkit.reports.causes import causes_of, dissection_words, outcome_words, reach_words, written
from stabkit.reports.markdown import markdown
from stabkit.reports.page import headline, page
from stabkit.reports.tables import FORMATS, shortened
from stabkit.reports.text import MOST_LINES, concise, full

from stabkit.finding import (
    Column,
    Coverage,
    Dead,
    Extent,
    Finding,
    Hazard,
    Headroom,
    Place,
    Result,
    Table,
    TargetResult,
    Verdict,
    from_json,
    number,
    to_json,
)

HOSTILE = "<script>alert(1)</script>|`x`"


def finding(**changes: object) -> Finding:
    base = Finding(
        id="STB101-00000000",
        code="STB101",
        claim="value_is_finite",
        severity="error",
        dtype="float32",
        device="cpu",
        oracle="reference",
        certified=True,
        of="value",
        witness={"scale": 1e-24},
        neighbour=None,
        onset={"scale": 1e-23},
        extremeness=3.0,
        points=7,
        got="inf",
        truth=54.762042,
        excess_bits=None,
        ulps=None,
        where=None,
        cause="underflow",
        hint="keep its logarithm",
        repro="stabkit audit m:f --arg 'scale=point{1e-24}'",
    )
    return msgspec.structs.replace(base, **changes)


def result(*targets: TargetResult) -> Result:
    return Result(1, True, 1, 0, "stabkit audit m:f", {"stabkit": "0", "torch": "2"}, list(targets))


def target(name: str, *findings: Finding, status: str = "failed") -> TargetResult:
    verdicts = [Verdict("value_is_finite", "float32", "cpu", "failed" if findings else "passed", "1 cause")]
    coverage = [Coverage("float32", "cpu", 100, 50, 150, 3, 0, 2, 0, "count")]
    return TargetResult(name, status, verdicts=verdicts, findings=list(findings), coverage=coverage)  # type: ignore[arg-type]


def test_one_cause_in_four_dtypes_and_two_slopes_is_one_line() -> None:
    many = [finding(dtype=d, of=o) for d in ("float16", "float64") for o in ("value", "gradient:scale")]
    (cause,) = causes_of(target("m:f", *many))
    assert cause.dtypes == ["float16", "float64"]
    lines = [line for line in concise(result(target("m:f", *many))) if "STB101" in line]
    assert lines == [
        "  E STB101 value = inf, true 54.762042 at scale=1e-24 [f16; elsewhere f64] underflow; also gradient:scale"
    ]


def test_the_default_output_has_at_most_25_lines_whatever_was_found() -> None:
    causes = [finding(code=f"STB{i}", extremeness=float(i)) for i in range(100, 160)]
    for targets in (
        [target("m:f", *causes)],
        [target(f"m:f{i}", *causes[:9]) for i in range(7)],
        [target(f"m:{i}", causes[0]) for i in range(60)],
    ):
        lines = concise(result(*targets))
        assert len(lines) <= MOST_LINES
        assert any("--output-format full" in line for line in lines)


def test_causes_are_sorted_by_severity_and_onset() -> None:
    found = [
        finding(code="A", severity="warning", extremeness=0.0),
        finding(code="B", extremeness=9.0),
        finding(code="C", extremeness=1.0),
    ]
    assert [c.lead.code for c in causes_of(target("m:f", *found))] == ["C", "B", "A"]


def test_full_output_shows_hint_reproduction_and_coverage() -> None:
    text = "\n".join(full(result(target("m:f", finding()))))
    assert "keep its logarithm" in text
    assert "--arg 'scale=point{1e-24}'" in text
    assert "100 points run, 50 judged" in text
    assert "3 unresolved" in text


def test_how_far_it_goes_is_one_line_of_80_columns_in_text_markdown_and_html() -> None:
    far = finding(
        region=[Extent("x", -30.0, -17.300001, False), Extent("s[0]", 1e-3, 9.0, True)],
        immaterial=["y", "mean_of_the_posterior", "label"],
        dead=Dead("x", 0.1234, "x", -17.3),
    )
    said = reach_words(far)
    assert said == (
        "seen to fail for x from -30 to -17.3, every s[0] (one at a time); "
        "y, mean_of_the_posterior and label seem not to matter; "
        "no gradient by x at 12.3% of the floats, alive at x=-17.3"
    )
    shown = full(result(target("m:f", far)))
    lines = [line for line in shown if line.startswith("      seen to fail for") or line.startswith("        ")]
    assert " ".join(line.strip() for line in lines) == said
    assert max(map(len, lines)) <= 80
    assert "seen to fail for x from -30 to -17.3" in page(result(target("m:f", far)))
    assert any("seen to fail for x from -30 to -17.3" in line for line in markdown(result(target("m:f", far))))
    assert reach_words(finding()) == ""


def test_a_broken_property_is_told_with_its_pair_and_left_out_of_the_command_that_dissects_it() -> None:
    pair = finding(
        breaks="increasing(x)", witness={"x": 1.0, "y": 2.0}, neighbour={"x": 0.5, "y": 2.0}, got=0.5, truth=0.9,
        cause="increasing(x)", repro="stabkit audit m:f --arg 'x=point{1}' --property 'increasing(x)'",
    )  # fmt: skip
    assert outcome_words(pair) == "0.5, but 0.9 at x=0.5: not increasing(x)"
    assert outcome_words(finding(breaks="value >= 0", got=-0.25, truth=0.0)) == "-0.25, not value >= 0"
    assert dissection_words(pair) == "stabkit diagnose m:f --arg 'x=point{1}'"
    assert "x=0.5" in page(result(target("m:f", pair)))


class Elements(HTMLParser):
    """Collects tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") or (value or "").startswith("javascript:") for name, value in attrs)


def test_the_page_is_one_inert_file_whatever_targets_are_called() -> None:
    html = page(
        result(target(HOSTILE, finding(hint=HOSTILE, witness={HOSTILE: "nan"}, repro=HOSTILE), status="failed"))
    )
    parser = Elements()
    parser.feed(html)
    assert "script" not in parser.tags
    assert not {"img", "iframe", "link", "object"} & set(parser.tags)
    assert not re.search(r"https?://", html)
    assert html.index("<meta charset") < html.index("Content-Security-Policy") < html.index("<title>")
    assert "&lt;script&gt;alert(1)" in html


def test_the_page_opens_with_the_verdict_nearest_to_everyday_inputs() -> None:
    r = result(
        target("m:f", finding(extremeness=9.0, witness={"scale": 1e-40}), finding(code="STB102", of="gradient:scale"))
    )
    assert headline(r) == "FAILED: m:f gives inf, true 54.762042 at scale=1e-24 in float32"
    assert headline(result(target("m:f", status="audited"))) == "PASSED: no claim failed"
    crashed = TargetResult("m:f", "crashed", "its process died (SIGSEGV)")
    assert headline(result(crashed)) == "NOT JUDGED: its process died (SIGSEGV)"


def test_unjudged_targets_and_open_verdicts_are_listed_as_not_checked() -> None:
    open_end = target("m:g", status="audited")
    open_end = msgspec.structs.replace(
        open_end, verdicts=[Verdict("value_is_accurate", "float64", "cpu", "unresolved", "2 of 9")]
    )
    html = page(result(TargetResult("m:f", "timed_out", "stopped"), open_end))
    not_checked = html[html.index('id="not-checked"') :]
    assert "m:f" in not_checked
    assert "2 of 9" in not_checked


def test_markdown_cells_cannot_be_broken_out_of() -> None:
    rows = [
        line
        for line in markdown(result(target(HOSTILE, finding(witness={"a|b`c": 1.0}))))
        if line.startswith("| error")
    ]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 7
    assert "<script>" not in "".join(markdown(result(target(HOSTILE, finding(got=None, hint="<b>x</b>: y"))))).replace(
        "`<script>alert(1)</script>", ""
    )


def test_a_result_survives_json_with_non_finite_numbers_as_strings() -> None:
    r = result(
        target(
            "m:f",
            finding(got=number(float("nan")), truth=number(float("-inf")), witness={"x": [number(float("inf")), 0.1]}),
        )
    )
    assert from_json(to_json(r)) == r
    assert '"nan"' in to_json(r)
    with pytest.raises(msgspec.ValidationError):
        from_json('{"schema_version": 1}')


def test_numbers_are_written_compactly() -> None:
    assert [written(v) for v in (54.76204223456789, 1e-24, 3, "inf", [0.5, "nan"])] == [
        "54.762",
        "1e-24",
        "3",
        "inf",
        "[0.5, nan]",
    ]


def table() -> Table:
    """Two groups, of which one says the same throughout; words that every format must escape."""
    columns = [
        Column("dtype", "dtype"),
        Column("form", "form"),
        Column("p", "last p", 5),
        Column("sigma", "sigma", 3),
        Column("next", "beyond", 5, detail=True),
    ]
    rows = [
        ["float32", HOSTILE, "-103.97207641601562", "1.8524e-45", "-103.97208404541016"],
        ["float32", r"a & b_c% {d} ~^\\", "-11", "", ""],
        ["float64", "e,f", "every p", "", ""],
        ["float64", 'g"h', "every p", "", ""],
    ]
    return Table("t", HOSTILE, columns, rows, headings=1, notes=["a note " * 30, HOSTILE])


def lines_of(output_format: str) -> list[str]:
    return list(FORMATS[output_format](table()))


def test_csv_gives_back_every_column_and_digit() -> None:
    header, *rows = csv.reader(io.StringIO("\n".join(lines_of("csv")) + "\n"))
    assert header == [c.name for c in table().columns]
    assert rows == table().rows


def test_a_table_in_text_is_aligned_short_and_wrapped() -> None:
    lines = lines_of("text")
    width = 2 + len(HOSTILE)
    assert lines[2] == "  form".ljust(width) + "   last p     sigma"
    assert lines[4] == ("  " + HOSTILE).ljust(width) + "  -103.97  1.85e-45"
    assert lines[6:8] == ["float64", "  every form".ljust(width) + "  every p"]
    assert max(map(len, lines)) <= 80


def test_a_markdown_table_has_the_same_cells_in_every_row() -> None:
    rows = [line for line in lines_of("markdown") if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in rows} == {5}
    assert len(rows) == 2 + 2 + 1
    assert "<script>" not in "".join(lines_of("markdown")).replace(r"\<script", "")


def test_a_latex_table_is_balanced_and_escaped() -> None:
    lines = lines_of("latex")
    body = [line for line in lines if not line.startswith("%")]
    assert body[0] == r"\begin{tabular}{lrr}"
    assert body[-1] == r"\end{tabular}"
    assert [line for line in body if line in (r"\toprule", r"\bottomrule")] == [r"\toprule", r"\bottomrule"]
    assert all(line.count("{") == line.count("}") for line in (re.sub(r"\\[{}]", "", line) for line in body))
    assert all(len(re.findall(r"(?<!\\)\$", line)) % 2 == 0 for line in body)
    rows = [line for line in body if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {2}
    assert r"a \& b\_c\% \{d\} \textasciitilde{}\textasciicircum{}" in "".join(rows)
    assert r"$-103.97$ & $1.85\times 10^{-45}$ \\" in "".join(rows)


def test_the_page_shows_tables_escaped_and_alone_if_nothing_was_audited() -> None:
    alone = msgspec.structs.replace(result(), tables=[table()])
    html = page(alone)
    parser = Elements()
    parser.feed(html)
    assert "script" not in parser.tags
    assert parser.tags.count("tbody") == 2
    assert "1.85e-45" in html
    assert html.count("every form") == 1
    assert headline(alone) == HOSTILE
    assert 'id="findings"' not in html
    assert "NOT JUDGED" not in html
    assert 'id="tables"' not in page(result(target("m:f")))
    both = page(msgspec.structs.replace(result(target("m:f", finding())), tables=[table()]))
    assert both.index('id="findings"') < both.index('id="tables"') < both.index('id="not-checked"')
    assert from_json(to_json(alone)) == alone


def test_numbers_are_shortened_and_words_left_alone() -> None:
    cells = ("4.1399e-8", "2.8223508e-324", "-103.97207641601562", "-5", "every p", "", "nan")
    assert [shortened(c, Column("x", "x", 3)) for c in cells] == [
        "4.14e-08",
        "2.82e-324",
        "-104",
        "-5",
        "every p",
        "",
        "nan",
    ]
    assert shortened("1.25", Column("x", "x")) == "1.25"


def test_where_it_went_wrong_is_told_in_text_and_page() -> None:
    one = result(target("m:f", finding(where=Place("src/losses.py", 12, "log (backward)"))))
    assert any("underflow (log (backward), losses.py:12)" in line for line in concise(one))
    assert "<code>log (backward)</code> in src/losses.py, line 12" in page(one)
    assert "<dt>where</dt>" not in page(result(target("m:f", finding())))


def test_a_finding_with_a_place_comes_with_the_command_that_takes_it_apart() -> None:
    placed = finding(where=Place("m.py", 3, "log"), repro="stabkit audit m:f --arg 'scale=point{1e-24}'")
    command = "stabkit diagnose m:f --arg 'scale=point{1e-24}'"
    assert f"      {command}" in full(result(target("m:f", placed)))
    assert command not in "\n".join(full(result(target("m:f", finding()))))
    text = page(result(target("m:f", placed)))
    assert "<pre>stabkit diagnose m:f" in text
    assert "<pre>stabkit diagnose" not in page(result(target("m:f", finding())))


def test_programs_compared_with_themselves_are_not_said_to_miss_the_truth() -> None:
    apart = {"got": -18.4, "truth": -46.0, "excess_bits": 9.5}
    assert outcome_words(finding(claim="properties_hold", **apart)) == "-18.4, in float64 -46, 9.5 bits lost"
    assert outcome_words(finding(claim="guards_do_not_bind", **apart)) == "-18.4, without guards -46, 9.5 bits lost"
    assert outcome_words(finding(got="nan", truth="nan", certified=True)) == "nan, no truth known"
    assert outcome_words(finding(got="nan", truth="nan", certified=False)) == "nan, and so it is in float64"


def test_notes_alone_are_neither_a_failure_nor_a_warning() -> None:
    noted = target("m:f", finding(severity="note"), status="audited")
    (line,) = [line for line in concise(result(noted)) if "m:f" in line]
    assert line.startswith("NOTED  m:f  1 note")


def test_headroom_has_a_section_where_there_is_any() -> None:
    room = Headroom("float16", "m.py", 5, "exp", 1e-9, 3e4, 1.1, -15.8, False)
    with_room = msgspec.structs.replace(target("m:f"), headroom=[room])
    text = page(result(with_room))
    assert "1.1 binades to overflow" in text
    assert "subnormal by 15.8 binades" in text
    assert "Headroom" not in page(result(target("m:f")))
    assert any("1.1 binades to overflow (exp, m.py:5)" in line for line in full(result(with_room)))


def test_hazards_that_were_not_approached_are_listed_once_for_all_dtypes() -> None:
    hazards = [
        Hazard(d, "a/mine.py", 7, "log", "zero", near, False) for d, near in (("float16", 1.5), ("float32", 1.0))
    ]
    hazards.append(Hazard("float32", "", 0, "gt", "equality", 1e9, False))
    shown = msgspec.structs.replace(target("m:f"), hazards=hazards)
    lines = [line.strip() for line in full(result(shown)) if "not approached" in line]
    assert lines == [
        "not approached: the singularity at 0 (log, mine.py:7) [f16 f32], nearest 1",
        "not approached: equality of what is compared (gt, inside torch) [f32], nearest 1e+09 floats apart",
    ]
    assert lines[0] in page(result(shown)).replace("&#39;", "'")
