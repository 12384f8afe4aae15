"""Leading Hypothesis to the inputs at which most bits are lost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import hypothesis
from flint import arb

from stabkit.floats import Format, as_finite, excess_bits
from stabkit.judge import Judgement

MOST = 100.0  # what a number counts that is not finite, beyond all bits of float64
NONE = -64.0  # what one counts that is right to the last digit of its truth


def aim_at_excess_bits(judgements: Sequence[Judgement], form: Format, label: str = "excess bits") -> float:
    """Tells `hypothesis.target` the most bits that a number of one sample has lost; to be called inside a property.

    Args:
        judgements: the judged numbers of the sample, as `stabkit.fuzzing.judged` gives them.
        form: the audited format.
        label: tells several aims of one property apart.

    Returns:
        The most bits lost beyond rounding; where an error is explained without it, conditioning is left out.

    Example:
        >>> from hypothesis import given, settings
        >>> from stabkit.arithmetic.enclosure import Enclosure
        >>> from stabkit.floats import FORMATS
        >>> from stabkit.judge import judge
        >>> from stabkit.strategies import floats_of
        >>> form = FORMATS["float32"]
        >>> @settings(database=None, max_examples=20, derandomize=True)
        ... @given(floats_of("float32", "[1,2]"))
        ... def loses_no_bits(x):
        ...     number = judge(0, "value", x, Enclosure.of(arb(x)), form, lambda: arb(0), 1.0)
        ...     assert aim_at_excess_bits([number], form) == NONE
        >>> loses_no_bits()
    """
    score = max((bits_lost(j, form) for j in judgements), default=NONE)
    hypothesis.target(score, label=label)
    return score


def bits_lost(judgement: Judgement, form: Format) -> float:
    """Bits lost by one number; at most, where its error is explained without conditioning. 100 if it is not finite."""
    if judgement.excess is not None:
        lost = judgement.excess
    elif judgement.kind.is_failure:
        lost = MOST
    elif not judgement.truth.is_finite or math.isnan(judgement.got):
        lost = NONE
    else:
        truth = judgement.truth.ball
        lost = excess_bits(as_finite(judgement.got, form) - truth, truth, arb(0), form)
    return min(max(lost, NONE), MOST)
