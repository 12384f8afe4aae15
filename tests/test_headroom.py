"""Headroom: what is measured is what the operations gave, and the least room comes first."""

import math
from pathlib import Path

import pytest
import torch
from stabkit.reports.headroom import headroom_lines, room_words

import stabkit
from stabkit.finding import Headroom
from stabkit.floats import FORMATS
from stabkit.headroom import headroom
from stabkit.notation import parse_parameter
from stabkit.program import Program, confirm_batching
from stabkit.search.points import probe_points
from stabkit.sweep import Sweep, sweep
from stabkit.target import resolve
from stabkit.verification import Examiner

LOSSES = """import torch


def loss(x):
    grown = torch.exp(2 * x)
    return grown - 1


def whole(x):
    return (torch.exp(2 * x) - 1).sum()
"""


def swept(tmp_path: Path, name: str, domain: str) -> Sweep:
    (tmp_path / "mine.py").write_text(LOSSES)
    program = Program(resolve(f"{tmp_path / 'mine.py'}:{name}", [parse_parameter(domain)]), FORMATS["float16"])
    program, _ = confirm_batching(program, probe_points(program, 5))
    return sweep(Examiner(program, None), 5.0, seed=0)


@pytest.mark.parametrize("name", ["loss", "whole"])
def test_room_is_the_distance_from_the_extreme_everyday_results(tmp_path: Path, name: str) -> None:
    result = swept(tmp_path, name, "x=[-4,5]")
    rooms = {h.operation: h for h in headroom(result)}
    x = torch.tensor([s["x"] for s in result.samples], dtype=torch.float16)
    grown = torch.exp(2 * x)
    exp = rooms["exp"]
    if name == "loss":
        assert (exp.largest, exp.smallest) == (float(grown.max()), float(grown.min()))
    assert exp.above == pytest.approx(math.log2(65504 / exp.largest), abs=0.06)
    assert exp.below == pytest.approx(math.log2(exp.smallest * 2**14), abs=0.06)
    assert (exp.line, exp.overflowed) == (5 if name == "loss" else 10, False)
    assert rooms["sub"].below is None
    assert any(h.operation.endswith("(backward)") for h in rooms.values())


def test_overflow_at_everyday_inputs_comes_first_and_is_said() -> None:
    result = stabkit.audit(lambda x: torch.exp(3 * x), {"x": "[-20,20]"}, dtypes=["float16"], seconds=5)
    (target,) = result.targets
    assert target.headroom[0].overflowed
    (line,) = headroom_lines(target)
    assert "overflowed (exp" in line


def test_infinities_that_are_written_or_poles_are_no_overflow() -> None:
    def loss(x: torch.Tensor) -> torch.Tensor:
        low = torch.log(x * 0) + x
        low[x > 0] = math.inf
        return torch.where(x > 0, x, low)

    result = stabkit.audit(loss, {"x": "[-20,20]"}, dtypes=["float16"], seconds=5)
    assert not any(h.overflowed for h in result.targets[0].headroom)


def test_the_words_say_how_near_it_came() -> None:
    room = Headroom("float32", "m.py", 3, "exp", 1e-40, 1e30, 28.4, -6.8, False)
    assert room_words(room, "above") == "28.4 binades to overflow"
    assert room_words(room, "below") == "subnormal by 6.8 binades"
