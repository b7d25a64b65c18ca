"""Plain arrays in every format: what is written is what is read, and what is not known is refused."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ecgtransfer import signals
from ecgtransfer.errors import ConfigError, SignalError
from ecgtransfer.signals import STANDARD_LEADS, Stated, UnstatedError
from ecgtransfer.signals.readers import FORMATS
from tests.signals.array_files import SUFFIXES, write

pytest.importorskip("scipy")
pytest.importorskip("h5py")

KINDS = sorted(SUFFIXES)
NAMED = [kind for kind in KINDS if kind not in ("npy", "csv")]
SEVERAL = [kind for kind in KINDS if kind not in ("csv", "mat4")]  # that hold three axes
THREE = ("I", "II", "V1")
ALL = Stated(500, "mV", THREE)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def refused(path: Path, *parts: str, error: type[SignalError] = SignalError, **options: Any) -> SignalError:
    with pytest.raises(error) as caught:
        signals.read(path, **options)
    for part in (str(path), *parts):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=npst.arrays(
        np.float32,
        st.tuples(st.just(3), st.integers(4, 9)),
        elements=st.floats(width=32, allow_subnormal=False),
    ),
    turned=st.booleans(),
)
def test_what_is_written_is_read(tmp_path_factory, kind, values, turned):
    if kind == "csv":
        values[:, 0] = 0.5  # a first line without a number is a header, or nothing
    folder = tmp_path_factory.mktemp("any")
    path = write(folder, kind, values.T if turned else values)
    record = signals.read(path, stated=ALL)
    expected = np.where(np.isfinite(values), values, np.nan)
    np.testing.assert_array_equal(record.signal, expected)
    assert record.metadata.get("infinite", 0) == np.isinf(values).sum()
    assert (record.leads, record.sampling_rate) == (THREE, 500)
    assert signals.n_records(path, stated=ALL) == 1


@pytest.mark.parametrize("kind", SEVERAL)
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "u1", "<f2"])
def test_rows_of_several_records(tmp_path, kind, dtype):
    values = (noise(5, 3, 40) * 50 + 120).astype(dtype)
    for array in (values, values.transpose(0, 2, 1), np.asfortranarray(values)):
        path = write(tmp_path, kind, array)
        assert signals.n_records(path, stated=ALL) == 5
        for row in (0, 4, 2):
            record = signals.read(path, stated=ALL, row=row)
            np.testing.assert_array_equal(record.signal, values[row].astype(np.float32))
            assert record.metadata["row"] == row
        refused(path, "holds 5 recordings", "0 to 4", stated=ALL, error=UnstatedError)
        refused(path, "there is no row 5", "rows 0 to 4", stated=ALL, row=5)
        refused(path, "there is no row -1", stated=ALL, row=-1)


def test_a_file_without_a_recording_is_refused(tmp_path):
    np.save(tmp_path / "none.npy", np.zeros((0, 2, 100), dtype=np.float32))
    refused(tmp_path / "none.npy", "[0, 2, 100] holds no recording", stated=Stated(250, "mV", ("I", "II")))


@pytest.mark.parametrize("kind", KINDS)
def test_one_lead_has_its_records_in_rows(tmp_path, kind):
    values = noise(4, 30) + 2
    path = write(tmp_path, kind, values)
    one = Stated(300, "mV", ("I",))
    assert signals.n_records(path, stated=one) == 4
    np.testing.assert_array_equal(signals.read(path, stated=one, row=3).signal, values[3:])
    refused(path, "holds 4 recordings", stated=one, error=UnstatedError)
    for alone in (values[:1], values[:1].T):
        path = write(tmp_path, kind, alone)
        np.testing.assert_array_equal(signals.read(path, stated=one).signal, values[:1])
        refused(path, "no row 1", "one recording (row 0)", stated=one, row=1)


def test_a_file_that_is_written_anew_is_read_anew(tmp_path):
    for kind in SEVERAL:
        for seed in (1, 2):
            values = noise(2, 3, 40 + seed, seed=seed)
            path = write(tmp_path, kind, values)
            np.testing.assert_array_equal(signals.read(path, stated=ALL, row=1).signal, values[1])


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_says_is_refused_all_at_once(tmp_path, kind):
    path = write(tmp_path, kind, noise(3, 40))
    for stated, facts in [
        (None, ("sampling_rate", "units", "leads")),
        (Stated(units="mV"), ("sampling_rate", "leads")),
        (Stated(500, "mV"), ("leads",)),
        (Stated(500, leads=THREE), ("units",)),
    ]:
        error = refused(path, "[3, 40] does not say", "State", stated=stated, error=UnstatedError)
        assert error.facts == facts
    if kind in SEVERAL:
        error = refused(
            write(tmp_path, kind, noise(2, 3, 40)), "which of its recordings", error=UnstatedError
        )
        assert error.facts == ("sampling_rate", "units", "leads", "row")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "npy"])
def test_what_the_file_says_is_used_and_not_contradicted(tmp_path, kind):
    values = noise(3, 40)
    facts = {"fs": 250, "Units": "uV"} | ({} if kind == "mat4" else {"lead_names": list(THREE)})
    path = write(tmp_path, kind, values, **facts)
    leads = THREE if kind == "mat4" else None
    record = signals.read(path, stated=Stated(leads=leads) if leads else None)
    np.testing.assert_array_equal(record.signal, (values.astype(np.float64) / 1000).astype(np.float32))
    assert (record.sampling_rate, record.leads) == (250, THREE)
    assert signals.read(path, stated=Stated(250, "\u00b5V", THREE)).sampling_rate == 250
    refused(path, "it says 250 Hz, but 500 Hz is stated", stated=Stated(500, leads=leads))
    refused(path, "it says uV, but mV is stated", stated=Stated(units="mV", leads=leads))
    if kind != "mat4":
        refused(path, "it says leads I, II, V1, but II, I, V1", stated=Stated(leads=("II", "I", "V1")))


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_that_do_not_tell_leads_from_samples(tmp_path, kind):
    refused(write(tmp_path, kind, noise(3, 3) + 4), "[3, 3] fits 3 leads either way", stated=ALL)
    refused(write(tmp_path, kind, noise(4, 9)), "[4, 9] does not fit 3 leads", stated=ALL)
    if kind in SEVERAL:
        refused(write(tmp_path, kind, noise(2, 3, 3)), "either way", stated=ALL, row=0)
        # Leads before the records, as MATLAB users write them: which of the others counts records?
        refused(write(tmp_path, kind, noise(3, 40, 5)), "[3, 40, 5] does not fit 3 leads", stated=ALL, row=0)
    if kind in SEVERAL and not kind.startswith("mat"):
        refused(write(tmp_path, kind, noise(2, 2, 3, 40)), "has 4 axes", stated=ALL, row=0)
        refused(write(tmp_path, kind, noise(3)), "[3] does not fit 3 leads", stated=ALL)


@pytest.mark.parametrize(
    ("units", "factor"),
    [("mV", 1), ("uV", 1e-3), ("\u00b5V", 1e-3), ("\u03bcv", 1e-3), ("V", 1e3), ("1000/mV", 1e-3),
     ("1 / uV", 1e-3), ("200/mV", 5e-3), ("4.88 uV", 4.88e-3), ("0.005mV", 5e-3), ("microvolts", 1e-3)],
)  # fmt: skip
def test_units(tmp_path, units, factor):
    counts = np.random.default_rng(1).integers(-3000, 3000, (3, 50)).astype(np.int16)
    record = signals.read(write(tmp_path, "npy", counts), stated=Stated(500, units, THREE))
    np.testing.assert_allclose(record.signal, counts * factor, rtol=1e-6)


def test_the_step_that_means_zero(tmp_path):
    path = write(tmp_path, "npy", np.array([[1024, 1224, 824, 0]]))
    record = signals.read(path, stated=Stated(500, "200(1024)/mV", ("I",)))
    np.testing.assert_allclose(record.signal, [[0, 1, -1, -5.12]])


@pytest.mark.parametrize(
    "wrong",
    [{"units": "mmHg"}, {"units": "0/mV"}, {"units": "1000"}, {"units": ""}, {"units": "-3/mV"},
     {"units": "0uV"},
     {"sampling_rate": 0}, {"sampling_rate": math.nan}, {"sampling_rate": -1}, {"sampling_rate": math.inf},
     {"leads": ()}, {"leads": ("I", "i")}, {"leads": ("I", "")}],
)  # fmt: skip
def test_what_cannot_be_stated(wrong):
    with pytest.raises(ConfigError):
        Stated(**wrong)


@given(
    st.builds(
        Stated,
        st.none() | st.floats(0.1, 1e5),
        st.none() | st.sampled_from(["mV", "uV", "1000/mV"]),
        st.none() | st.lists(st.sampled_from(STANDARD_LEADS), min_size=1, unique=True).map(tuple),
        st.none() | st.text(min_size=1),
    )
)
def test_statements_survive_json(stated):
    assert Stated.from_json(stated.to_json()) == stated
    assert Stated().over(stated) == stated
    assert bool(stated) == (stated != Stated())


def test_a_statement_in_detail_counts_more_than_a_general_one():
    own = Stated(500, leads=("i", "AVR")).over(Stated(250, "mV", ("II",)))
    assert own == Stated(500.0, "mV", ("I", "aVR"))
    with pytest.raises(ConfigError, match=r"'unit' can be stated.*Did you mean units"):
        Stated.from_json({"unit": "mV"})


@pytest.mark.parametrize("kind", NAMED)
def test_which_of_several_arrays(tmp_path, kind):
    other = noise(1, 40)
    path = write(tmp_path, kind, noise(3, 40))
    if kind.startswith("npz"):
        np.savez(path, ecg=noise(3, 40), time=other)
    elif kind.startswith("hdf5") or kind == "mat7.3":
        import h5py

        with h5py.File(path, "r+") as file:
            file["time"] = other.T if kind == "mat7.3" else other
    else:
        from scipy.io import savemat

        savemat(path, {"ecg": noise(3, 40), "time": other}, format=kind[-1])
    error = refused(path, "2 arrays", "ecg [3, 40]", "time [1, 40]", stated=ALL, error=UnstatedError)
    assert error.facts == ("variable",)
    named = Stated(500, "mV", THREE, "ecg")
    np.testing.assert_array_equal(signals.read(path, stated=named).signal, noise(3, 40))
    refused(path, "no variable 'egc'", "Did you mean ecg", stated=Stated(500, "mV", THREE, "egc"))
    refused(path, "time [1, 40] does not fit 3 leads", stated=Stated(500, "mV", THREE, "time"))


def test_formats_without_names_have_no_variable(tmp_path):
    for kind in ("npy", "csv"):
        refused(write(tmp_path, kind, noise(3, 40)), "'ecg' is not in it", stated=Stated(variable="ecg"))


def test_numbers_that_are_no_millivolts(tmp_path):
    refused(write(tmp_path, "npy", noise(3, 40).astype(complex)), "complex", stated=ALL)
    refused(write(tmp_path, "npy", np.full((3, 40), True)), "bool", stated=ALL)
    refused(write(tmp_path, "npy", np.full((3, 40), "x")), "no real numbers", stated=ALL)
    refused(write(tmp_path, "npy", np.full((3, 40), 1e300)), "1e+300 mV is no ECG", stated=ALL)
    refused(write(tmp_path, "npz", noise(3, 40), units="mmHg"), "unit 'mmHg' is unknown", stated=ALL)
    refused(write(tmp_path, "npz", noise(3, 40), fs=-1), "-1 Hz", stated=Stated(units="mV", leads=THREE))
    path = write(tmp_path, "npz", noise(3, 40), units=["mV", "uV"])
    refused(path, "2 units for 3 leads", stated=Stated(500, leads=THREE))
    refused(write(tmp_path, "npz", noise(3, 40), leads=["I", "I", "II"]), "lead I", stated=Stated(500, "mV"))


def test_units_of_each_lead(tmp_path):
    path = write(tmp_path, "npz", noise(3, 40), units=["mV", "uV", "mV"])
    record = signals.read(path, stated=Stated(500, leads=THREE))
    np.testing.assert_allclose(record.signal, noise(3, 40) * [[1], [1e-3], [1]], rtol=1e-6)
    path = write(tmp_path, "npz", noise(3, 40), units=["mV", "", "mV"])
    assert refused(path, "unit", stated=Stated(500, leads=THREE), error=UnstatedError).facts == ("units",)
    np.testing.assert_array_equal(signals.read(path, stated=ALL).signal, noise(3, 40))


def test_a_gain_beside_integers_leaves_the_unit_open(tmp_path):
    counts = (noise(3, 40) * 1000).astype(np.int16)
    path = write(tmp_path, "npz", counts, units="mV", gain=1000)
    refused(path, "what gain = 1000 means is not clear", stated=Stated(500, leads=THREE), error=UnstatedError)
    record = signals.read(path, stated=Stated(500, "1000/mV", THREE))
    np.testing.assert_allclose(record.signal, counts / 1000, rtol=1e-6)
    assert np.array_equal(
        signals.read(write(tmp_path, "npz", noise(3, 40), units="mV", gain=1000), stated=ALL).signal,
        noise(3, 40),
    )


def test_two_names_that_disagree(tmp_path):
    path = write(tmp_path, "npz", noise(3, 40), fs=500, sampling_rate=250)
    refused(path, "contradicts itself: fs = 500 and sampling_rate = 250", stated=ALL)
    path = write(tmp_path, "npz", noise(3, 40), fs=[500, 250])
    refused(path, "fs that is not one number", stated=Stated(units="mV", leads=THREE), error=UnstatedError)


def test_refusals_survive_the_way_from_a_worker(tmp_path):
    error = refused(write(tmp_path, "npy", noise(3, 40)), error=UnstatedError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_every_format_but_wfdb_is_tested_here():
    assert len(FORMATS) == 5
    assert [kind.name for kind in FORMATS if kind.name != "WFDB"] == [
        "NumPy (.npy, .npz)",
        "HDF5 (also MATLAB v7.3)",
        "MATLAB v4 to v7.2",
        "CSV",
    ]
