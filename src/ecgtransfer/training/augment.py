"""Random changes that leave the statements of a recording as they are; on its device, all at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ecgtransfer.errors import ConfigError

WANDER_HZ = (0.05, 0.5)
"""Frequencies of baseline wander: electrode drift up to respiration."""


@dataclass(frozen=True)
class Augmentation:
    """How strongly training windows are varied; 0 (or False) switches one off without moving the others.

    Parameters
    ----------
    gain : float
        Every record is scaled by a factor drawn log-uniformly from 1/(1 + gain) to 1 + gain, the same for
        all its leads, because the ratios between leads carry the axis.
    wander : float
        Largest amplitude in mV of a sinusoid of 0.05 to 0.5 Hz; frequency and phase are drawn per record, the
        amplitude (and its sign) per lead.
    noise : float
        Largest standard deviation in mV of white Gaussian noise, drawn per record.
    crop : float
        Largest time shift as a share of the window; what is shifted in is "no sample" (0).
    lead_dropout : float
        Probability that a lead is set to 0. At least one lead of a record is kept: a single one is never
        dropped.
    polarity_flip : bool
        Turn half of the records upside down: for sources whose electrodes may have been swapped.
    """

    gain: float = 0.2
    wander: float = 0.1
    noise: float = 0.02
    crop: float = 0.1
    lead_dropout: float = 0.05
    polarity_flip: bool = False

    def __post_init__(self) -> None:
        for name, limit in (
            ("gain", 100.0),
            ("wander", 100.0),
            ("noise", 100.0),
            ("crop", 1.0),
            ("lead_dropout", 1.0),
        ):
            value = getattr(self, name)
            if not 0.0 <= value <= limit:
                raise ConfigError(
                    f"augmentation {name} is {value}", remedy=f"Choose a value from 0 to {limit:g}"
                )

    @classmethod
    def none(cls) -> Augmentation:
        """Return the augmentation that changes nothing."""
        return cls(gain=0.0, wander=0.0, noise=0.0, crop=0.0, lead_dropout=0.0, polarity_flip=False)

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return any(getattr(self, field.name) for field in fields(self))


def augment(
    signals: Tensor, augmentation: Augmentation, *, sampling_rate: float, generator: torch.Generator
) -> Tensor:
    """Return a varied copy of a batch.

    A sample of exactly 0 mV counts as "no sample", which is how the store hands it over: wander and noise
    leave it at 0, so that padding and missing leads do not become a signal. The price: a sample measured as
    exactly 0 gets neither.

    Parameters
    ----------
    signals : Tensor
        float32 in mV, ``[records, leads, samples]``; not modified.
    augmentation : Augmentation
        How strongly.
    sampling_rate : float
        In Hz.
    generator : torch.Generator
        The only source of randomness. It draws on its own device and the draws are moved to that of
        ``signals``, so that one on the CPU varies a batch alike wherever the batch lies. Every draw is made
        whether or not it is used, so that switching one variation off leaves the draws of the others as they
        were.

    Returns
    -------
    Tensor
        float32 in mV, ``[records, leads, samples]``; ``signals`` itself where nothing is active.
    """
    if not augmentation.active:
        return signals
    n_records, n_leads, n_samples = signals.shape
    draws = torch.rand(n_records, 6 + 2 * n_leads, generator=generator, device=generator.device)
    draws = draws.to(signals.device)
    gain, shift, frequency, phase, deviation, flip = draws[:, :6].unbind(1)
    swing, survival = draws[:, 6 : 6 + n_leads], draws[:, 6 + n_leads :]

    factor = torch.exp((2 * gain - 1) * math.log1p(augmentation.gain))
    if augmentation.polarity_flip:
        factor = torch.where(flip < 0.5, -factor, factor)
    kept = survival >= augmentation.lead_dropout
    kept |= survival == survival.max(dim=1, keepdim=True).values
    varied = _shifted(signals, shift, round(augmentation.crop * n_samples))
    varied = varied * (factor[:, None] * kept)[:, :, None]

    if augmentation.wander or augmentation.noise:
        added = _noise(varied, deviation * augmentation.noise, generator)
        if augmentation.wander:
            low, high = WANDER_HZ
            hertz = low * (high / low) ** frequency
            seconds = torch.arange(n_samples, device=signals.device) / sampling_rate
            wave = torch.sin(2 * math.pi * (hertz[:, None] * seconds + phase[:, None]))
            added.addcmul_(((2 * swing - 1) * augmentation.wander)[:, :, None], wave[:, None, :])
        varied.addcmul_(added, (varied != 0).float())
    return varied


def _shifted(signals: Tensor, draw: Tensor, most: int) -> Tensor:
    """Move every record by its own number of samples, from −most to +most; zeros come in."""
    if most == 0:
        return signals
    n_records, _, n_samples = signals.shape
    start = (draw * (2 * most + 1)).long().clamp(max=2 * most)
    padded = torch.nn.functional.pad(signals, (most, most))
    every_start = padded.unfold(2, n_samples, 1)  # a view: [records, leads, starts, samples]
    return every_start[torch.arange(n_records, device=signals.device), :, start]


def _noise(like: Tensor, deviation: Tensor, generator: torch.Generator) -> Tensor:
    if not bool(deviation.any()):
        return torch.zeros_like(like)
    noise = torch.randn(like.shape, generator=generator, device=generator.device).to(like.device)
    return noise.mul_(deviation[:, None, None])
