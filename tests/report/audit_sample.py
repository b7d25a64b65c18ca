"""Two small stores and invented findings that fill every part of the audit page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer.datasets.store import Chunk, Store, write
from ecgtransfer.datasets.store_info import StoreDescription
from ecgtransfer.signals import STANDARD_LEADS

HOSTILE = 'AF <script>alert("x")</script> & "quoted"'
LONG = "a-label-without-any-space-that-is-far-too-long-for-a-telephone-" * 2


def store(path: Path, prefix: str, n: int = 24, rate: float = 100.0) -> Store:
    """Write a store of twelve-lead records with beats, some of them damaged."""
    rng = np.random.default_rng(1)
    time = np.arange(round(10 * rate)) / rate
    heights = np.array([0.7, 1.0, 0.3, -0.85, 0.2, 0.65, -0.6, -0.9, 0.6, 1.2, 1.3, 0.9])
    windows = np.zeros((n, 12, len(time)))
    for record in range(n):
        beats = np.arange(0.3, 10, 60 / (55 + 2 * record))
        shape = sum(np.exp(-0.5 * ((time - beat) / 0.02) ** 2) for beat in beats)
        windows[record] = heights[:, None] * shape + 0.01 * rng.standard_normal((12, len(time)))
    windows[1, 7, 300:700] = 0.05
    windows[2] *= 5
    windows[3, 11, 400:] += 9
    steps = np.rint(1000 * windows).astype(np.int16)
    steps[4, :, 600:] = -32768
    ids = [f"{prefix}{number:03d}" for number in range(n)]
    ids[5] = f"{prefix}<b>5</b>"
    chunk = Chunk(
        windows=steps,
        window_record=np.arange(n),
        starts=np.zeros(n, dtype=np.int64),
        records=[
            {
                "record_id": name, "file": f"{number}.hea", "patient_id": f"P{number}", "fold": None,
                "age": float(30 + number) if number % 5 else None,
                "sex": ("male", "female", None)[number % 3], "source": prefix, "device": None,
                "flags": ("short: 6.0 s",) if number == 4 else (),
                "hash": name, "scale_uv": 1.0,
            }
            for number, name in enumerate(ids)
        ],
        statements=[{"AF": int(number % 4 == 0), "RBBB": None} for number in range(n)],
    )  # fmt: skip
    description = StoreDescription(
        name=path.stem, source=prefix, title="invented", leads=STANDARD_LEADS, sampling_rate=rate,
        n_samples=len(time), licence="none", citation="none", address="none", recipe={"name": "invented"},
        tasks={"rhythm": [["AF", ["AF"]]]}, annotated=("AF",), official_folds=False, patients_known=True,
        polarity_uncertain=False,
    )  # fmt: skip
    return write(path, description, [chunk])


def findings(names: tuple[str, str], pairs: int = 3) -> dict[str, Any]:
    a, b = names

    def described(name: str, patients: int | None) -> dict[str, Any]:
        return {
            "name": name, "source": name[:1], "records": 24, "windows": 24, "patients": patients,
            "patient_separation": "by patient" if patients else "patient separation cannot be verified",
            "sampling_rate": 100.0, "leads": list(STANDARD_LEADS), "seconds": 10.0,
            "notes": ["a note with <angle brackets>"],
            "coverage": {
                "mapped": [{"label": "atrial fibrillation", "code": "AF", "records": 6}],
                "unmapped": [{"label": HOSTILE, "records": 2}, {"label": LONG, "records": 1}],
            },
            "prevalence": [
                {"source": f"{name[:1]}{part}", "statement": f"S{number}", "present": number,
                 "absent": 30 - number, "unknown": 0}
                for part in range(6) for number in range(30)
            ] + [{"source": "a0", "statement": "RBBB", "present": 0, "absent": 0, "unknown": 24}],
            "cooccurrence": [{"a": "AF", "b": "RBBB", "records": 3}],
        }  # fmt: skip

    duplicates = [
        {"a": [a, f"a{n:03d}"], "b": [b, f"b{n:03d}"], "kind": "exact" if n % 2 else "near",
         "similarity": 0.9987, "shift_s": 0.0 if n % 2 else -1.25, "gain": 1.0 if n % 2 else 0.2,
         "same_patient": (True, False, None)[n % 3], "folds": [3, 7] if n == 1 else None}
        for n in range(pairs)
    ]  # fmt: skip
    flags = [
        {"record": [a, "a001"], "flag": "flat", "evidence": "V2 from 3.0 to 7.0 s"},
        {"record": [a, "a002"], "flag": "amplitude", "evidence": "the 12 leads span 7.2 mV on average"},
        {"record": [a, "a003"], "flag": "electrode off", "evidence": "the baseline of V6 moves by 9.0 mV"},
        {"record": [b, "b004"], "flag": "mains", "evidence": "50 Hz in V5 (±30 µV)"},
        {"record": [b, "b004"], "flag": "short", "evidence": "6.0 s"},
        {"record": [a, "a<b>5</b>"], "flag": "limb leads", "evidence": "aVF = II − I/2 is off by 2.56 mV"},
        {"record": [a, "not there"], "flag": "flat", "evidence": "I throughout"},
    ]  # fmt: skip
    return {
        "stores": [described(a, 24), described(b, None)],
        "duplicates": duplicates,
        "flags": flags,
        "patients_in_two_stores": [{"patient": "P7", "stores": [[a, 1], [b, 2]]}],
        "one_ecg_two_patients": [{"a": [a, "a001"], "b": [b, "b001"], "patients": ["P1", "Q<1>"]}],
        "few_positives": [{"store": a, "statement": LONG, "positives": 3, "negatives": 21, "unknown": 0}],
        "confounding": {
            "source_from_signal": [
                {
                    "between": "a and b",
                    "auroc": 0.981,
                    "n": 48,
                    "features": ["power above 40 Hz", "mean span"],
                }
            ],
            "statements": [
                {"statement": "AF", "prevalences": {"a": 0.84, "b": 0.05, "c": None}, "cramers_v": 0.81}
            ],
        },
        "label_disagreement": [{"a": [a, "a000"], "b": [b, "b000"], "statement": "AF", "values": [1, None]}],
        "summary": [f"{pairs} pairs of records are the same ECG.", f"{HOSTILE} is not in the vocabulary."],
    }
