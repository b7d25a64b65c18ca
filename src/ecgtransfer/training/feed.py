"""Batches straight from a store on the device, in an order that depends on seeds and the update alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ecgtransfer.errors import ConfigError, DataError
from ecgtransfer.seeds import stream

CACHE_BYTES = 2**30
READ_ROWS = 1024


class Geometry(Protocol):
    """What a feed has to know of the windows: their leads, rate and length."""

    @property
    def leads(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def sampling_rate(self) -> float: ...  # noqa: D102
    @property
    def n_samples(self) -> int: ...  # noqa: D102


class WindowStore(Protocol):
    """What a feed asks of a store; ``ecgtransfer.datasets.Store`` offers it."""

    @property
    def info(self) -> Geometry: ...  # noqa: D102
    @property
    def n_records(self) -> int: ...  # noqa: D102
    @property
    def record_of_row(self) -> NDArray[np.int64]: ...  # noqa: D102
    def rows_of(self, records: NDArray[np.int64], /) -> NDArray[np.int64]: ...  # noqa: D102
    def millivolts(self, rows: NDArray[np.int64], /) -> NDArray[np.float32]: ...  # noqa: D102


class Feed:
    """The windows and labels of some records of a store, ready on the device.

    Parameters
    ----------
    store : WindowStore
        Where the windows lie.
    records : int array
        Positions in the store, each once, ``[records]``; predictions come in this order.
    labels : float array
        1 present, 0 absent, NaN unknown, ``[records, targets]``, in the order of ``records``.
    device : str or torch.device
        Where batches are wanted.
    cache_bytes : int
        Windows that fit into this many bytes as float32 are kept on the device from the first use on; others
        are read from the store batch by batch.

    Raises
    ------
    DataError
        A record is not in the store, is named twice or has no window; labels do not fit the records.
    """

    def __init__(
        self,
        store: WindowStore,
        records: ArrayLike,
        labels: ArrayLike,
        *,
        device: str | torch.device = "cpu",
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.store, self.device = store, torch.device(device)
        self.records = np.asarray(records, dtype=np.int64)
        self.labels = np.asarray(labels, dtype=np.float32)
        if self.labels.ndim != 2 or self.records.shape != (len(self.labels),):
            raise DataError(f"labels {self.labels.shape} do not fit records {self.records.shape}")
        if not len(self.records):
            raise DataError(
                "no record to feed", remedy="Check the split and the task: are there labelled records?"
            )
        if not np.all(np.isnan(self.labels) | (self.labels == 0) | (self.labels == 1)):
            raise DataError("labels hold values other than 1, 0 and NaN (unknown)")
        self._rows, self.record_of_window = _rows_by_record(store, self.records)
        self._n_windows = np.bincount(self.record_of_window, minlength=self.n_records)
        self._first = np.cumsum(self._n_windows) - self._n_windows
        self._labels = torch.from_numpy(self.labels).to(self.device)
        size = len(self._rows) * len(self.leads) * self.n_samples * 4
        self.cached = size <= cache_bytes
        self._cache: Tensor | None = None

    @property
    def n_records(self) -> int:
        """Number of records."""
        return len(self.records)

    @property
    def n_targets(self) -> int:
        """Number of columns of the labels."""
        return int(self.labels.shape[1])

    @property
    def n_windows(self) -> int:
        """Number of windows of all records."""
        return len(self._rows)

    @property
    def leads(self) -> tuple[str, ...]:
        """Leads of the windows, in order."""
        return tuple(self.store.info.leads)

    @property
    def n_samples(self) -> int:
        """Samples per window and lead."""
        return self.store.info.n_samples

    @property
    def sampling_rate(self) -> float:
        """In Hz."""
        return self.store.info.sampling_rate

    def batch(self, positions: NDArray[np.int64], choice: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        """Return one window of each record asked for, and the labels.

        Parameters
        ----------
        positions : int array
            Positions in ``records``, ``[batch]``.
        choice : float array
            Which window, as a number from [0, 1) of the way through the record's windows, ``[batch]``.

        Returns
        -------
        signals : Tensor
            float32 in mV, ``[batch, leads, samples]``, no sample = 0.
        labels : Tensor
            float32, ``[batch, targets]``.
        """
        windows = self._first[positions] + (choice * self._n_windows[positions]).astype(np.int64)
        return self._signals(windows), self._labels[torch.from_numpy(positions).to(self.device)]

    def windows(self, batch_size: int) -> Iterator[Tensor]:
        """Yield every window once, record by record (see ``record_of_window``), in batches of float32 mV."""
        for start in range(0, self.n_windows, batch_size):
            yield self._signals(np.arange(start, min(start + batch_size, self.n_windows)))

    def mean_by_record(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Average ``[windows, …]`` values over the windows of each record: ``[records, …]``, float32."""
        totals = np.add.reduceat(values.astype(np.float64), self._first, axis=0)
        counts = self._n_windows.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(totals / counts, dtype=np.float32)

    def digest(self) -> str:
        """Return a hash of which records, labels and geometry these are (not of the signals)."""
        text = f"{self.leads} {self.sampling_rate} {self.n_samples} {self.labels.shape} {self.n_windows}"
        content = text.encode() + self.records.tobytes() + self.labels.tobytes()
        return hashlib.sha256(content).hexdigest()[:16]

    def _signals(self, windows: NDArray[np.int64]) -> Tensor:
        if not self.cached:
            return torch.from_numpy(self.store.millivolts(self._rows[windows])).to(self.device)
        if self._cache is None:
            shape = (self.n_windows, len(self.leads), self.n_samples)
            self._cache = torch.empty(shape, dtype=torch.float32, device=self.device)
            for start in range(0, self.n_windows, READ_ROWS):  # in parts, so that no second copy is held
                rows = self._rows[start : start + READ_ROWS]
                self._cache[start : start + len(rows)] = torch.from_numpy(self.store.millivolts(rows))
        return self._cache[torch.from_numpy(windows).to(self.device)]


