"""A random stream per purpose: no global generator anywhere, so that one consumer cannot shift another.

Each stream is derived from (study seed, seed, purpose) and further keys by a cryptographic hash. Reading
more numbers from one (say, for a head with more outputs) therefore leaves all others as they were.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

Purpose = Literal["split", "subset", "order", "encoder", "head", "augment", "bootstrap", "simulate"]


def entropy(study_seed: int, seed: int, purpose: Purpose, *keys: int | str) -> int:
    """Return 64 bits that depend on every argument and on nothing else."""
    text = "\x1f".join(["ecgtransfer", str(study_seed), str(seed), purpose, *map(str, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def stream(study_seed: int, seed: int, purpose: Purpose, *keys: int | str) -> np.random.Generator:
    """Return the generator of this purpose; ``keys`` separate further streams, such as one per update."""
    return np.random.default_rng(entropy(study_seed, seed, purpose, *keys))
