"""Quality: what is wrong with a recording, as flags with their evidence. Nothing is repaired here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.signals import stretches
from ecgtransfer.signals.limb_leads import LIMB_LEADS, limb_lead_fault
from ecgtransfer.signals.mains import mains_lines
from ecgtransfer.signals.record import Record

Array = NDArray[np.float32]

NAMES: dict[str, str] = {
    "flat": "A lead, or a part of it, hardly moves: less than 10 µV for 2 s, or not at all for 1 s.",
    "clipped": "A lead stays at its largest or smallest value, which it reaches in a jump: an amplifier or "
    "a converter was at its limit.",
    "NaN": "Samples are missing.",
    "infinite": "Samples are infinite: a file was written or converted wrongly.",
    "amplitude": "The leads are too large or too small for an ECG in mV, or have all been given the same "
    "span: a wrong gain or unit, or a normalisation.",
    "limb leads": "The six limb leads contradict each other (III = II − I, aVR = −(I + II)/2, "
    "aVL = I − II/2, aVF = II − I/2): leads are swapped, inverted, rescaled or damaged.",
    "mains": "A line at 50 or 60 Hz, or at twice that, stands out of the spectrum by 20 µV or more.",
    "too short": "The recording is shorter than 5 s: too few beats to judge a rhythm.",
    "electrode off": "The leads that share an electrode are flat, at their limits or jump by several mV, "
    "and the others are not.",
}
"""Every flag and what it means, in one sentence."""

SHORTEST = 5.0  # s
LEAP_MV, NOISE_MV, NOISE_TURNS = 2.5, 0.5, 3.5

# Mean over the leads of the span within 2 s, in mV, by the least number of leads it holds for. Of 1,073
# twelve-lead recordings with a right gain (LUDB, PTB-XL at two rates, CPSC, Georgia, PTB) none lies outside,
# their range is 0.53 to 3.5; of the 58 Challenge headers whose gain is wrong by a factor of about 5, none
# lies inside (0.17 to 0.48 and 4.3 to 11). The limits were chosen on these recordings; made 5 times too large
# or too small, about 1.5 % of the 1,073 would pass. Fewer leads vary more.
_PLAUSIBLE_MEAN = ((8, 0.5, 3.7), (4, 0.25, 5.0), (1, 0.1, 10.0))
_PLAUSIBLE_LEAD = 15.0


@dataclass(frozen=True)
class Flag:
    """One finding about a recording.

    ``name`` is a key of `NAMES`, ``evidence`` says in which lead and by how much (without a semicolon),
    ``leads`` are those concerned.
    """

    name: str
    evidence: str
    leads: tuple[str, ...] = ()


def check(record: Record) -> tuple[Flag, ...]:
    """Return what is wrong with a recording, at most one flag of a kind, in the order of `NAMES`.

    Works at any rate and with any leads; where a check does not apply (identities without I and II, mains
    above 0.4 of the sampling rate) it is left out. Exchanged limb *electrodes* fulfil the identities and are
    not found; exchanged limb *leads* are.

    Parameters
    ----------
    record : Record
        Any length. Its metadata's ``gain`` (steps per mV of each lead), where there, serves as evidence.

    Returns
    -------
    tuple of Flag
    """
    flags: list[Flag] = []
    if record.seconds < SHORTEST:
        flags.append(Flag("too short", f"{record.seconds:.1f} s (the least is {SHORTEST:g} s)"))
    if record.n_samples == 0:
        return tuple(flags)
    signal, present = record.signal, None
    # One sum shows whether there is anything to look for: it is NaN or infinite where any sample is.
    if not np.isfinite(signal.sum()):
        finite = np.isfinite(signal)
        if not finite.all():
            present = finite
            flags += _not_finite(record, present)
            signal = _filled(signal, present)
    extremes = stretches.extremes(signal, record.sampling_rate)
    flat = stretches.flat_stretches(signal, record.sampling_rate, extremes, present)
    limit = stretches.limit_stretches(signal, record.sampling_rate, extremes)
    flags += _flat(record, flat) + _clipped(record, signal, limit)
    usable = _shares(record, flat) <= 0.5
    if present is not None:
        usable &= present.mean(axis=1) > 0.5
    amplitude, absurd = _amplitude(record, extremes, usable)
    flags += amplitude
    flags += _limb_leads(record, signal, usable, present)
    if not absurd:  # in a wrong unit there is no telling what a large jump or a strong line is
        flags += _mains(record, signal)
        flags += _electrodes(record, signal, extremes, _shares(record, flat), _shares(record, limit))
    kinds = {flag.name for flag in flags}
    return tuple(
        _merged(name, [flag for flag in flags if flag.name == name]) for name in NAMES if name in kinds
    )


def _merged(name: str, flags: list[Flag]) -> Flag:
    """Return one flag for all findings of a kind."""
    leads = dict.fromkeys(lead for flag in flags for lead in flag.leads)
    return Flag(name, " and ".join(flag.evidence for flag in flags), tuple(leads))


def _not_finite(record: Record, present: NDArray[np.bool_]) -> list[Flag]:
    infinite = np.isinf(record.signal)
    flags = []
    for name, mask in (("NaN", ~present & ~infinite), ("infinite", infinite)):
        shares = mask.mean(axis=1)
        leads = tuple(lead for lead, share in zip(record.leads, shares, strict=True) if share)
        if leads:
            most = "" if len(leads) == 1 else f", most in {record.leads[int(shares.argmax())]}"
            text = f"{int(mask.sum())} samples of {_names(leads)} ({_percent(shares.max())}{most})"
            flags.append(Flag(name, text, leads))
    return flags


def _filled(signal: Array, present: NDArray[np.bool_]) -> Array:
    """Return the signal with each lead's median where a sample is missing: it adds no span and no jump."""
    middle = [
        np.median(lead[known]) if known.any() else 0 for lead, known in zip(signal, present, strict=True)
    ]
    return np.where(present, signal, np.array(middle, dtype=np.float32)[:, None])


