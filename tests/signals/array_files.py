"""Writes one array in every format that stores plain arrays, as its users do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SUFFIXES = {
    "npy": ".npy", "npz": ".npz", "npz-small": ".npz", "mat4": ".mat", "mat5": ".mat", "mat7.3": ".mat",
    "hdf5": ".h5", "hdf5-small": ".h5", "csv": ".csv",
}  # fmt: skip


def write(folder: Path, kind: str, values: np.ndarray, name: str = "x", **facts: Any) -> Path:
    """Write ``values`` as the array ``ecg``, where the format has names, beside ``facts``."""
    path = folder / f"{name}{SUFFIXES[kind]}"
    _WRITERS[kind](path, values, facts)
    return path


def _npy(path: Path, values: np.ndarray, facts: dict[str, Any]) -> None:
    assert not facts
    np.save(path, values)


def _npz(path: Path, values: np.ndarray, facts: dict[str, Any]) -> None:
    np.savez(path, ecg=values, **facts)


def _npz_small(path: Path, values: np.ndarray, facts: dict[str, Any]) -> None:
    np.savez_compressed(path, ecg=values, **facts)


def _mat(version: str) -> Callable[[Path, np.ndarray, dict[str, Any]], None]:
    def write(path: Path, values: np.ndarray, facts: dict[str, Any]) -> None:
        from scipy.io import savemat

        savemat(path, {"ecg": values, **facts}, format=version, do_compression=version == "5")

    return write


def _mat73(path: Path, values: np.ndarray, facts: dict[str, Any]) -> None:
    """As MATLAB does: behind a user block, axes reversed, every variable with its class, text as numbers."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        data = file.create_dataset("ecg", data=values.T, chunks=values.ndim == 3 or None)
        data.attrs["MATLAB_class"] = np.bytes_("double")
        for name, value in facts.items():
            if isinstance(value, str):
                file[name] = np.array([[ord(character)] for character in value], dtype=np.uint16)
                file[name].attrs["MATLAB_class"] = np.bytes_("char")
            elif isinstance(value, (list, tuple)):
                group = file.require_group("#refs#")
                references = []
                for place, text in enumerate(value):
                    cell = group.create_dataset(
                        f"{name}{place}", data=np.array([[ord(c)] for c in text], dtype=np.uint16)
                    )
                    cell.attrs["MATLAB_class"] = np.bytes_("char")
                    references.append([cell.ref])
                file.create_dataset(name, data=np.array(references, dtype=h5py.ref_dtype))
                file[name].attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                file[name] = np.array([[float(value)]])
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM"
    with path.open("r+b") as stream:
        stream.write(head)


def _hdf5(**options: Any) -> Callable[[Path, np.ndarray, dict[str, Any]], None]:
    def write(path: Path, values: np.ndarray, facts: dict[str, Any]) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            made = file.create_dataset("ecg", data=values, **(options if values.size else {}))
            for name, value in facts.items():
                made.attrs[name] = value

    return write


def _csv(path: Path, values: np.ndarray, facts: dict[str, Any]) -> None:
    lines = [f"# {name}: {','.join(v) if isinstance(v, (list, tuple)) else v}" for name, v in facts.items()]
    lines += [",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in values]
    path.write_text("\n".join(lines) + "\n")


_WRITERS = {
    "npy": _npy,
    "npz": _npz,
    "npz-small": _npz_small,
    "mat4": _mat("4"),
    "mat5": _mat("5"),
    "mat7.3": _mat73,
    "hdf5": _hdf5(),
    "hdf5-small": _hdf5(compression="gzip", chunks=True),
    "csv": _csv,
}
