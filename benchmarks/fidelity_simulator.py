"""How faithful simulated ECGs are, in three measurements on real recordings (docs/simulator.md).

intervals  HR, PQ, QRS, QT against an independent detector that is calibrated on LUDB (needs `ecgdeli`)
af         a network that has seen simulated records only, on CinC 2017 and PTB-XL
real       classifiers told to separate simulated from real, and what they use

Each writes OUT/NAME.json; what is there already is used: started again, it goes on.

Example: python benchmarks/fidelity_simulator.py intervals af real --data ../shared/data -o fidelity
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ecgtransfer import signals
from ecgtransfer.datasets.simulation import SITES, Site, generate, simulate
from ecgtransfer.files import write_json

REPOSITORY = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).with_name("ecgtransfer")
LEADS = {"I": 0, "II": 1, "V1": 6, "V2": 7, "V3": 8, "V4": 9, "V5": 10, "V6": 11}
EDGES = (0.1, 0.5, 1.5, 5, 10, 20, 30, 45, 55, 80, 120)  # Hz
# Statements are as rare as among the real recordings that are compared: what differs shall be the signal.
HEALTHIER = {"SB": 0.1, "STACH": 0.04, "AF": 0.03, "1AVB": 0.05, "PAC": 0.03, "PVC": 0.05, "LAD": 0.13}
HEALTHIER |= {"LVH": 0.12, "RBBB": 0.03, "LBBB": 0.02, "RAD": 0.03, "STD": 0.06, "INVT": 0.08, "STE": 0.02}
COMPARED = dataclasses.replace(SITES["A"], prevalence=HEALTHIER)


def intervals(data: Path, out: Path, records: int) -> dict[str, Any]:
    """Measure LUDB and simulated records with the same detector; subtract its bias on LUDB."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.datasets import delineation as d

    real, simulated = [], []
    for path in sorted((data / "ludb" / "data").glob("*.hea")):
        record = signals.read(path)
        real.append((d.annotated(path), d.measured(record.signal, record.sampling_rate)))
        note(f"LUDB {len(real)}")
    made = generate("A", records, seed=11)
    for signal, truth in zip(made.signals, made.truth.to_dict("records"), strict=True):
        if truth["SR"] + truth["SB"] + truth["STACH"] and not truth["2AVB"]:
            nominal = {"HR": truth["rate"], **{name: truth[name] for name in d.INTERVALS[1:]}}
            simulated.append((nominal, d.measured(signal, made.sampling_rate)))
            note(f"simulated {len(simulated)}")
    found: dict[str, Any] = {}
    for name in d.INTERVALS:
        figures = {}
        for what, pairs in (("LUDB", real), ("simulated", simulated)):
            values = np.array([(measured[name], true[name]) for true, measured in pairs])
            bias, error, n = d.bias(*values.T)
            figures[what] = {"bias": bias, "standard_error": error, "records": n}
        corrected = figures["simulated"]["bias"] - figures["LUDB"]["bias"]
        found[name] = {"bias_after_calibration": corrected, **figures}
    return found


def af(data: Path, out: Path, records: int, updates: int) -> dict[str, Any]:
    """Train on simulated lead I alone; test on real recordings, beside the irregularity of RR alone."""
    real = {"CinC 2017": ("cinc2017", data / "cinc2017"), "PTB-XL": ("ptbxl", data / "ptbxl500")}
    stores = {name: out / f"{source}-I.ecgs" for name, (source, _) in real.items()}
    lead_one = ("--leads", "I", "--rate", "100", "--quiet", "--workers", "1")
    for name, (source, folder) in real.items():
        run(stores[name], "prepare", source, folder, "-o", stores[name], *lead_one)
    raw, store, model = out / "handheld", out / "handheld.ecgs", out / "model"
    if not store.exists():
        if not (raw / "labels.csv").exists():
            simulate("C", records, raw, seed=1)
        run(store, "prepare", "folder", raw, "-o", store, *lead_one)
    words = ("--network", "resnet1d18-w16", "--task", "all", "--updates", updates, "--learning-rate", 0.003)
    run(model / "result.json", "pretrain", store, "-o", model, *words, "--flip", "--threads", 1)
    found: dict[str, Any] = {"simulated_records": records, "updates": updates}
    for name, path in stores.items():
        said = subprocess.run([COMMAND, "evaluate", model, path, "--json"], check=True, capture_output=True)
        network = json.loads(said.stdout)["test"]["targets"]["AF"]
        found[name] = {"median |dRR|/RR": irregularity(path), "network": network}
    return found