def _flat(record: Record, found: dict[int, list[tuple[int, int]]]) -> list[Flag]:
    """Return one flag for all leads whose longest flat stretch is the same: a lost cable is one finding."""
    leads_at: dict[str, list[str]] = {}
    for row, parts in found.items():
        first, last = max(parts, key=lambda part: part[1] - part[0])
        start, end = first / record.sampling_rate, last / record.sampling_rate
        whole = end - start > 0.99 * record.seconds - 0.3
        when = "throughout" if whole else f"from {start:.1f} to {end:.1f} s"
        leads_at.setdefault(when, []).append(record.leads[row])
    return [Flag("flat", f"{_names(leads)} {when}", tuple(leads)) for when, leads in leads_at.items()]


def _clipped(record: Record, signal: Array, found: dict[int, list[tuple[int, int]]]) -> list[Flag]:
    if not found:
        return []
    parts = []
    for row, runs in found.items():
        limits = " and ".join(f"{value:.2f}" for value in sorted({float(signal[row, a]) for a, _ in runs}))
        seconds = sum(end - start for start, end in runs) / record.sampling_rate
        often = "once" if len(runs) == 1 else f"{len(runs)} times"
        parts.append(f"{record.leads[row]} stays at {limits} mV for {1000 * seconds:.0f} ms ({often})")
    more = f" and {len(parts) - 3} more leads" if len(parts) > 3 else ""
    leads = tuple(record.leads[row] for row in found)
    return [Flag("clipped", ", ".join(parts[:3]) + more, leads)]


def _amplitude(
    record: Record, extremes: stretches.Extremes, usable: NDArray[np.bool_]
) -> tuple[list[Flag], bool]:
    """Return the flags, and whether the recording as a whole is too large or too small."""
    names = tuple(lead for lead, good in zip(record.leads, usable, strict=True) if good)
    if not names:
        return [], False
    flags = []
    high = extremes.high[usable].max(axis=1).astype(np.float64)
    low = extremes.low[usable].min(axis=1).astype(np.float64)
    whole = high - low
    mean = float(extremes.spans[usable].mean())
    least, most = next((low, high) for leads, low, high in _PLAUSIBLE_MEAN if len(names) >= leads)
    absurd = not least <= mean <= most
    if absurd:
        several = len(names) > 1
        what = (
            f"the {len(names)} leads span {mean:.2g} mV on average"
            if several
            else f"{names[0]} spans {mean:.2g} mV"
        )
        text = f"{what} within 2 s{_stated_gain(record)} (plausible is {least:g} to {most:g} mV)"
        flags.append(Flag("amplitude", text, names))
    elif whole.max() > _PLAUSIBLE_LEAD:
        widest = int(whole.argmax())
        text = f"{names[widest]} spans {whole[widest]:.1f} mV (plausible is up to {_PLAUSIBLE_LEAD:g} mV)"
        flags.append(Flag("amplitude", text, (names[widest],)))
    # Measured spans are never alike to half a per cent in several leads, nor exactly 0 to 1 or -1 to 1.
    same = len(names) >= 3 and whole.max() - whole.min() <= 0.005 * whole.max()
    unit = np.abs(high - 1).max() < 1e-4 and min(np.abs(low).max(), np.abs(low + 1).max()) < 1e-4
    if same or unit:
        text = f"every lead spans {whole.mean():.3g} mV from its lowest to its highest sample"
        flags.append(Flag("amplitude", f"{text}: each was normalised by itself", names))
    return flags, absurd


