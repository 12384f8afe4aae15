"""A result as one HTML file: no network, no script, readable from disk, everything escaped.

Each `templates/section-*.html` is a section, in the order of their names; a new one needs nothing but its file.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from stabkit.reports.causes import (
    SHORT_DTYPES,
    Cause,
    causes_of,
    counted,
    dissection_words,
    outcome_words,
    reach_words,
    verdict_words,
    witness_words,
    written,
)
from stabkit.reports.hazards import hazard_lines
from stabkit.reports.headroom import place_of, room_words
from stabkit.reports.jumps import jump_lines
from stabkit.reports.tables import groups, shown

from stabkit.finding import SEVERITIES, Result, TargetResult, count

WORDS = {"passed": "✓ pass", "failed": "✗ FAIL", "unresolved": "? open", "not_applicable": "– n/a"}


def page(result: Result) -> str:
    """The report: verdict, scorecard, findings with reproduction, tables, what was not checked, environment."""
    return _template().render(
        result=result,
        audited=bool(result.targets) or not result.tables,
        headline=headline(result),
        main=main_causes(result),
        judged=[(t, causes_of(t)) for t in result.targets],
        claims=list(dict.fromkeys(v.claim for t in result.targets for v in t.verdicts)),
        errors=count(result, "error"),
        warnings=count(result, "warning"),
        open_ends=[(t, v) for t in result.targets for v in t.verdicts if v.verdict in ("unresolved", "not_applicable")],
    )


def headline(result: Result) -> str:
    """The verdict in words, naming the fault nearest to everyday inputs; the titles of a report of tables alone."""
    if result.tables and not result.targets:
        return "; ".join(t.title for t in result.tables)
    unjudged = [t for t in result.targets if t.status not in ("audited", "failed")]
    if not result.targets or len(unjudged) == len(result.targets):
        return "NOT JUDGED: " + (unjudged[0].reason if unjudged else "no target")
    errors = [(c.lead, t) for t in result.targets for c in causes_of(t) if c.lead.severity == "error"]
    if not errors:
        clean = count(result, "warning") == 0
        return (
            "PASSED: no claim failed"
            if clean and not unjudged
            else f"NO ERRORS: {count(result, 'warning')} warnings, {len(unjudged)} targets not judged"
        )
    lead, target = min(errors, key=lambda e: e[0].extremeness)
    return f"FAILED: {target.target} gives {outcome_words(lead)} at {witness_words(lead)} in {lead.dtype}"


def scores(target: TargetResult, claim: str) -> list[tuple[str, str, str]]:
    """(outcome, its words, dtypes) of one claim on one target; no dtypes where all agree."""
    verdicts = [v for v in target.verdicts if v.claim == claim]
    outcomes = list(dict.fromkeys(v.verdict for v in verdicts))
    if len(outcomes) == 1:
        return [(outcomes[0], WORDS[outcomes[0]], "")]
    return [(o, WORDS[o], " ".join(SHORT_DTYPES[v.dtype] for v in verdicts if v.verdict == o)) for o in outcomes]


def main_causes(result: Result) -> list[tuple[TargetResult, Cause]]:
    """The gravest cause of each target, nearest to everyday inputs first; three at most."""
    gravest = [(t, causes_of(t)[0]) for t in result.targets if t.findings]
    return sorted(gravest, key=lambda tc: (SEVERITIES.index(tc[1].lead.severity), tc[1].lead.extremeness))[:3]


def anchor(cause: Cause) -> str:
    """A name for links that stays the same from run to run."""
    return cause.lead.id


@cache
def _template() -> Template:
    folder = resources.files("stabkit.reports").joinpath("templates")
    environment = Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "written": written,
        "witness": witness_words,
        "outcome": outcome_words,
        "reach": reach_words,
        "words": verdict_words,
        "anchor": anchor,
        "groups": groups,
        "shown": shown,
    }
    sections = sorted(file.name for file in folder.iterdir() if file.name.startswith("section-"))
    environment.globals |= {"scores": scores, "counted": counted, "sections": sections}
    environment.globals |= {
        "dissection_words": dissection_words,
        "hazard_lines": hazard_lines,
        "jump_lines": jump_lines,
    }
    environment.globals |= {"place_of": place_of, "room_words": room_words}
    return environment.get_template("page.html")
