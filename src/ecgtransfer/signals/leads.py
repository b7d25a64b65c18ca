"""Leads in the order asked for, with the limb leads that follow from I and II."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ecgtransfer.errors import ConfigError
from ecgtransfer.signals.record import Record, standard_lead

# Weights of I and II, by Einthoven's law (II = I + III) and Goldberger's definition of the augmented leads.
_FROM_I_AND_II = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}


def arrange(
    record: Record, leads: Sequence[str]
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...]]:
    """Return a record's leads by name, in the order asked for.

    III, aVR, aVL and aVF are computed from I and II where the record has those two but not the lead itself.

    Parameters
    ----------
    record : Record
        One ECG.
    leads : sequence of str
        The leads wanted, in any spelling that `standard_lead` knows.

    Returns
    -------
    signal : float32 array [len(leads), samples]
        In mV; a missing lead is a row of NaN.
    derived : tuple of str
        The leads that were computed.
    missing : tuple of str
        The leads that the record neither has nor determines.

    Raises
    ------
    ConfigError
        If no lead is asked for or one is asked for twice.
    """
    wanted = [standard_lead(name) for name in leads]
    if not wanted or len(set(wanted)) != len(wanted):
        raise ConfigError(
            f"the leads asked for are {', '.join(wanted) or 'none'}",
            remedy="Name at least one, each only once",
        )
    rows = {name: row for row, name in enumerate(record.leads)}
    if record.leads == tuple(wanted):
        return record.signal.copy(), (), ()
    signal = np.full((len(wanted), record.n_samples), np.nan, dtype=np.float32)
    derived, missing = [], []
    for row, name in enumerate(wanted):
        if name in rows:
            signal[row] = record.signal[rows[name]]
        elif name in _FROM_I_AND_II and "I" in rows and "II" in rows:
            one, two = _FROM_I_AND_II[name]
            signal[row] = (
                np.float32(one) * record.signal[rows["I"]] + np.float32(two) * record.signal[rows["II"]]
            )
            derived.append(name)
        else:
            missing.append(name)
    return signal, tuple(derived), tuple(missing)
