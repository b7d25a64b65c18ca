"""Where an encoder's weights and statistics come from before anything is learnt."""

from __future__ import annotations

import torch
from torch import nn

from ecgtransfer.errors import ModelError
from ecgtransfer.networks import Network
from ecgtransfer.training import Feed, exact_cudnn

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


def estimate_normalisation(network: Network, train: Feed, *, batch_size: int = 256) -> int:
    """Set the batch-norm statistics of an untrained encoder from the training signals; no weight changes.

    A random encoder whose statistics were never estimated (mean 0, variance 1) is a straw man: its features
    run away with depth. One pass over the training windows, averaged over equally large batches, gives it the
    statistics that training would have given it at the same weights.

    Parameters
    ----------
    network : Network
        Changed in place: running means and variances only. On the device of the feed.
    train : Feed
        Training windows [windows, leads, samples] in mV; labels are not looked at.
    batch_size : int
        Windows per pass; capped so that no batch is left over with a single window.

    Returns
    -------
    int
        How many batch-norm layers were set; zero for networks that have none.
    """
    layers = [module for module in network.encoder.modules() if isinstance(module, _BATCH_NORM)]
    if not layers:
        return 0
    if train.n_windows < 2:
        raise ModelError("one training window has no batch statistics", remedy="Choose a larger n")
    momenta = [layer.momentum for layer in layers]
    was_training = network.training
    network.encoder.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # cumulative average instead of an exponential one
    try:
        with torch.no_grad(), exact_cudnn():
            for windows in train.windows(even_batch(train.n_windows, batch_size)):
                network.features(windows)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        network.train(was_training)
    return len(layers)


def even_batch(n: int, limit: int) -> int:
    """Return the size up to ``limit`` that cuts ``n`` into the most even batches, none of one."""
    batches = -(-n // limit)
    size = -(-n // batches)
    return size + 1 if n % size == 1 else size
