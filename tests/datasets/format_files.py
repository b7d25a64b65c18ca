"""Writes small datasets in the very formats of the published ones, so that their sources can be tested."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer.signals import STANDARD_LEADS
from tests.signals.wfdb_files import write_header, write_record

AUGMENTED = {"aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}


def ecg(seconds: float, rate: float, seed: int = 0, leads: Sequence[str] = STANDARD_LEADS) -> np.ndarray:
    """Return an ECG-like signal [leads, samples] in mV whose limb leads fulfil their identities."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    beat = (t + random.uniform(0, 0.8)) % random.uniform(0.7, 1.0)
    waves = [(0.16, 0.03, 0.12), (0.34, 0.012, 1.0), (0.375, 0.012, -0.25), (0.55, 0.05, 0.28)]

    def lead(gain: float) -> np.ndarray:
        shape = sum(h * np.exp(-0.5 * ((beat - at) / width) ** 2) for at, width, h in waves)
        return gain * shape + 0.02 * random.normal(size=t.size)

    made = {"I": lead(0.7), "II": lead(1.1)}
    made["III"] = made["II"] - made["I"]
    made |= {name: one * made["I"] + two * made["II"] for name, (one, two) in AUGMENTED.items()}
    made |= {f"V{i}": lead((-0.8, 0.3, 0.6, 1.4, 1.2, 0.9)[i - 1]) for i in range(1, 7)}
    made |= {name: lead(0.5) for name in ("vx", "vy", "vz", "MLII")}
    return np.array([made[name] for name in leads])


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def write_ptb(
    root: Path, name: str, reason: str, *, age: str = "81", sex: str = "female", signal: Any = None
) -> Path:
    """Write a record of PTB: twelve leads in .dat, the Frank leads in .xyz, a clinical summary with CRLF."""
    leads = (*STANDARD_LEADS, "vx", "vy", "vz")
    if signal is None:
        signal = ecg(12, 1000, seed=len(list(root.rglob("*.hea"))), leads=leads)
    counts = np.rint(signal * 2000).astype("<i2")
    path = root / f"{name}.hea"
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = path.stem
    path.with_suffix(".dat").write_bytes(np.ascontiguousarray(counts[:12].T).tobytes())
    path.with_suffix(".xyz").write_bytes(np.ascontiguousarray(counts[12:].T).tobytes())
    lines = [f"{stem} {len(leads)} 1000 {counts.shape[1]}"]
    for lead, row in zip(leads, counts, strict=True):
        file = f"{stem}.{'xyz' if lead.startswith('vx') or lead in ('vy', 'vz') else 'dat'}"
        total = (int(row.astype(np.int64).sum()) + 32768) % 65536 - 32768
        lines.append(f"{file} 16 2000 16 0 {row[0]} {total} 0 {lead.lower()}")
    lines += [
        f"# age: {age}",
        f"# sex: {sex}",
        "# ECG date: 01/10/1990",
        "#",
        "# Diagnose:",
        f"# Reason for admission: {reason}",
        "# Acute infarction (localization): infero-latera",
        "# Additional diagnoses: Diabetes mellitus",
        "# Catheterization date: 16-Oct-90",
        "# Therapy:",
        "# Catheterization date: n/a",
    ]
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return path


