"""Fine-tune a pre-trained ECG network or train from scratch: the evidence and the model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ecgtransfer.conduct import conduct, redraw
    from ecgtransfer.datasets.prepare import prepare
    from ecgtransfer.datasets.store import Store
    from ecgtransfer.errors import EcgTransferError
    from ecgtransfer.networks import build, load_model
    from ecgtransfer.signals import Record, Stated, read
    from ecgtransfer.study.evaluation import evaluate_model
    from ecgtransfer.study.plans.plan import DownstreamPlan, StudyPlan, UpstreamPlan
    from ecgtransfer.study.plans.toml import read_plan
    from ecgtransfer.study.spec import Budget

__all__ = [
    "Budget",
    "DownstreamPlan",
    "EcgTransferError",
    "Record",
    "Stated",
    "Store",
    "StudyPlan",
    "UpstreamPlan",
    "build",
    "conduct",
    "evaluate_model",
    "load_model",
    "prepare",
    "read",
    "read_plan",
    "redraw",
]

# Imported when first asked for, so that `import ecgtransfer` loads neither pandas nor torch.
_HOMES = {
    "Budget": "ecgtransfer.study.spec",
    "DownstreamPlan": "ecgtransfer.study.plans.plan",
    "EcgTransferError": "ecgtransfer.errors",
    "Record": "ecgtransfer.signals",
    "Stated": "ecgtransfer.signals",
    "Store": "ecgtransfer.datasets.store",
    "StudyPlan": "ecgtransfer.study.plans.plan",
    "UpstreamPlan": "ecgtransfer.study.plans.plan",
    "build": "ecgtransfer.networks",
    "conduct": "ecgtransfer.conduct",
    "evaluate_model": "ecgtransfer.study.evaluation",
    "load_model": "ecgtransfer.networks",
    "prepare": "ecgtransfer.datasets.prepare",
    "read": "ecgtransfer.signals",
    "read_plan": "ecgtransfer.study.plans.toml",
    "redraw": "ecgtransfer.conduct",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ecgtransfer' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
