"""Which of many points deserve to be judged: a cheap native suspicion before the certified truth.

Below float64 a number is suspect by its excess over the same program in float64, conditioning estimated by
moving the inputs. In float64 it is suspect by its second difference over neighbouring floats, which a smooth
function does not have and rounding noise does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, zip_longest

import torch
from torch import Generator, Tensor

from stabkit.domain import Argument, Booleans, Choice, Integers
from stabkit.floats import Format, neighbours
from stabkit.program import Outcome, Points, Program
from stabkit.search.legal import moved_inside

PLAIN_VALUES, MOST_PLAIN_ROWS = (0.0, 0.5, -0.5, 1.0, -1.0), 40
MOST_OF_A_KIND, ROWS_OF_A_VALUE = 8, 3
NOT_FINITE = 1e4  # score of a non-finite number, above any accuracy score


def suspicion(program: Program, points: Points, outcome: Outcome, generator: Generator) -> dict[str, Tensor]:
    """Scores [N] by channel, `value` and each argument's name: bits that seem lost, NOT_FINITE where not finite."""
    got = _channels(outcome)
    if program.form.name == "float64":
        expected, wobble = _from_neighbours(program, points, got, generator)
    else:
        expected, wobble = _from_float64(program, points, generator)
    return {name: _score(g, expected.get(name), wobble.get(name), program.form) for name, g in got.items()}


def _channels(outcome: Outcome) -> dict[str, Tensor]:
    flat = {name: g.double().reshape(len(outcome.values), -1) for name, g in outcome.gradients.items()}
    return {"value": outcome.values.double(), **flat}


def _from_float64(
    program: Program, points: Points, generator: Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What float64 says, and how far one unit roundoff of the inputs moves it."""
    wide = program.in_dtype("float64")
    lifted = {n: x.double() if x.is_floating_point() else x for n, x in points.items()}
    expected = _channels(wide.run(lifted))
    u = program.form.unit_roundoff
    wobble: dict[str, Tensor] = {}
    for _ in range(2):
        moved = {n: x * (1 + u * _signs(x, generator)) if x.is_floating_point() else x for n, x in lifted.items()}
        moved = moved_inside(moved, program.target.arguments, wide.form)
        for name, y in _channels(wide.run(moved)).items():
            if name in expected and y.shape == expected[name].shape:
                distance = (y - expected[name]).abs().nan_to_num(0.0, 0.0, 0.0)
                wobble[name] = torch.maximum(distance, wobble.get(name, distance))
    return expected, wobble


def _from_neighbours(
    program: Program, points: Points, got: dict[str, Tensor], generator: Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The mean over two opposite neighbours, in place of a truth; no conditioning is left in it."""
    steps = {n: _signs(x, generator) for n, x in points.items()}
    around = []
    for side in (1, -1):
        moved = {
            n: torch.where(steps[n] * side > 0, neighbours(x), neighbours(x, -1)) if x.is_floating_point() else x
            for n, x in points.items()
        }
        around.append(_channels(program.run(moved_inside(moved, program.target.arguments, program.form))))
    expected = {
        n: (around[0][n] + around[1][n]) / 2
        for n in got
        if n in around[0] and n in around[1] and around[0][n].shape == got[n].shape
    }
    return expected, {}


def _signs(x: Tensor, generator: Generator) -> Tensor:
    return (torch.randint(0, 2, x.shape, generator=generator) * 2 - 1).double()


def _score(got: Tensor, expected: Tensor | None, wobble: Tensor | None, form: Format) -> Tensor:
    if expected is None or expected.shape != got.shape:
        expected = got
    explained = form.unit_roundoff * expected.abs() + (0.0 if wobble is None else wobble)
    error = (got - expected).abs()
    bits = torch.log2(error / explained.clamp(min=form.smallest_subnormal)).nan_to_num(-math.inf, 0.0, -math.inf)
    broken = ~got.isfinite() & (expected.abs() <= form.largest)
    doubtful = ~got.isfinite() & ~expected.isfinite()
    scores = torch.where(broken, NOT_FINITE, torch.where(doubtful, NOT_FINITE / 2, bits))
    return scores.amax(1) if scores.shape[1] else scores.new_full((len(scores),), -math.inf)


def choose(
    scores: dict[str, Tensor], remoteness: Tensor, per_channel: int, at_random: int, generator: Generator
) -> list[int]:
    """Rows to judge: of each channel the most suspect, the nearest and some random suspects; and some others.

    They come in the order to judge them in, the first of each kind first: time may end it at any of them.
    """
    count = len(remoteness)
    kinds: list[list[int]] = []
    for score in scores.values():
        suspects = (score > 3).nonzero().flatten()
        for kind in (score[suspects] >= NOT_FINITE / 2, score[suspects] < NOT_FINITE / 2):
            some = suspects[kind]
            third = max(per_channel // 3, 1)
            kinds.append(some[remoteness[some].argsort()[:third]].tolist())
            kinds.append(some[score[some].argsort(descending=True)[:third]].tolist())
            kinds.append(some[torch.randperm(len(some), generator=generator)[:third]].tolist())
    kinds.append(torch.randperm(count, generator=generator)[:at_random].tolist())
    return in_turns(kinds)


def in_turns(kinds: Sequence[Sequence[int]]) -> list[int]:
    """The first of every list, then the second of every list, and so on; each number once.

    Example:
        >>> in_turns([[5, 6, 7], [], [6, 9]])
        [5, 6, 9, 7]
    """
    return [row for row in dict.fromkeys(chain.from_iterable(zip_longest(*kinds))) if row is not None]


def plain_rows(points: Points, arguments: Sequence[Argument]) -> list[int]:
    """The first row of each combination of zeros, ones and halves: kinks and poles sit there, and chance misses."""
    blocks = [points[a.name].double().reshape(len(points[a.name]), -1) for a in arguments]
    table = torch.cat(blocks, 1)
    plain = torch.isin(table, torch.tensor(PLAIN_VALUES, dtype=torch.float64)).all(1).nonzero().flatten().tolist()
    first: dict[tuple[float, ...], int] = {}
    for row in plain:
        first.setdefault(tuple(table[row].tolist()), row)
    return list(first.values())[:MOST_PLAIN_ROWS]


def end_rows(points: Points, arguments: Sequence[Argument]) -> list[int]:
    """Some rows in which a whole number or a choice is the first or the last of its kind, and some of each other value.

    What has few values may be wrong at one of them alone.
    """
    kinds: list[list[int]] = []
    for a in arguments:
        if isinstance(a.domain, (Integers, Booleans, Choice)):
            block = points[a.name].double().reshape(len(points[a.name]), -1)
            values = sorted(set(block.flatten().tolist()))
            some = dict.fromkeys([values[0], values[-1], *values[:MOST_OF_A_KIND]])
            kinds += [(block == v).any(1).nonzero().flatten()[:ROWS_OF_A_VALUE].tolist() for v in some]
    return in_turns(kinds)