def tracings(
    count: int,
    leads: Sequence[str],
    *,
    seconds: Sequence[float] = (7.0, 10.0),
    scale: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Return float32 tracings [count, 4096, 12] at 400 Hz with zeros on both sides, as CODE has them."""
    values = np.zeros((count, 4096, 12), dtype=np.float32)
    for row in range(count):
        signal = scale * ecg(seconds[row % len(seconds)], 400, seed=seed + row, leads=leads).T
        first = (4096 - len(signal)) // 2
        values[row, first : first + len(signal)] = signal
    return values


def write_hdf5(path: Path, **datasets: np.ndarray) -> Path:
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values, chunks=_chunks(values))
    return path


def _chunks(values: np.ndarray) -> tuple[int, ...] | None:
    return (min(2, len(values)), *values.shape[1:]) if values.ndim == 3 else None


def write_code_test(
    root: Path, findings: Sequence[Sequence[int]], values: np.ndarray, people: Sequence[tuple[Any, str]] = ()
) -> Path:
    """Write the CODE test set: tracings, gold standard (1dAVb, RBBB, LBBB, SB, AF, ST) and attributes."""
    write_hdf5(root / "ecg_tracings.hdf5", tracings=values)
    write_table(root / "annotations/gold_standard.csv", ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST"), findings)
    if people:
        write_table(root / "attributes.csv", ("age", "sex"), people)
    return root


CODE15_COLUMNS = (
    "exam_id", "age", "is_male", "nn_predicted_age", "1dAVb", "RBBB", "LBBB", "SB", "ST", "AF", "patient_id",
    "death", "timey", "normal_ecg", "trace_file",
)  # fmt: skip


def write_code15(root: Path, exams: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> Path:
    """Write CODE-15 %: the table of all exams, and those parts, each with its row of zeros at the end."""
    defaults = dict.fromkeys(CODE15_COLUMNS[4:10], False) | {
        "age": 50, "is_male": True, "nn_predicted_age": 48.5, "death": "", "timey": "", "normal_ecg": False,
    }  # fmt: skip
    rows = [defaults | dict(exam) for exam in exams]
    write_table(root / "exams.csv", CODE15_COLUMNS, [[row[name] for name in CODE15_COLUMNS] for row in rows])
    for number, part in enumerate(parts):
        ids = [row["exam_id"] for row in rows if row["trace_file"] == part][
            ::-1
        ]  # another order than the table's
        values = tracings(len(ids), STANDARD_LEADS, seed=100 * number)
        write_hdf5(
            root / part,
            exam_id=np.array([*ids, 0], dtype=np.int64),
            tracings=np.concatenate([values, np.zeros((1, 4096, 12), dtype=np.float32)]),
        )
    return root


def write_sph(root: Path, records: Sequence[tuple[str, str, str, Any, str]], seconds: float = 11) -> Path:
    """Write SPH: (ECG_ID, AHA_Code, Patient_ID, Age, Sex) each, with its signal as 16-bit floats."""
    rows = []
    for seed, (name, codes, patient, age, sex) in enumerate(records):
        signal = ecg(seconds, 500, seed=seed).astype(np.float16)
        write_hdf5(root / f"records/{name}.h5", ecg=signal)
        rows.append((name, codes, patient, age, sex, signal.shape[1], "2020-03-04"))
    write_table(root / "metadata.csv", ("ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N", "Date"), rows)
    return root


def write_mitbih(
    root: Path,
    name: str,
    marks: Sequence[tuple[float, str, str]],
    *,
    seconds: float = 33,
    leads: Sequence[str] = ("MLII", "V1"),
    person: str = "69 M 1085 1629 x1",
) -> Path:
    """Write a record of MIT-BIH: format 212, and annotations (second, symbol, note) in an .atr file."""
    import wfdb

    root.mkdir(parents=True, exist_ok=True)
    counts = np.rint(ecg(seconds, 360, seed=int(name), leads=leads) * 200).astype(int).T + 1024
    path = write_record(
        root, counts, name=name, leads=leads, kind=212, scale="200", zero=1024, rate="360",
        comments=(f" {person}", " Aldomet, Inderal"),
    )  # fmt: skip
    wfdb.wrann(
        name,
        "atr",
        np.array([round(at * 360) for at, _, _ in marks]),
        symbol=[symbol for _, symbol, _ in marks],
        aux_note=[note for _, _, note in marks],
        write_dir=str(root),
    )
    return path


MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


def write_mimic(
    root: Path, studies: Sequence[tuple[int, int, Sequence[str]]], *, absent: Iterable[int] = ()
) -> Path:
    """Write MIMIC-IV-ECG: (subject, study, lines of the report) each; no files for those in ``absent``."""
    lists, measurements = [], []
    for subject, study, lines in studies:
        place = f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"
        lists.append((subject, study, study, "2180-07-23 08:44:00", place))
        report = [*lines, *[""] * (18 - len(lines))]
        measurements.append((subject, study, 6848296, "2180-07-23 08:44:00", *report, "0.005-150 Hz", 700))
        if study in absent:
            continue
        folder = root / place
        folder.parent.mkdir(parents=True, exist_ok=True)
        counts = np.rint(ecg(10, 500, seed=study, leads=MIMIC_LEADS) * 200).astype(int).T
        counts[:5, 6] = -32768  # V1 starts without samples, as a few do
        (folder.parent / f"{study}.dat").write_bytes(counts.astype("<i2").tobytes())
        write_header(
            folder.parent,
            [
                f"{study} 12 500 5000 08:44:00 23/07/2180",
                *(f"{study}.dat 16 200.0(0)/mV 16 0 0 0 0 {lead}" for lead in MIMIC_LEADS),
                "#<subject_id>: 1",
            ],
            name=str(study),
        )
    write_table(root / "record_list.csv", ("subject_id", "study_id", "file_name", "ecg_time", "path"), lists)
    write_table(
        root / "machine_measurements.csv",
        (
            "subject_id",
            "study_id",
            "cart_id",
            "ecg_time",
            *(f"report_{i}" for i in range(18)),
            "bandwidth",
            "rr_interval",
        ),
        measurements,
    )
    return root
