"""Losses of several classes or labels whose backward torch computes in one operation: margins, and CTC."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stabkit.arithmetic.ball import Ball, BallSystem
from stabkit.exact.losses import MEAN, NONE, reduced
from stabkit.exact.operations import operation, result_dtype
from stabkit.exact.special_functions import log_of_sum
from stabkit.exact.states import INFINITY, ZERO
from stabkit.exact.tensor import balls_of, exact

B = BallSystem


def _rows(x: Any, g: Any, reduction: int) -> tuple[Any, Any]:
    """The classes of each sample, and the slope of each sample's loss over the number of classes."""
    values = balls_of(x).reshape(-1, x.shape[-1])
    count = values.size if reduction == MEAN else values.shape[1]
    return values, np.broadcast_to(balls_of(g).reshape(-1) if reduction == NONE else balls_of(g), len(values)) / count


@operation("multi_margin_loss_backward")
def _multi_margin_backward(
    g: Any, x: Any, target: Tensor, p: float, margin: float, weight: Any = None, reduction: int = MEAN
) -> Tensor:
    values, slopes = _rows(x, g, reduction)
    result = np.full(values.shape, ZERO, dtype=object)
    for row, y in enumerate(target.reshape(-1).tolist()):
        share = slopes[row] if weight is None else slopes[row] * balls_of(weight)[y]
        for k, v in enumerate(values[row]):
            short = margin - values[row, y] + v
            if k != y and short > 0:
                step = share if p == 1 else 2 * share * short
                result[row, k], result[row, y] = result[row, k] + step, result[row, y] - step
    return exact(result.reshape(tuple(x.shape)), result_dtype(x))


def _short(values: Any, target: Tensor) -> Iterator[tuple[int, int, int, Ball]]:
    """(sample, label, other class, by how much the label's score falls short of a lead of 1), where it does."""
    for row, listed in enumerate(target.reshape(values.shape).tolist()):
        labels = listed[: listed.index(-1)] if -1 in listed else listed
        for y, k in itertools.product(labels, sorted(set(range(len(listed))) - set(labels))):
            short = 1 - values[row, y] + values[row, k]
            if short.x.is_nan() or short > 0:
                yield row, y, k, short


@operation("multilabel_margin_loss_forward")
def _multilabel_margin(x: Any, target: Tensor, reduction: int) -> tuple[Tensor, Tensor]:
    values = balls_of(x).reshape(-1, x.shape[-1])
    losses, marks = np.full(len(values), ZERO, dtype=object), torch.zeros(values.shape)
    for row, _, _, short in _short(values, target):
        losses[row] = losses[row] + short / values.shape[1]
    for row, listed in enumerate(target.reshape(values.shape).tolist()):
        marks[row, listed[: listed.index(-1)] if -1 in listed else listed] = 1
    shaped = losses.reshape(tuple(x.shape[:-1]))
    return reduced(shaped, reduction, result_dtype(x)), exact(balls_of(marks.reshape(x.shape)), result_dtype(x))


@operation("multilabel_margin_loss_backward")
def _multilabel_margin_backward(g: Any, x: Any, target: Tensor, reduction: int, is_target: Tensor) -> Tensor:
    values, slopes = _rows(x, g, reduction)
    result = np.full(values.shape, ZERO, dtype=object)
    for row, y, k, _ in _short(values, target):
        result[row, k], result[row, y] = result[row, k] + slopes[row], result[row, y] - slopes[row]
    return exact(result.reshape(tuple(x.shape)), result_dtype(x))


def _labels(targets: Tensor, target_lengths: Sequence[int], blank: int) -> list[list[int]]:
    """The labels of each sample with blanks before, between and after them."""
    if targets.dim() == 1:
        rows = [part.tolist() for part in torch.split(targets, list(target_lengths))]
    else:
        rows = [row[:n].tolist() for row, n in zip(targets, target_lengths, strict=True)]
    return [[blank, *(v for label in row for v in (label, blank))] for row in rows]


def _forward(logs: Any, labels: list[int]) -> Any:
    """log of the probability of all paths up to each time that end at each label: [T, labels]."""
    paths = np.full((len(logs), len(labels)), -INFINITY, dtype=object)
    for s in range(min(2, len(labels))):
        paths[0, s] = logs[0, labels[s]]
    for t in range(1, len(logs)):
        for s, label in enumerate(labels):
            skips = s > 1 and label not in (labels[0], labels[s - 2])
            before = paths[t - 1, max(s - (2 if skips else 1), 0) : s + 1]
            paths[t, s] = log_of_sum(before) + logs[t, label]
    return paths


@operation("_ctc_loss")
def _ctc(
    log_probs: Any,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    zero_infinity: bool = False,
) -> tuple[Tensor, Tensor]:
    logs, lengths = balls_of(log_probs), _lengths(input_lengths)
    rows = _labels(targets, _lengths(target_lengths), blank)
    losses = np.empty(len(rows), dtype=object)
    paths = np.full((len(rows), len(logs), max(map(len, rows))), -INFINITY, dtype=object)
    for n, labels in enumerate(rows):
        found = _forward(logs[: lengths[n], n], labels)
        paths[n, : lengths[n], : len(labels)] = found
        losses[n] = -log_of_sum(found[-1, -2:])
    return exact(losses, log_probs.dtype), exact(paths, log_probs.dtype)


def _lengths(values: Any) -> list[int]:
    return [int(v) for v in values]


@operation("_ctc_loss_backward")
def _ctc_backward(
    g: Any,
    log_probs: Any,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    losses: Any,
    paths: Any,
    blank: int,
    zero_infinity: bool = False,
) -> Tensor:
    """exp(log_probs) less the posterior of each label: torch's convention, which presumes a log_softmax before it."""
    logs, lengths, slopes = balls_of(log_probs), _lengths(input_lengths), balls_of(g)
    result = np.full(logs.shape, ZERO, dtype=object)
    for n, labels in enumerate(_labels(targets, _lengths(target_lengths), blank)):
        loss = balls_of(losses)[n]
        if zero_infinity and not loss.x.is_finite() and loss > 0:
            continue
        own: Any = logs[: lengths[n], n]
        ends = _forward(own[::-1], labels[::-1])[::-1, ::-1]
        through = balls_of(paths)[n, : lengths[n], : len(labels)] + ends
        for t, k in np.ndindex(*own.shape):
            passing = log_of_sum(through[t, s] for s, label in enumerate(labels) if label == k)
            posterior = B.exp(passing - own[t, k] + loss) if own[t, k].x.is_finite() else ZERO
            result[t, n, k] = slopes[n] * (B.exp(own[t, k]) - posterior)
    return exact(result, log_probs.dtype)
