"""What comes between heart and file: electrodes with their noise, an amplifier with its filters, a converter.

Noise arises at the nine electrodes, before leads are derived from them, so that it obeys Einthoven and
Goldberger like the heart does: wander (breath and drift), mains, muscle, motion. The device digitises I, II
and V1 … V6 and computes the other limb leads from the digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.datasets.simulation.people import People
from ecgtransfer.datasets.simulation.site import Site
from ecgtransfer.datasets.simulation.waves import Array

ELECTRODES = 9  # RA, LA, LL, V1 … V6
_SLOW_HZ = 20.0
# Leads from electrodes; Wilson's terminal is the mean of the three limbs.
_DERIVE = np.zeros((8, ELECTRODES))
_DERIVE[0, :2] = _DERIVE[1, 0:3:2] = -1, 1
_DERIVE[2:, :3] = -1 / 3
_DERIVE[2:, 3:] = np.eye(6)
# Muscle lies near the limb electrodes, the more so in the arms; skin stretches where people breathe.
_MUSCLE = np.array([1.2, 1.2, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8])
_DRIFT = np.array([0.7, 0.7, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
_BREATH = np.array([0.5, 0.5, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0, 1.0])


class Upsample:
    """Smooth curves from a coarse grid of about 20 Hz to samples, by cubic interpolation.

    Parameters
    ----------
    fs : float
        In Hz.
    n_samples : int
    """

    def __init__(self, fs: float, n_samples: int) -> None:
        self.every = max(1, round(fs / _SLOW_HZ))
        self.hertz = fs / self.every
        self.n_samples = n_samples
        self.count = -(-n_samples // self.every) + 3
        self.count += -self.count % 24  # a length that the Fourier transform likes
        t = np.arange(self.every) / self.every
        self._weights = np.array(  # Catmull & Rom
            [
                -0.5 * t + t**2 - 0.5 * t**3,
                1 - 2.5 * t**2 + 1.5 * t**3,
                0.5 * t + 2 * t**2 - 1.5 * t**3,
                -0.5 * t**2 + 0.5 * t**3,
            ],
            dtype=np.float32,
        )
        self._frequency = np.fft.rfftfreq(self.count, 1 / self.hertz)

    def __call__(self, coarse: NDArray[np.floating[Any]], corner_hz: float | None = None) -> Array:
        """Interpolate [..., count] to [..., samples]; with a corner, smoothed first and of deviation 1."""
        if corner_hz is not None:
            coarse = self.coloured(coarse, 1 / (1 + (self._frequency / corner_hz) ** 2))
        coarse = np.asarray(coarse, dtype=np.float32)
        around = np.stack([coarse[..., k : coarse.shape[-1] - 3 + k] for k in range(4)], axis=-1)
        fine = around.reshape(-1, 4) @ self._weights
        return np.asarray(fine.reshape(*coarse.shape[:-1], -1)[..., : self.n_samples])

    def time(self) -> NDArray[np.float64]:
        """Return the times in s [count] of the coarse grid; it begins a step before the first sample."""
        return np.asarray((np.arange(self.count) - 1) / self.hertz)

    def shaking(self, white: NDArray[np.floating[Any]]) -> Array:
        """Return what a slipping electrode adds [..., count], of deviation 1: 0.4 to some 3 Hz."""
        f = self._frequency
        return self.coloured(white, (f > 0.4) / (1 + (f / 3.0) ** 2))

    def coloured(self, white: NDArray[np.floating[Any]], response: NDArray[np.floating[Any]]) -> Array:
        """Filter white noise [..., count] to this amplitude spectrum [frequencies] and deviation 1."""
        response = np.where(self._frequency > 0, response, 0)
        weights = np.where(np.arange(len(response)) * 2 == self.count, 1, 2)
        response = response / np.sqrt((weights * response**2).sum() / self.count)
        return np.asarray(np.fft.irfft(np.fft.rfft(white) * response, self.count), dtype=np.float32)

    def drift(self, white: NDArray[np.floating[Any]]) -> Array:
        """Return electrode drift [..., count] of deviation 1: power falls with the square of frequency."""
        f = self._frequency
        return self.coloured(white, np.maximum(f, 0.04) ** -1.0 / (1 + (f / 1.5) ** 2))


class Device:
    """The electrodes and the amplifier of a site, for so many recordings at once; it keeps its memory.

    Parameters
    ----------
    site : Site
    count : int
        Recordings at once.
    n_samples : int
    """

    def __init__(self, site: Site, count: int, n_samples: int) -> None:
        self.site, fs = site, site.sampling_rate
        self.blur = low_pass_s(site)
        self.up = Upsample(fs, n_samples)
        kernel = np.convolve([1.0, -0.5], _gaussian(self.blur * fs))
        passed = min(1.0, np.sqrt(2 * site.lowpass_hz / fs))
        self._kernel = (kernel / np.sqrt((kernel**2).sum()) * passed).astype(np.float32)
        self._settling = _settling(site.highpass_hz, self.up, n_samples // self.up.every)
        self.noise = np.empty((count, ELECTRODES, n_samples), dtype=np.float32)
        self._white = np.empty((count, ELECTRODES, n_samples + len(kernel) - 1), dtype=np.float32)
        self._uniform = np.empty((3, self._white.size // 2), dtype=np.float32)
        self._product = np.empty_like(self.noise)
        self._signal = np.empty((count, 8, n_samples), dtype=np.float32)
        self._ramp = 2 * np.pi * np.arange(n_samples) / fs

    def record(self, heart: Array, seen: Array, p: People, out: Array, rng: np.random.Generator) -> None:
        """Write ``out`` [recordings, 12, samples] in mV from rows of ``heart``, weighted as ``seen``."""
        derive = np.tile(_DERIVE, (len(seen), 1, 1)).astype(np.float32)
        signal = np.matmul(seen, heart, out=self._signal)
        self._breathe(signal, p)
        self._electrodes(p, rng)
        signal += derive @ self.noise
        one, two = signal[p["swapped"], 0], signal[p["swapped"], 1]
        signal[p["swapped"], 0], signal[p["swapped"], 1] = -one, two - one  # the arms' electrodes exchanged
        self._high_pass(signal)
        self._digitise(signal, out)

    def _breathe(self, signal: Array, p: People) -> None:
        """Let every lead see more and less of the heart as the chest moves: so the axis turns."""
        breath = np.sin(2 * np.pi * p["breath"][:, None] * self.up.time() + p["phases"][:, :1])
        depth = 0.045 * np.sin(p["phases"][:, 3:4] + np.arange(8)) + 0.02
        factor = self._product[:, :8]
        np.multiply(self.up(breath)[:, None], depth.astype(np.float32)[..., None], out=factor)
        factor += 1
        signal *= factor

    def _electrodes(self, p: People, rng: np.random.Generator) -> None:
        """Fill ``noise`` [recordings, electrodes, samples] in mV."""
        count, _, n_samples = self.noise.shape
        site, shape, up = self.site, (count, ELECTRODES), self.up

        def level(median: float, per_electrode: float) -> NDArray[np.float64]:
            person = np.exp(0.5 * rng.standard_normal((count, 1)))
            return np.asarray(median * person * np.exp(per_electrode * rng.standard_normal(shape)))

        # Slow curves, all on the coarse grid: drift, breath, motion.
        slow = up.drift(rng.standard_normal((*shape, up.count), dtype=np.float32))
        slow *= (level(site.wander_mv * 0.8, 0.4) * _DRIFT).astype(np.float32)[..., None]
        breath = np.sin(2 * np.pi * p["breath"][:, None] * up.time() + p["phases"][:, :1] + 0.6)
        share = level(site.wander_mv * 0.5, 0.5) * _BREATH * rng.choice((-1, 1), shape)
        slow += (share[..., None] * breath[:, None]).astype(np.float32)
        _move(slow, site, up, rng)
        # Muscle: white noise made high-pass by a difference, low-pass by the device, waxing and waning.
        white, product, noise = self._white, self._product, self.noise
        self._fill_white(rng)
        np.multiply(white[..., :n_samples], self._kernel[0], out=noise)
        for tap in range(1, len(self._kernel)):
            np.multiply(white[..., tap : tap + n_samples], self._kernel[tap], out=product)
            noise += product
        tension = np.exp(0.3 * up(rng.standard_normal((count, up.count)), 0.3))
        muscle = (level(site.muscle_mv, 0.3) * _MUSCLE).astype(np.float32)
        np.multiply(tension[:, None], muscle[..., None], out=product)
        noise *= product
        noise += up(slow)
        if 2 * site.mains_hz < site.sampling_rate:
            hertz = site.mains_hz + 0.03 * rng.standard_normal((count, 1))
            phase = (hertz * self._ramp + rng.random((count, 1)) * 2 * np.pi).astype(np.float32)
            passed = np.exp(-0.5 * (2 * np.pi * site.mains_hz * self.blur) ** 2)
            hum = (level(site.mains_mv, 0.6) * passed).astype(np.float32)
            np.multiply(hum[..., None], np.sin(phase, out=phase)[:, None], out=product)
            noise += product

    def _fill_white(self, rng: np.random.Generator) -> None:
        """Draw normal noise after Box & Muller: half the time of a generator's own, and most of it all."""
        radius, angle, sine = self._uniform
        rng.random(out=self._uniform[:2], dtype=np.float32)
        np.subtract(1, radius, out=radius)
        np.log(radius, out=radius)
        radius *= -2
        np.sqrt(radius, out=radius)
        angle *= np.float32(2 * np.pi)
        np.sin(angle, out=sine)
        np.cos(angle, out=angle)
        flat = self._white.reshape(-1)
        np.multiply(radius, angle, out=flat[: len(radius)])
        np.multiply(radius, sine, out=flat[len(radius) :])

    def _high_pass(self, signal: Array) -> None:
        """Take away the slow part of ``signal`` [recordings, 8, samples], as a first-order filter does."""
        site, up = self.site, self.up
        if site.highpass_hz == 0:
            return
        whole = signal.shape[2] // up.every
        blocks = signal[..., : whole * up.every].reshape(*signal.shape[:2], whole, up.every)
        means = np.einsum("rlbs->rlb", blocks) / np.float32(up.every)
        slow = means @ self._settling
        after = slow[..., -1:].repeat(up.count - whole - 2, axis=2)
        signal -= up(np.concatenate([slow[..., :1], slow[..., :1], slow, after], axis=2))

    def _digitise(self, signal: Array, out: Array) -> None:
        """Write twelve leads in mV, whole steps of the converter, from eight."""
        site = self.site
        signal *= np.float32(site.gain * site.response)
        np.rint(signal, out=signal)
        np.clip(signal, -_MOST, _MOST, out=signal)
        one, two, step = signal[:, 0], signal[:, 1], np.float32(1 / site.gain)
        np.multiply(signal[:, :2], step, out=out[:, :2])
        np.multiply(two - one, step, out=out[:, 2])
        for row, mean in enumerate(((one + two) * _HALF, two * _HALF - one, one * _HALF - two), start=3):
            np.multiply(np.rint(mean, out=mean), -step, out=out[:, row])
        np.multiply(signal[:, 2:], step, out=out[:, 6:])


