"""The losses of torch.nn.functional, and the distances that losses are made of."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from stabkit.catalog.entry import entry

NONE = "reduction=='none'"
PAIR, REALS = "input=real target=data:real", f"input=real target=data:real {NONE}"
LOGITS, LABEL = "input=real@[*,3]", "target=data:index[0,3)"
CLASSES = f"{LOGITS} {LABEL} {NONE}"
SIGNED = "target=data:choice{-1,1}"
VECTORS = "x1=real@[*,3] x2=real@[*,3]"
TRIPLET = f"anchor=real@[*,3] positive=real@[*,3] negative=real@[*,3] {NONE}"
BOTH = "input1=real@[*,3] input2=real@[*,3]"
POINTS = "x1=real@[*,2,3] x2=real@[*,2,3]"


def ctc_loss_of_logits(logits: Tensor, target: Tensor) -> Tensor:
    """The CTC loss of logits [batch, 4 steps, 3 classes] and labels [batch, 2], class 0 being the blank."""
    steps, labels = (torch.full(logits.shape[:1], n) for n in (logits.shape[1], target.shape[1]))
    return F.ctc_loss(F.log_softmax(logits, -1).transpose(0, 1), target, steps, labels, reduction="none")


def largest_norm(x: Tensor) -> Tensor:
    """The largest |x| along the last dimension, as the vector norm of infinite order."""
    largest: Tensor = torch.linalg.vector_norm(x, math.inf, dim=-1)
    return largest


ENTRIES = (
    entry("l1_loss", F.l1_loss, REALS),
    entry("mse_loss", F.mse_loss, REALS),
    entry("huber_loss", F.huber_loss, REALS),
    entry("huber_loss_small_delta", F.huber_loss, f"{REALS} delta==1e-3"),
    entry("smooth_l1_loss", F.smooth_l1_loss, REALS),
    entry("smooth_l1_loss_small_beta", F.smooth_l1_loss, f"{REALS} beta==1e-3"),
    entry("binary_cross_entropy", F.binary_cross_entropy, f"input=unit target=data:unit {NONE}"),
    entry(
        "binary_cross_entropy_with_logits", F.binary_cross_entropy_with_logits, f"input=real target=data:unit {NONE}"
    ),
    entry(
        "binary_cross_entropy_with_logits_pos_weight",
        F.binary_cross_entropy_with_logits,
        f"input=real target=data:unit pos_weight=data:positive {NONE}",
    ),
    entry("soft_margin_loss", F.soft_margin_loss, f"input=real {SIGNED} {NONE}"),
    entry("hinge_embedding_loss", F.hinge_embedding_loss, f"input=real {SIGNED} {NONE}"),
    entry("margin_ranking_loss", F.margin_ranking_loss, f"input1=real input2=real {SIGNED} margin==0.1 {NONE}"),
    entry("kl_div", F.kl_div, f"input=(-inf,0] target=data:unit {NONE}"),
    entry("kl_div_log_target", F.kl_div, f"input=(-inf,0] target=data:(-inf,0] log_target==True {NONE}"),
    entry("poisson_nll_loss", F.poisson_nll_loss, f"input=real target=data:int[0,255] {NONE}"),
    entry("poisson_nll_loss_full", F.poisson_nll_loss, f"input=real target=data:int[0,255] full==True {NONE}"),
    entry(
        "poisson_nll_loss_of_rate",
        F.poisson_nll_loss,
        f"input=nonnegative target=data:int[0,255] log_input==False {NONE}",
    ),
    entry("gaussian_nll_loss", F.gaussian_nll_loss, f"{PAIR} var=nonnegative {NONE}"),
    entry("gaussian_nll_loss_full", F.gaussian_nll_loss, f"{PAIR} var=nonnegative full==True {NONE}"),
    entry("cross_entropy", F.cross_entropy, CLASSES),
    entry("cross_entropy_label_smoothing", F.cross_entropy, f"{CLASSES} label_smoothing==0.1"),
    entry("cross_entropy_of_probabilities", F.cross_entropy, f"{LOGITS} target=data:simplex@[*,3] {NONE}"),
    entry(
        "cross_entropy_of_probabilities_label_smoothing",
        F.cross_entropy,
        f"{LOGITS} target=data:simplex@[*,3] label_smoothing==0.1 {NONE}",
    ),
    entry("nll_loss", F.nll_loss, f"input=(-inf,0]@[*,3] {LABEL} {NONE}"),
    entry("multi_margin_loss", F.multi_margin_loss, CLASSES),
    entry("multi_margin_loss_squared", F.multi_margin_loss, f"{CLASSES} p==2"),
    entry("multilabel_margin_loss", F.multilabel_margin_loss, f"{LOGITS} target=data:index[-1,3)@[*,3] {NONE}"),
    entry(
        "multilabel_soft_margin_loss",
        F.multilabel_soft_margin_loss,
        f"{LOGITS} target=data:choice{{0,1}}@[*,3] {NONE}",
    ),
    entry("cosine_embedding_loss", F.cosine_embedding_loss, f"{BOTH} {SIGNED} {NONE}"),
    entry("triplet_margin_loss", F.triplet_margin_loss, TRIPLET),
    entry("triplet_margin_loss_swap", F.triplet_margin_loss, f"{TRIPLET} swap==True"),
    entry("triplet_margin_with_distance_loss", F.triplet_margin_with_distance_loss, TRIPLET),
    entry("ctc_loss", ctc_loss_of_logits, "logits=real@[*,4,3] target=data:index[1,3)@[*,2]"),
    entry("cosine_similarity", F.cosine_similarity, VECTORS),
    entry("pairwise_distance", F.pairwise_distance, VECTORS),
    entry("pairwise_distance_l1", F.pairwise_distance, f"{VECTORS} p==1.0"),
    entry("pdist", F.pdist, "input=real@[3,2]"),
    entry("cdist", torch.cdist, POINTS),
    entry("cdist_l1", torch.cdist, f"{POINTS} p==1.0"),
    entry("cdist_by_products", torch.cdist, f"{POINTS} compute_mode=='use_mm_for_euclid_dist'"),
    entry("vector_norm", torch.linalg.vector_norm, "x=real@[*,3] dim==-1"),
    entry("vector_norm_l1", torch.linalg.vector_norm, "x=real@[*,3] ord==1 dim==-1"),
    entry("vector_norm_l3", torch.linalg.vector_norm, "x=real@[*,3] ord==3 dim==-1"),
    entry("vector_norm_largest", largest_norm, "x=real@[*,3]"),
)
EXCLUDED: dict[str, str] = {}  # losses of torch.nn.functional without an entry, and why
