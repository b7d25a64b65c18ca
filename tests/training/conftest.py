"""A store of random windows and two tiny networks: all that the training room needs from its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True)
class FakeInfo:
    leads: tuple[str, ...] = ("I", "II", "V1")
    sampling_rate: float = 50.0
    n_samples: int = 60


class FakeStore:
    """``windows_of[i]`` windows for record i; a record of class 1 has a slow wave in every window."""

    def __init__(self, n_records: int = 30, *, several: bool = True, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.info = FakeInfo()
        windows_of = random.integers(1, 4, n_records) if several else np.ones(n_records, dtype=int)
        self.n_records = n_records
        self.record_of_row = np.repeat(np.arange(n_records), windows_of)
        self.truth = (random.random((n_records, 2)) < 0.5).astype(np.float32)
        shape = (len(self.record_of_row), len(self.info.leads), self.info.n_samples)
        self.signals = random.normal(0, 0.2, shape).astype(np.float32)
        slow = np.sin(np.arange(self.info.n_samples) / 5.0).astype(np.float32)
        self.signals[:, 0] += 0.3 * self.truth[self.record_of_row, :1] * slow
        self.signals[:, 1] += 0.3 * self.truth[self.record_of_row, 1:] * slow
        self.reads = 0

    def rows_of(self, records: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.flatnonzero(np.isin(self.record_of_row, records))

    def millivolts(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        self.reads += 1
        return self.signals[rows]


class TinyNetwork(nn.Module):
    """Convolution, batch norm, pooling: an encoder; one linear head. Own generators, as the registry has."""

    def __init__(self, n_outputs: int = 2, *, encoder_seed: int = 1, head_seed: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv1d(3, 8, 7, stride=2, bias=False),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Conv1d(8, 8, 5, bias=False),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(8, n_outputs)
        for module, seed in ((self.encoder, encoder_seed), (self.head, head_seed)):
            generator = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                for parameter in module.parameters():
                    if parameter.ndim > 1:
                        parameter.normal_(0, 0.2, generator=generator)
                    elif parameter is self.head.bias:
                        parameter.zero_()

    def features(self, signals: Tensor) -> Tensor:
        return self.encoder(signals / 0.25)

    def forward(self, signals: Tensor) -> Tensor:
        return self.head(self.features(signals))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def network() -> TinyNetwork:
    return TinyNetwork()


@pytest.fixture
def make_network() -> type[TinyNetwork]:
    return TinyNetwork


@pytest.fixture
def make_store() -> type[FakeStore]:
    return FakeStore