class Order:
    """Which records, and which of their windows, an update sees: a pure function of the seeds and the update.

    Every epoch visits each record once in a fresh random order, and nothing is dropped. Batches are cut from
    the epochs laid end to end: the tail of an epoch shares its batch with the head of the next, and every
    batch has the same size. With ``whole_epochs`` the tail is a smaller batch instead, as in usual loaders.
    Neither network nor labels enter.

    Parameters
    ----------
    n_records : int
        Records of the training feed, at least 2 (a batch of one has no batch statistics).
    batch_size : int
        Records per update, at least 2; capped at ``n_records``, see the attribute ``batch_size``.
    study_seed, seed : int
        What the stream "order" is derived from.
    whole_epochs : bool
        Whether no batch spans two epochs.
    """

    def __init__(
        self, n_records: int, batch_size: int, *, study_seed: int, seed: int, whole_epochs: bool = False
    ) -> None:
        if n_records < 2:
            raise ConfigError(
                f"{n_records} training record(s), and batch statistics need at least 2",
                remedy="Choose a larger n",
            )
        self.n_records, self.batch_size = n_records, min(batch_size, n_records)
        self._seeds = (study_seed, seed)
        self._per_epoch = math.ceil(n_records / self.batch_size) if whole_epochs else None
        self._epochs: dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}

    def at(self, update: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return positions and window choices in [0, 1), each ``[batch]``, of an update, counted from 0."""
        visits = np.arange(self.visits(update), self.visits(update + 1))
        epochs, places = np.divmod(visits, self.n_records)
        parts = [(self._epoch(int(epoch)), places[epochs == epoch]) for epoch in np.unique(epochs)]
        positions = np.concatenate([order[at] for (order, _), at in parts])
        return positions, np.concatenate([choice[at] for (_, choice), at in parts])

    def visits(self, updates: int) -> int:
        """Return how many records the first ``updates`` updates see."""
        if self._per_epoch is None:
            return updates * self.batch_size
        epochs, batches = divmod(updates, self._per_epoch)
        return epochs * self.n_records + batches * self.batch_size

    def _epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if epoch not in self._epochs:
            random = stream(*self._seeds, "order", epoch)
            self._epochs = {key: value for key, value in self._epochs.items() if key == epoch - 1}
            self._epochs[epoch] = (random.permutation(self.n_records), random.random(self.n_records))
        return self._epochs[epoch]


def _rows_by_record(
    store: WindowStore, records: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the store's rows grouped by position in ``records``, and that position for every row."""
    outside = records[(records < 0) | (records >= store.n_records)]
    if len(outside):
        raise DataError(f"record {outside[0]} is not in the store, which has {store.n_records}")
    order = np.argsort(records, kind="stable")
    ordered = records[order]
    if np.any(ordered[1:] == ordered[:-1]):
        raise DataError(f"record {ordered[:-1][ordered[1:] == ordered[:-1]][0]} is named twice")
    rows = np.asarray(store.rows_of(records), dtype=np.int64)
    position = order[np.searchsorted(ordered, np.asarray(store.record_of_row)[rows])]
    grouped = np.argsort(position, kind="stable")
    rows, position = rows[grouped], position[grouped]
    windowless = np.setdiff1d(np.arange(len(records)), position)
    if len(windowless):
        raise DataError(f"record {records[windowless[0]]} has no window in the store")
    return rows, position
