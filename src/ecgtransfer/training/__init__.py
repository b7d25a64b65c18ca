"""The one loop that pre-training, fine-tuning and scratch share, what feeds it and what judges it."""

from ecgtransfer.training.augment import Augmentation, augment
from ecgtransfer.training.feed import Feed, Order, WindowStore
from ecgtransfer.training.loop import FitResult, fit
from ecgtransfer.training.metrics import evaluate, mean_f1, specificity_thresholds, thresholds, weighted_f1
from ecgtransfer.training.objectives import known_bce, masked_bce
from ecgtransfer.training.optimizer import ParameterGroup, default_groups
from ecgtransfer.training.precision import Precision, exact_cudnn, fast_bfloat16, precision_for
from ecgtransfer.training.predict import predict_features, predict_logits
from ecgtransfer.training.selection import SELECTIONS, Selection, get_selection
from ecgtransfer.training.settings import FitSettings, learning_rate

__all__ = [
    "SELECTIONS",
    "Augmentation",
    "Feed",
    "FitResult",
    "FitSettings",
    "Order",
    "ParameterGroup",
    "Precision",
    "Selection",
    "WindowStore",
    "augment",
    "default_groups",
    "evaluate",
    "exact_cudnn",
    "fast_bfloat16",
    "fit",
    "get_selection",
    "known_bce",
    "learning_rate",
    "masked_bce",
    "mean_f1",
    "precision_for",
    "predict_features",
    "predict_logits",
    "specificity_thresholds",
    "thresholds",
    "weighted_f1",
]
