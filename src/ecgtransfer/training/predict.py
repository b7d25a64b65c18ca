"""Logits and features of every record of a feed: all windows, averaged per record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ecgtransfer.training.feed import Feed
from ecgtransfer.training.precision import Precision, autocast, exact_cudnn, working_dtype


def predict_logits(
    network: nn.Module, feed: Feed, *, precision: Precision = "float32", batch_size: int = 256
) -> NDArray[np.float32]:
    """Return the logits of every record, averaged over its windows.

    Parameters
    ----------
    network : nn.Module
        Takes mV ``[windows, leads, samples]``; run in evaluation mode and left as it was found. On the device
        of the feed.
    feed : Feed
        Which records; no augmentation is applied.
    precision : {"float32", "bfloat16", "float64"}
        What the network computes in; for float64 its weights have to be float64.
    batch_size : int
        Windows at a time.

    Returns
    -------
    float32 array
        ``[records, targets]``, in the order of ``feed.records``; NumPy's, on whatever device they were made.
    """
    return _by_record(network, network, feed, precision, batch_size)


def predict_features(
    network: nn.Module, feed: Feed, *, precision: Precision = "float32", batch_size: int = 256
) -> NDArray[np.float32]:
    """Return ``network.features`` of every record, averaged over its windows: ``[records, features]``.

    A linear head on the averaged features gives the averaged logits, so frozen arms may train on these alone.
    Parameters are those of :func:`predict_logits`.
    """
    features: Callable[[Tensor], Tensor] = network.features  # type: ignore[assignment]
    return _by_record(network, features, feed, precision, batch_size)


def _by_record(
    network: nn.Module, compute: Callable[[Tensor], Tensor], feed: Feed, precision: Precision, batch_size: int
) -> NDArray[np.float32]:
    dtype = working_dtype(precision)
    with _evaluating(network), torch.inference_mode(), exact_cudnn(), autocast(precision, feed.device):
        parts = [compute(signals.to(dtype)).float().cpu().numpy() for signals in feed.windows(batch_size)]
    return feed.mean_by_record(np.concatenate(parts))


@contextlib.contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    # Module by module, because a frozen part may be in evaluation mode within a network that trains.
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