def irregularity(path: Path) -> float:
    """Return the AUROC of median |difference of successive RR| / mean RR for atrial fibrillation."""
    from sklearn.metrics import roc_auc_score

    from ecgtransfer.datasets.store import Store
    from ecgtransfer.study.rr import RR_FEATURES, rr_features

    store = Store.open(path)
    label = store.statements["AF"].to_numpy(dtype=float, na_value=np.nan)
    known = np.flatnonzero(~np.isnan(label))
    column = RR_FEATURES.index("median |difference of successive RR| / mean RR")
    value = rr_features(store, known)[:, column]
    return float(roc_auc_score(label[known], np.nan_to_num(value, nan=float(np.nanmedian(value)))))


def real(data: Path, out: Path, site: Site = COMPARED, records: int = 400) -> dict[str, Any]:
    """Tell simulated from real by features that a person can read, at 250 Hz; cross-validated."""
    import pandas as pd

    made = generate(site, records, seed=5)
    tables = {"simulated": [features(at_250(x, made.sampling_rate)) for x in made.signals]}
    paths = {
        "PTB-XL": sorted((data / "ptbxl500" / "records500").glob("*/*.hea")),
        "LUDB": sorted((data / "ludb" / "data").glob("*.hea")),
    }
    for name, files in paths.items():
        tables[name] = []
        for path in files:
            record = signals.read(path)
            # LUDB's headers invent a gain per lead; one for all, 1000 steps per mV, satisfies Einthoven.
            signal = raw_counts(path) / 1000 if name == "LUDB" else record.signal
            tables[name].append(features(at_250(signal, record.sampling_rate)))
            note(f"{name} {len(tables[name])}")
    frames = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    return {name: separated(frames["simulated"], frames[name]) for name in paths}


def separated(simulated: Any, real: Any) -> dict[str, Any]:
    """Return the AUROC of two classifiers, what they use, and what differs most by itself."""
    import pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.inspection import permutation_importance
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = pd.concat([simulated, real], ignore_index=True)
    y = np.r_[np.zeros(len(simulated)), np.ones(len(real))]
    linear = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=0.03, max_iter=1000))
    boosted = HistGradientBoostingClassifier(max_iter=100, random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    found: dict[str, Any] = {"records": {"simulated": len(simulated), "real": len(real)}}
    for name, model in (("logistic regression", linear), ("gradient boosting", boosted)):
        chance = cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]
        found[name] = float(roc_auc_score(y, chance))
    weights = linear.fit(x, y)[-1].coef_[0]
    lost = permutation_importance(
        boosted.fit(x[::2], y[::2]), x[1::2], y[1::2], scoring="roc_auc", n_repeats=3, random_state=0
    ).importances_mean
    found["largest weights"] = {x.columns[k]: float(weights[k]) for k in np.argsort(-np.abs(weights))[:10]}
    found["AUROC lost without"] = {x.columns[k]: float(lost[k]) for k in np.argsort(-lost)[:10]}
    alone = {c: float(roc_auc_score(y[x[c].notna()], x[c].dropna())) for c in x}
    found["alone"] = {
        c: {"AUROC": alone[c], "simulated": quantiles(simulated[c]), "real": quantiles(real[c])}
        for c in sorted(alone, key=lambda c: -abs(alone[c] - 0.5))[:15]
    }
    return found


def quantiles(values: Any) -> list[float]:
    return [round(float(q), 3) for q in values.quantile([0.1, 0.5, 0.9])]


