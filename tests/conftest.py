"""Fixtures that every room's tests share: where the real recordings lie, and one torch thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Read by OpenMP and MKL when they are loaded, so it has to stand here before a test imports NumPy or torch:
# parallel test workers would otherwise fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of real recordings: ``$ECGTRANSFER_DATA``, else ``../shared/data``."""
    named = os.environ.get("ECGTRANSFER_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real recordings not found: set ECGTRANSFER_DATA")
    return folder


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    """Keep torch on one thread, without importing it for tests that do not need it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
