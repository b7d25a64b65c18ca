"""What may move: a frozen encoder with a regularised logistic head (all else is the loop's default)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ecgtransfer.errors import ModelError
from ecgtransfer.networks import Network
from ecgtransfer.training import Feed, known_bce, predict_features

# The same three for every frozen arm, as the learning rates are for the others. In units of features that
# have been standardised over the training records and scaled by 1/sqrt(features), so that one number means
# the same to 128 features and to 100,000.
PENALTIES = (0.03, 0.3, 3.0, 30.0)


MAX_ITERATIONS = 5000


@dataclass(frozen=True)
class HeadFit:
    """How a head was found on frozen features.

    Attributes
    ----------
    penalty : float
        The L2 penalty that had the lowest validation loss.
    validation_loss : float
    constant_targets : tuple of int
        Targets with one class only among the training labels: their head says the (smoothed) prevalence.
    unfinished_targets : tuple of int
        Targets whose fit, at the chosen penalty, stopped at `MAX_ITERATIONS` before it had converged.
    """

    penalty: float
    validation_loss: float
    constant_targets: tuple[int, ...]
    unfinished_targets: tuple[int, ...]


def freeze(module: nn.Module) -> None:
    """Stop a module's weights and its batch-norm statistics from moving."""
    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)


def fit_head(
    network: Network,
    train: Feed,
    validation: Feed,
    *,
    penalties: Sequence[float] = PENALTIES,
) -> HeadFit:
    """Fit a logistic head on the frozen encoder's features, target by target, and put it into the network.

    Features are computed once and averaged over a record's windows (for a linear head that is averaging the
    logits), standardised over the training records, and the standardisation is folded into the weights. Where
    there are more features than records the fit runs in the space that the records span; for an L2 penalty
    the solution is the same. The penalty is chosen by validation loss from ``penalties``; ties take the
    middle.

    Parameters
    ----------
    network : Network
        The encoder must be frozen already; the head is overwritten. On the device of the feeds; the logistic
        fits themselves are the processor's.
    train, validation : Feed
        Labels [records, targets]; NaN is unknown and takes no part.

    Returns
    -------
    HeadFit
    """
    if any(parameter.requires_grad for parameter in network.encoder.parameters()):
        raise ModelError("the encoder is not frozen", remedy="Call transfer.freeze(network.encoder) first")
    # Always in float32: a linear fit gains nothing from speed and its features would lose three digits.
    features = predict_features(network, train, precision="float32").astype(np.float64)
    held_out = predict_features(network, validation, precision="float32").astype(np.float64)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 1e-8, 1.0 / np.maximum(spread, 1e-8), 0.0) / np.sqrt(features.shape[1])
    standard = (features - mean) * scale
    # Rows of `basis` are orthonormal and span the training records: standard = compact @ basis.
    basis: NDArray[np.float64] | None = None
    compact = standard
    if standard.shape[1] > standard.shape[0]:
        left, singular, basis = np.linalg.svd(standard, full_matrices=False)
        compact = left * singular
    fits = [(penalty, *_fit_targets(compact, train.labels, penalty)) for penalty in sorted(set(penalties))]
    projected = (held_out - mean) * scale
    if basis is not None:
        projected = projected @ basis.T
    losses = [
        known_bce(validation.labels, (projected @ weights.T + bias).astype(np.float32))
        for _, weights, bias, _ in fits
    ]
    # Where the validation part knows no label at all every loss is NaN: the middle penalty then stands.
    best = np.nanmin(losses) if not np.isnan(losses).all() else np.nan
    tied = [i for i, loss in enumerate(losses) if np.isnan(best) or loss <= best + 1e-12]
    penalty, weights, bias, unfinished = fits[tied[len(tied) // 2]]
    if basis is not None:
        weights = weights @ basis
    weights = weights * scale
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(weights.astype(np.float32)))
        network.head.bias.copy_(torch.from_numpy((bias - weights @ mean).astype(np.float32)))
    constant = tuple(
        target for target in range(train.n_targets) if len(np.unique(_known(train.labels[:, target]))) < 2
    )
    return HeadFit(penalty, float(best), constant, tuple(unfinished))


def _fit_targets(
    features: NDArray[np.float64], labels: NDArray[np.float32], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int]]:
    """Return weights [targets, features], biases [targets], and the targets whose fit did not converge."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    unfinished: list[int] = []

    weights = np.zeros((labels.shape[1], features.shape[1]))
    bias = np.zeros(labels.shape[1])
    for target in range(labels.shape[1]):
        column = labels[:, target]
        known = ~np.isnan(column)
        positives, total = int((column[known] == 1).sum()), int(known.sum())
        if positives in (0, total):
            prevalence = (positives + 1) / (total + 2)  # Laplace: a finite logit
            bias[target] = np.log(prevalence / (1 - prevalence))
            continue
        model = LogisticRegression(C=1.0 / penalty, max_iter=MAX_ITERATIONS, tol=1e-7)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # told in HeadFit instead
            model.fit(features[known], column[known].astype(np.int64))
        if model.n_iter_[0] >= MAX_ITERATIONS:
            unfinished.append(target)
        weights[target], bias[target] = model.coef_[0], model.intercept_[0]
    return weights, bias, unfinished


def _known(column: NDArray[np.float32]) -> NDArray[np.float32]:
    return column[~np.isnan(column)]