def features(signal: np.ndarray) -> dict[str, float]:
    """Return what a person might look at in ``signal`` [12, samples] in mV at 250 Hz."""
    from ecgtransfer.study.rr import r_peaks

    x, found = signal[list(LEADS.values())].astype(float), {}
    centred = (x - np.median(x, axis=1, keepdims=True)) * np.hanning(x.shape[1])
    power, hertz = np.abs(np.fft.rfft(centred)) ** 2, np.fft.rfftfreq(x.shape[1], 1 / 250)
    for low, high in itertools.pairwise(EDGES):
        band = np.log10(power[:, (hertz >= low) & (hertz < high)].mean(axis=1) + 1e-9)
        found |= {f"{lead} power {low}-{high} Hz": value for lead, value in zip(LEADS, band, strict=True)}
    peaks = np.rint(r_peaks(x[1:2], 250)[0]).astype(int)
    if len(peaks) > 1:
        found |= {"rate": 15000 / np.median(np.diff(peaks)), "SD of RR (s)": np.std(np.diff(peaks)) / 250}
    peaks = peaks[(peaks > 85) & (peaks < x.shape[1] - 130)]
    if len(peaks) < 2:
        return found
    beats = np.stack([x[:, peak - 80 : peak + 126] for peak in peaks])
    beat = np.median(beats, axis=0)
    differing = beats - beats.mean(axis=2, keepdims=True) - (beat - beat.mean(axis=1, keepdims=True))
    found["differences between beats"] = np.log10(np.median(np.std(differing, axis=(1, 2))) + 1e-6)
    beat -= np.median(beat[:, 58:66], axis=1, keepdims=True)
    share = np.linalg.svd(beat, compute_uv=False) ** 2
    found |= {f"share of component {k + 1}": np.log10(share[k] / share.sum() + 1e-9) for k in (1, 2, 3, 4)}
    for lead, wave in zip(LEADS, beat, strict=True):
        qrs, late = wave[65:98], wave[115:]
        top, size, slope = np.argmax(np.abs(late)), np.ptp(qrs) + 0.05, np.diff(qrs)
        turns = (slope[1:] * slope[:-1] < 0) & (np.abs(qrs[1:-1]) > 0.05 * size)
        found |= {
            f"{lead} R": qrs.max(),
            f"{lead} S": qrs.min(),
            f"{lead} ST": wave[105],
            f"{lead} T": late[top],
            f"{lead} T time": (35 + top) / 250,
            f"{lead} T width": (np.abs(late) > 0.5 * np.abs(late).max()).sum() / 250,
            f"{lead} P": wave[10:60].max() - np.median(wave[10:60]),
            f"{lead} QRS width": (np.abs(qrs) > 0.15 * np.abs(qrs).max()).sum() / 250,
            f"{lead} QRS slope": np.abs(slope).max() / size,
            f"{lead} QRS curvature": np.abs(np.diff(slope)).max() / size,
            f"{lead} QRS turns": float(turns.sum()),
        }
    return found


def at_250(signal: np.ndarray, sampling_rate: float) -> np.ndarray:
    return signals.resample(signal.astype(np.float32), sampling_rate, 250.0)[:, :2500]


def raw_counts(path: Path) -> np.ndarray:
    import wfdb

    return wfdb.rdrecord(str(path.with_suffix("")), physical=False).d_signal.T


def run(product: Path, *words: object) -> None:
    """Run the project's command unless its product is there."""
    if not product.exists():
        subprocess.run([COMMAND, *map(str, words)], check=True)


def note(text: str) -> None:
    print(f"\r{text}  ", end="", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", choices=("intervals", "af", "real"))
    parser.add_argument("--data", type=Path, required=True, help="the folder of real recordings")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--records", type=int, default=200, help="simulated, for intervals")
    parser.add_argument("--af-records", type=int, default=8000)
    parser.add_argument("--af-updates", type=int, default=5000)
    options = parser.parse_args()
    jobs: dict[str, Callable[[], dict[str, Any]]] = {
        "intervals": lambda: intervals(options.data, options.out, options.records),
        "af": lambda: af(options.data, options.out, options.af_records, options.af_updates),
        "real": lambda: real(options.data, options.out),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for what in options.what:
        path = options.out / f"{what}.json"
        if not path.exists():
            write_json(path, jobs[what]())
        print(f"== {what}\n{path.read_text()}")


if __name__ == "__main__":
    main()