_MOST = np.float32(16000)  # a converter ends somewhere; II - I must still fit the 16 bits of the file
_HALF = np.float32(0.5)


def low_pass_s(site: Site) -> float:
    """Return the deviation in s of the device's Gaussian low-pass."""
    return float(np.sqrt(np.log(2)) / (2 * np.pi * min(site.lowpass_hz, 0.45 * site.sampling_rate)))


def _settling(corner_hz: float, up: Upsample, blocks: int) -> Array:
    """Return how the means of blocks become the slow part that a first-order high-pass takes away."""
    keep = np.exp(-2 * np.pi * corner_hz / up.hertz)
    steps = np.arange(blocks)
    past = steps[:, None] - steps
    answer = np.where(past >= 0, (1 - keep) * keep ** past.clip(0), 0)
    answer += keep ** (steps[:, None] + 1) / blocks  # it starts as if the mean had always been there
    return np.ascontiguousarray(answer.T, dtype=np.float32)


def _move(slow: Array, site: Site, up: Upsample, rng: np.random.Generator) -> None:
    """Add motion to some recordings: for a second or so, one or a few electrodes slip; or settle at first."""
    time = up.time()
    for share, latest, strength in ((site.motion, time[-1], 0.25), (site.settling, 0.4, 0.6)):
        moving = np.flatnonzero(rng.random(len(slow)) < share)
        if not len(moving):
            continue
        shape = (len(moving), ELECTRODES)
        centre = rng.uniform(time[0], latest, (len(moving), 1, 1))
        wide = rng.uniform(0.25, 1.5 if latest > 1 else 0.7, (len(moving), 1, 1))
        most = rng.integers(0, ELECTRODES, (len(moving), 1))
        touched = (rng.random(shape) < 0.25) | (np.arange(ELECTRODES) == most)
        size = strength * np.exp(0.7 * rng.standard_normal((len(moving), 1))) * touched
        shaking = up.shaking(rng.standard_normal((*shape, up.count), dtype=np.float32))
        bump = np.exp(-0.5 * ((time - centre) / wide) ** 2)
        slow[moving] += (size[..., None] * bump * shaking).astype(np.float32)


def _gaussian(width: float) -> NDArray[np.float64]:
    reach = int(np.ceil(2.5 * width)) if width > 0.3 else 0
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return np.asarray(taps / taps.sum())
