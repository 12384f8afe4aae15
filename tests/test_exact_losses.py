"""Every loss of torch.nn.functional on exact numbers, with each reduction, forward and backward."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flint
import mpmath
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from agreement import agrees, numbers, returned
from torch import Tensor

from stabkit.exact import playback  # noqa: F401  # it fills the operation table
from stabkit.exact.tensor import exact_world, lifted

REDUCTIONS = ("none", "mean", "sum")
X = torch.tensor([[0.3, -1.2, 0.8], [1.5, 0.1, -0.4], [-0.7, 0.9, 2.1], [0.2, 0.6, -1.1]], dtype=torch.float64)
Y = torch.tensor([[1.1, 0.4, -0.2], [-0.5, 0.7, 1.3], [0.6, -0.8, 0.9], [-1.4, 0.2, 0.5]], dtype=torch.float64)
P, Q = X.sigmoid(), Y.sigmoid()
CLASS_WEIGHTS = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
SIGNS, ROW_SIGNS = (X > 0).double() * 2 - 1, torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
TARGET = torch.tensor([0, 2, 1, 2])
LABELS = torch.tensor([[0, 2, -1], [1, -1, 0], [2, 1, 0], [-1, 0, 0]])
IMAGE = torch.linspace(-1, 1, 24, dtype=torch.float64).view(2, 3, 2, 2).sin()
PIXELS = torch.tensor([[[0, 1], [2, 1]], [[1, 1], [-100, 0]]])
FRAMES = torch.linspace(-2, 2, 48, dtype=torch.float64).view(6, 2, 4).cos()
SPOKEN, HEARD, SAID = torch.tensor([[1, 2, 2], [3, 1, 0]]), torch.tensor([6, 5]), torch.tensor([3, 2])


def ctc(x: Tensor, reduction: str, **options: Any) -> Tensor:
    return F.ctc_loss(x.log_softmax(2), SPOKEN, HEARD, SAID, reduction=reduction, **options)


LOSSES: dict[str, tuple[Any, ...]] = {
    "mse": (F.mse_loss, X, Y),
    "mse, weighted": (lambda x, y, **r: F.mse_loss(x, y, weight=P, **r), X, Y),
    "l1": (F.l1_loss, X, Y),
    "smooth_l1": (lambda x, y, **r: F.smooth_l1_loss(x, y, beta=0.5, **r), X, Y),
    "huber": (lambda x, y, **r: F.huber_loss(x, y, delta=0.6, **r), X, Y),
    "kl_div": (lambda x, y, **r: F.kl_div(x.log_softmax(1), y.softmax(1), **r), X, Y),
    "kl_div of logs": (lambda x, y, **r: F.kl_div(x.log_softmax(1), y.log_softmax(1), log_target=True, **r), X, Y),
    "kl_div with zeros": (lambda x, **r: F.kl_div(x.log_softmax(1), (SIGNS + 1) / 2, **r), X),
    "bce": (lambda x, y, **r: F.binary_cross_entropy(x, y, P, **r), P, Q),
    "bce with logits": (
        lambda x, y, **r: F.binary_cross_entropy_with_logits(x, y, P, pos_weight=CLASS_WEIGHTS, **r), X, Q,
    ),
    "cross_entropy": (lambda x, **r: F.cross_entropy(x, TARGET, **r), X),
    "cross_entropy, weighted and smooth": (
        lambda x, **r: F.cross_entropy(x, TARGET, CLASS_WEIGHTS, label_smoothing=0.1, ignore_index=1, **r), X,
    ),
    "cross_entropy of shares": (
        lambda x, y, w, **r: F.cross_entropy(x, y.softmax(1), w, label_smoothing=0.1, **r), X, Y, CLASS_WEIGHTS,
    ),
    "cross_entropy of pixels": (
        lambda x, **r: F.cross_entropy(x, PIXELS, CLASS_WEIGHTS, label_smoothing=0.2, **r), IMAGE,
    ),
    "cross_entropy of one sample": (lambda x, **r: F.cross_entropy(x[0], TARGET[1], **r), X),
    "linear_cross_entropy": (lambda x, w, **r: F.linear_cross_entropy(x, w, TARGET, **r), X, Y[:3]),
    "nll": (lambda x, **r: F.nll_loss(x, TARGET, CLASS_WEIGHTS, ignore_index=0, **r), X),
    "nll of pixels": (lambda x, **r: F.nll_loss(x, PIXELS, CLASS_WEIGHTS, **r), IMAGE),
    "poisson": (lambda x, y, **r: F.poisson_nll_loss(x, y.exp() * 3, full=True, **r), X, Y),
    "poisson of rates": (lambda x, y, **r: F.poisson_nll_loss(x.exp(), y.exp(), log_input=False, **r), X, Y),
    "gaussian": (lambda x, y, v, **r: F.gaussian_nll_loss(x, y, v, full=True, **r), X, Y, P),
    "multilabel margin": (lambda x, **r: F.multilabel_margin_loss(x, LABELS, **r), X),
    "multilabel margin of one": (lambda x, **r: F.multilabel_margin_loss(x[0], LABELS[0], **r), X),
    "multi margin": (lambda x, **r: F.multi_margin_loss(x, TARGET, margin=0.7, weight=CLASS_WEIGHTS, **r), X),
    "multi margin squared": (lambda x, **r: F.multi_margin_loss(x, TARGET, p=2, **r), X),
    "multilabel soft margin": (lambda x, y, **r: F.multilabel_soft_margin_loss(x, y, CLASS_WEIGHTS, **r), X, Q),
    "triplet": (lambda x, y, **r: F.triplet_margin_loss(x, y, y * 2, **r), X, Y),
    "triplet, swapped": (lambda x, y, **r: F.triplet_margin_loss(x, y, y * 2, swap=True, p=1, **r), X, Y),
    "triplet with a distance": (
        lambda x, y, **r: F.triplet_margin_with_distance_loss(x, y, y * 2, swap=True, **r), X, Y,
    ),
    "cosine embedding": (lambda x, y, **r: F.cosine_embedding_loss(x, y, ROW_SIGNS, margin=0.1, **r), X, Y),
    "hinge embedding": (lambda x, **r: F.hinge_embedding_loss(x, SIGNS, **r), X),
    "soft margin": (lambda x, **r: F.soft_margin_loss(x, SIGNS, **r), X),
    "margin ranking": (lambda x, y, **r: F.margin_ranking_loss(x, y, SIGNS, 0.1, **r), X, Y),
    "ctc": (ctc, FRAMES),
    "ctc, blank last": (
        lambda x, **r: F.ctc_loss(x.log_softmax(2), SPOKEN - (SPOKEN > 0).long(), HEARD, SAID, blank=3, **r), FRAMES,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_agree_with_float64(name: str, reduction: str) -> None:
    function, *inputs = LOSSES[name]
    agrees(lambda *x: function(*x, reduction=reduction), *inputs)


def test_every_loss_of_torch_is_tried() -> None:
    listed = {n for n in dir(F) if n.endswith(("_loss", "cross_entropy", "kl_div")) and not n.startswith("_")}
    source = Path(__file__).read_text()
    assert not [n for n in listed if f"F.{n}" not in source and f"F.{n}_with_logits" not in source]


def test_a_path_that_does_not_fit_costs_infinity_or_nothing() -> None:
    short = {"input_lengths": torch.tensor([2]), "target_lengths": torch.tensor([2])}
    target, x = torch.tensor([[1, 1]]), FRAMES[:2, :1]
    agrees(lambda x: F.ctc_loss(x, target, reduction="sum", zero_infinity=True, **short), x)
    with flint.ctx.workprec(200), exact_world():
        loss = F.ctc_loss(lifted(x).log_softmax(2), target, reduction="sum", **short)
    assert numbers(loss) == [math.inf]


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [k for k, _ in itertools.groupby(path) if k]


def test_ctc_is_the_sum_over_all_paths_where_they_underflow() -> None:
    logits = torch.tensor([[0.0, -700.0, 800.0], [30.0, 0.0, -900.0], [-500.0, 3.0, 1.0], [0.0, 1.0, 2.0]]).double()
    with flint.ctx.workprec(4000), exact_world():
        x = lifted(logits[:, None]).requires_grad_()
        loss, (slope,) = returned(
            lambda x: F.ctc_loss(x.log_softmax(2), torch.tensor([[1, 2]]), (4,), (2,), reduction="sum"), [x]
        )
    with mpmath.workdps(1200):
        rows = [[mpmath.exp(v) for v in row] for row in logits.tolist()]
        shares = [[v / sum(row) for v in row] for row in rows]
        paths = [p for p in itertools.product(range(3), repeat=4) if collapsed(p) == [1, 2]]
        weights = [mpmath.fprod(shares[t][k] for t, k in enumerate(p)) for p in paths]
        whole = sum(weights)
        expected = [
            float(shares[t][k] - sum(w for p, w in zip(paths, weights, strict=True) if p[t] == k) / whole)
            for t, k in itertools.product(range(4), range(3))
        ]
        assert numbers(loss[0]) == pytest.approx([float(-mpmath.log(whole))], rel=1e-15)
    assert numbers(slope) == pytest.approx(expected, rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("call", [F.multi_margin_loss, F.cross_entropy])
def test_losses_of_near_scores_are_those_of_mpmath(call: Callable[..., Tensor]) -> None:
    """Scores that differ by 1e-30 at the hinge: float64 sees no difference."""
    with flint.ctx.workprec(300), exact_world():
        x = lifted(torch.tensor([[1.0, 0.0, -5.0]], dtype=torch.float64)).requires_grad_()
        nudge = lifted(torch.tensor([[-1e-30, 0.0, 0.0]], dtype=torch.float64))
        (loss,), (slope,) = returned(lambda x: call(x + nudge, torch.tensor([0])), [x])
    with mpmath.workdps(60):
        scores = [1 - mpmath.mpf(1e-30), mpmath.mpf(0), mpmath.mpf(-5)]
        if call is F.multi_margin_loss:
            expected, slopes = mpmath.mpf(1e-30) / 3, [-1 / mpmath.mpf(3), 1 / mpmath.mpf(3), mpmath.mpf(0)]
        else:
            whole = sum(map(mpmath.exp, scores))
            expected = mpmath.log(whole) - scores[0]
            slopes = [mpmath.exp(v) / whole - (k == 0) for k, v in enumerate(scores)]
        assert numbers(loss) == pytest.approx([float(expected)], rel=1e-15, abs=0)
        assert numbers(slope) == pytest.approx([float(v) for v in slopes], rel=1e-15, abs=0)
