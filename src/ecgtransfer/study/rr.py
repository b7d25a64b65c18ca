"""R peaks and what the intervals between them say: rhythm in eight numbers, without any learning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import DataError

if TYPE_CHECKING:
    from ecgtransfer.datasets.store import Store

RR_FEATURES = (
    "mean RR (s)",
    "SD of RR (s)",
    "RMSSD / mean RR",
    "median |difference of successive RR| / mean RR",
    "shortest RR (s)",
    "longest RR (s)",
    "beats",
    "pNN50",
)

# The QRS complex is strongest here; T waves lie below, muscle noise and mains above.
_BAND_HZ = (8.0, 22.0)
_LOWEST_RATE = 40.0
# Two beats cannot follow each other faster (240/min).
_REFRACTORY_S = 0.25
# A beat is a peak of at least this share of the largest within ±1.6 s, one artefact not counting for more
# than twice the usual; and of at least 5 µV, so that a flat line has none.
_SHARE, _NEIGHBOURHOOD_S, _CAP, _FLOOR_MV = 0.35, 1.6, 2.0, 0.005
_CHUNK = 512

_cache: dict[str, tuple[NDArray[np.float32], NDArray[np.bool_]]] = {}


def rr_features(store: Store, records: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Return the RR-interval features of records, from lead II where the store has it, else its first lead.

    Computed once per process for each record of a store (known by its fingerprint). A record with several
    windows gets the mean over those in which at least three beats were found.

    Parameters
    ----------
    store : Store
        At 40 Hz or more.
    records : int array [records]
        Positions in the store.

    Returns
    -------
    float32 array [records, features]
        In the order of ``RR_FEATURES``; a row of NaN where no window has three beats.

    Raises
    ------
    DataError
        The sampling rate is too low to tell beats apart.
    """
    records = np.asarray(records, dtype=np.int64)
    empty = np.full((store.n_records, len(RR_FEATURES)), np.nan, dtype=np.float32)
    values, done = _cache.setdefault(store.fingerprint, (empty, np.zeros(store.n_records, dtype=bool)))
    wanted = np.unique(records[~done[records]])
    lead = store.info.leads.index("II") if "II" in store.info.leads else 0
    rows = store.rows_of(wanted)
    total = np.zeros(values.shape)
    count = np.zeros(store.n_records)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        peaks = r_peaks(store.millivolts(chunk)[:, lead], store.info.sampling_rate)
        for record, beats in zip(store.record_of_row[chunk], peaks, strict=True):
            if len(beats) >= 3:
                total[record] += _describe(beats / store.info.sampling_rate)
                count[record] += 1
    found = wanted[count[wanted] > 0]
    values[found] = total[found] / count[found, None]
    done[wanted] = True
    chosen: NDArray[np.float32] = values[records]
    return chosen


def r_peaks(signals: NDArray[np.floating[Any]], sampling_rate: float) -> list[NDArray[np.float64]]:
    """Return where the R peaks (or S or Q: whichever is steepest) of each signal are.

    Peaks of the rectified 8–22 Hz band, averaged over 0.12 s, against a threshold that follows the signal
    (after Pan & Tompkins [1]_); either polarity. Each is then placed between samples, on a parabola through
    the smoothed band.

    On the 200 records of LUDB at 100 Hz, sensitivity and precision within 75 ms are 0.980 and 0.979 in lead
    I, 0.992 and 0.993 in lead II; the error of an RR interval has a standard deviation of 5 ms. (``wfdb``'s
    ``xqrs`` at 100 Hz: 0.89 and 0.70, 0.81 and 0.68; ``gqrs``: 0.94 and 0.99, 0.93 and 1.00.)

    Parameters
    ----------
    signals : float array [signals, samples]
        One lead in mV; a stretch of exact zeros at either end is padding.
    sampling_rate : float
        In Hz, at least 40.

    Returns
    -------
    list of float arrays
        Ascending positions in samples, one array per signal.

    Raises
    ------
    DataError
        The sampling rate is too low.

    References
    ----------
    .. [1] Pan & Tompkins, IEEE Trans. Biomed. Eng. 1985 (10.1109/TBME.1985.325532).
    """
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d
    from scipy.signal import butter, find_peaks, sosfiltfilt

    if sampling_rate < _LOWEST_RATE:
        raise DataError(
            f"beats cannot be told apart at {sampling_rate:g} Hz",
            remedy=f"Prepare the store with --rate of at least {_LOWEST_RATE:g}",
        )
    band = [_BAND_HZ[0], min(_BAND_HZ[1], 0.45 * sampling_rate)]
    sections = butter(2, band, "bandpass", fs=sampling_rate, output="sos")
    distance = max(1, round(_REFRACTORY_S * sampling_rate))
    reach = round(0.05 * sampling_rate)
    found = []
    for signal in _trimmed(signals):
        offset, samples = signal
        if len(samples) <= 2 * distance:
            found.append(np.empty(0))
            continue
        rectified = np.abs(sosfiltfilt(sections, samples))
        envelope = uniform_filter1d(rectified, max(1, round(0.12 * sampling_rate)))
        local = maximum_filter1d(envelope, 2 * round(_NEIGHBOURHOOD_S * sampling_rate) + 1)
        threshold = np.maximum(_SHARE * np.minimum(local, _CAP * np.median(local)), _FLOOR_MV)
        peaks = find_peaks(envelope, distance=distance)[0]
        peaks = peaks[envelope[peaks] > threshold[peaks]]
        found.append(offset + _placed(peaks, gaussian_filter1d(rectified, 0.03 * sampling_rate), reach))
    return found


def _trimmed(signals: NDArray[np.floating[Any]]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield each signal without the padding at its ends, and how many samples went at the start."""
    for signal in signals:
        present = np.flatnonzero(signal)
        start, stop = (present[0], present[-1] + 1) if len(present) else (0, 0)
        yield int(start), signal[start:stop].astype(np.float64)


def _placed(peaks: NDArray[np.int64], smooth: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Move each peak to the largest smoothed value nearby, and there to the top of a parabola."""
    around = np.clip(peaks[:, None] + np.arange(-reach, reach + 1), 1, len(smooth) - 2)
    best = np.unique(np.take_along_axis(around, smooth[around].argmax(axis=1)[:, None], axis=1))
    before, top, after = smooth[best - 1], smooth[best], smooth[best + 1]
    curve = before - 2 * top + after
    shift = np.divide(0.5 * (before - after), curve, out=np.zeros_like(top), where=curve < 0)
    return np.asarray(best + np.clip(shift, -0.5, 0.5), dtype=np.float64)


def _describe(beats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``RR_FEATURES`` of at least three beats at these times in s."""
    rr = np.diff(beats)
    change = np.abs(np.diff(rr))
    mean = rr.mean()
    return np.array(
        [
            mean,
            rr.std(),
            np.sqrt((change**2).mean()) / mean,
            np.median(change) / mean,
            rr.min(),
            rr.max(),
            len(beats),
            (change > 0.05).mean(),
        ]
    )