def _limb_leads(
    record: Record, signal: Array, usable: NDArray[np.bool_], present: NDArray[np.bool_] | None
) -> list[Flag]:
    rows = [row for row in np.flatnonzero(usable).tolist() if record.leads[row] in LIMB_LEADS]
    if present is not None and rows:
        signal = signal[:, present[rows].all(axis=0)]
    fault = limb_lead_fault({record.leads[row]: signal[row] for row in rows}, _gains(record))
    return [] if fault is None else [Flag("limb leads", *fault)]


def _stated_gain(record: Record) -> str:
    gains = set(_gains(record).values())
    return f" with the stated {gains.pop():g} steps per mV" if len(gains) == 1 else ""


def _gains(record: Record) -> dict[str, float]:
    gain = record.metadata.get("gain", ())
    return dict(zip(record.leads, map(float, gain), strict=False))


def _mains(record: Record, signal: Array) -> list[Flag]:
    flags = []
    for line, heights in mains_lines(signal, record.sampling_rate):
        leads = tuple(record.leads[row] for row in np.flatnonzero(heights))
        most = "" if len(leads) == 1 else f", most in {record.leads[int(heights.argmax())]}"
        text = f"{line:g} Hz in {_names(leads)} (±{1000 * heights.max():.0f} µV{most})"
        flags.append(Flag("mains", text, leads))
    return flags


def _electrodes(
    record: Record,
    signal: Array,
    extremes: stretches.Extremes,
    flat: NDArray[np.float64],
    limit: NDArray[np.float64],
) -> list[Flag]:
    """Return electrodes whose leads are all bad while the leads without them are not.

    The chest leads hang on the three limb electrodes too, but with a third of the weight.
    """
    leaps = stretches.leaps(extremes)
    # Between beats an ECG rests, and its waves go up and down a few times; noise does neither.
    restless = stretches.restless(extremes, NOISE_MV)
    bad: dict[str, str] = {}
    for row, name in enumerate(record.leads):
        if flat[row] > 0.3:
            bad[name] = f"{name} is flat for {_percent(flat[row])} of the time"
        elif limit[row] > 0.1:
            bad[name] = f"{name} is at its limit for {_percent(limit[row])} of the time"
        elif leaps[row] > LEAP_MV:
            bad[name] = f"the baseline of {name} moves by {leaps[row]:.1f} mV"
        elif restless[row] and (turns := stretches.turns(signal[row], extremes)) > NOISE_TURNS:
            bad[name] = f"{name} is noise (over {NOISE_MV:g} mV, up or down {turns:.0f} times in 0.25 s)"
    if not bad:
        return []
    if len(bad) == len(record.leads):
        text = " and ".join(bad[name] for name in record.leads[:2])
        return [
            Flag("electrode off", text if len(bad) <= 2 else f"all {len(bad)} leads: {text}", record.leads)
        ]
    flags = []
    limbs = [name for name in ("I", "II", "III") if name in record.leads]
    if len(limbs) == 3:
        for electrode, without in (("right arm", "III"), ("left arm", "II"), ("left leg", "I")):
            own = tuple(name for name in limbs if name != without)
            if without not in bad and all(name in bad for name in own):
                text = f"{electrode}: {bad[own[0]]} and {bad[own[1]]}, {without} is good"
                flags.append(Flag("electrode off", text, own))
    chest = tuple(name for name in record.leads if name[:1] == "V" and name in bad)
    if chest and not flags and not any(name in bad for name in limbs):
        text = " and ".join(bad[name] for name in chest[:3])
        flags.append(Flag("electrode off", f"{_names(chest)}: {text}" if len(chest) > 3 else text, chest))
    return flags


def _shares(record: Record, found: dict[int, list[tuple[int, int]]]) -> NDArray[np.float64]:
    """Return the share of the recording that each lead's stretches take."""
    shares = np.zeros(len(record.leads))
    for row, parts in found.items():
        shares[row] = sum(end - start for start, end in parts) / record.n_samples
    return shares


def _names(leads: Sequence[str]) -> str:
    return ", ".join(leads)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
