"""The intervals of simulated ECGs, measured by a detector that is itself calibrated on real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgtransfer import signals
from ecgtransfer.datasets.simulation import generate
from tests.datasets.delineation import INTERVALS, annotated, bias, measured

REAL, SIMULATED = 40, 48


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of wfdb, once per annotation file
def test_intervals_are_what_an_independent_detector_finds(data: Path) -> None:
    pytest.importorskip("ecgdeli", reason="the detector is not installed: pip install ecgdeli==1.0.0")
    folder = data / "ludb" / "data"
    if not folder.is_dir():
        pytest.skip("LUDB is not among the real recordings")
    real = []
    for number in range(1, 201, 200 // REAL):
        record = signals.read(folder / f"{number}.hea")
        real.append((annotated(folder / f"{number}.hea"), measured(record.signal, record.sampling_rate)))
    made = generate("A", SIMULATED, seed=11)
    simulated = []
    for signal, truth in zip(made.signals, made.truth.to_dict("records"), strict=True):
        if truth["SR"] + truth["SB"] + truth["STACH"] and not truth["2AVB"]:
            nominal = {"HR": truth["rate"], **{name: truth[name] for name in INTERVALS[1:]}}
            simulated.append((nominal, measured(signal, made.sampling_rate)))
    assert len(real) == REAL
    assert len(simulated) > 0.6 * SIMULATED
    for name in INTERVALS:
        of_detector, in_simulation = (
            bias(*np.array([(found[name], true[name]) for true, found in pairs]).T)
            for pairs in (real, simulated)
        )
        # In ms; of heart rate per minute, where far less is asked for.
        assert abs(in_simulation[0] - of_detector[0]) < (2 if name == "HR" else 15), name
        assert in_simulation[1] < 6, name
        assert min(of_detector[2], in_simulation[2]) > 25, name
