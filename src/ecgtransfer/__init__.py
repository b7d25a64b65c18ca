"""Fine-tune a pre-trained ECG network or train from scratch: the evidence and the model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ecgtransfer.comparison import Pretraining, compare
    from ecgtransfer.datasets.prepare import prepare
    from ecgtransfer.datasets.store import Store
    from ecgtransfer.errors import EcgTransferError
    from ecgtransfer.networks import build, load_model
    from ecgtransfer.signals import Record, Stated, read
    from ecgtransfer.study.evaluation import evaluate_model
    from ecgtransfer.study.plan import Comparison
    from ecgtransfer.study.spec import Budget

__all__ = [
    "Budget",
    "Comparison",
    "EcgTransferError",
    "Pretraining",
    "Record",
    "Stated",
    "Store",
    "build",
    "compare",
    "evaluate_model",
    "load_model",
    "prepare",
    "read",
]

# Imported when first asked for, so that `import ecgtransfer` loads neither pandas nor torch.
_HOMES = {
    "Budget": "ecgtransfer.study.spec",
    "Comparison": "ecgtransfer.study.plan",
    "EcgTransferError": "ecgtransfer.errors",
    "Pretraining": "ecgtransfer.comparison",
    "Record": "ecgtransfer.signals",
    "Stated": "ecgtransfer.signals",
    "Store": "ecgtransfer.datasets.store",
    "build": "ecgtransfer.networks",
    "compare": "ecgtransfer.comparison",
    "evaluate_model": "ecgtransfer.study.evaluation",
    "load_model": "ecgtransfer.networks",
    "prepare": "ecgtransfer.datasets.prepare",
    "read": "ecgtransfer.signals",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ecgtransfer' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
