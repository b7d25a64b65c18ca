"""What a source is: a public dataset (or a user's folder) that can be listed and read, record by record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ecgtransfer import signals
from ecgtransfer.errors import DataError
from ecgtransfer.signals import Record
from ecgtransfer.signals.readers.stated import Stated

Sex = Literal["male", "female"]
Tasks = dict[str, list[list[Any]]]  # as `tasks.of_source` gives them: name → [[target, [codes]], …]


@dataclass(frozen=True)
class Entry:
    """One record as the dataset's own tables describe it, before its signal is read.

    ``file`` is relative to the dataset's folder; ``statements`` holds 1 (present), 0 (absent) or ``None``
    (unknown) by code, and a code that is not listed is unknown. ``flags`` are remarks on this record.
    ``second`` holds a second reader's opinion the same way, of the statements that have one.
    ``how`` is what `Source.load` must be told to read this very record, as JSON-able values: its row in a
    file that holds several, a gain to use instead of the header's. ``source`` names the dataset that the
    record of a mixture comes from (by default the source itself), ``device`` what recorded it.
    """

    record_id: str
    file: str
    statements: Mapping[str, int | None]
    patient_id: str | None = None
    age: float | None = None
    sex: Sex | None = None
    fold: int | None = None
    flags: tuple[str, ...] = ()
    how: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    device: str | None = None
    second: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Rejection:
    """A record that is left out, and why, in one sentence."""

    record_id: str
    file: str
    reason: str


@dataclass(frozen=True)
class Request:
    """What the user asked for, as far as it decides which files are read."""

    rate: float = 100.0
    table: Path | None = None
    leads: tuple[str, ...] | None = None
    seconds: float = 10.0
    recipe: str = "default"
    stated: Stated = field(default_factory=Stated)


@dataclass(frozen=True)
class Listing:
    """All records of a dataset, in an order that depends on its content alone.

    ``leads``, ``annotates``, ``tasks`` and ``patients_known`` are those of the source except where they
    depend on the user's table. ``complete`` is true where the official folds may be used. ``coverage`` has
    one row per label as the dataset writes it: label, the code it became (``None``: unmapped), and how many
    records carry it.
    """

    root: Path
    entries: tuple[Entry, ...]
    leads: tuple[str, ...]
    annotates: tuple[str, ...]
    tasks: Tasks
    patients_known: bool
    complete: bool = False
    rejected: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()
    coverage: tuple[tuple[str, str | None, int], ...] = ()


def load_file(path: Path, how: Mapping[str, Any]) -> Record:
    """Read a file that holds one record and says all about itself."""
    return signals.read(path)


@dataclass(frozen=True)
class Source:
    """A dataset that `ecgtransfer prepare` knows.

    Parameters
    ----------
    name, title : str
        Short name, and the dataset's own title.
    records, patients : int or None
        Size of the complete dataset; ``None`` where it is not known.
    leads : tuple of str
        Leads that every record has, in the order in which a store keeps them.
    sampling_rate : float or None
        Rate of the recordings in Hz, the highest where there are several.
    licence, citation, address : str
        Terms, references with DOI, and where the dataset is published.
    annotates : tuple of str
        Codes of the statements that are annotated: they are absent where they are not named.
    tasks : dict
        Task name → ordered ``(target, codes)``; a target is "any of these codes".
    contains : callable
        Whether a folder is this dataset's own.
    list_records : callable
        Folder, request → `Listing`.
    load : callable
        Path of a file and the entry's ``how`` → `Record`; by default `signals.read`.
    patients_known : bool
        Whether records can be grouped by patient.
    polarity_uncertain : bool
        Whether a recording may be upside down (a hand-held device with swapped electrodes).
    official_folds : bool
        Whether the complete dataset comes with recommended folds.
    signal_note : str
        How the samples become mV, where that is not simply what the header says.
    other_rates : tuple of float
        Further rates in Hz at which the same recordings are published.
    beside : tuple of str
        Files that may lie beside the archive and belong to the dataset.
    paper_scaled, paper_centred : bool
        Recipe ``paper``: whether the study scaled each lead to its range here, and whether it took the
        middle 10 s instead of the first.
    """

    name: str
    title: str
    records: int | None
    patients: int | None
    leads: tuple[str, ...]
    sampling_rate: float | None
    licence: str
    citation: str
    address: str
    annotates: tuple[str, ...]
    tasks: Tasks
    contains: Callable[[Path], bool]
    list_records: Callable[[Path, Request], Listing]
    load: Callable[[Path, Mapping[str, Any]], Record] = field(default=load_file)
    patients_known: bool = True
    polarity_uncertain: bool = False
    official_folds: bool = False
    signal_note: str = "mV as the header says"
    other_rates: tuple[float, ...] = ()
    beside: tuple[str, ...] = ()
    paper_scaled: bool = True
    paper_centred: bool = False

    @property
    def rates(self) -> tuple[float, ...]:
        """Rates in Hz that a recording may have; empty where any may be."""
        return () if self.sampling_rate is None else (self.sampling_rate, *self.other_rates)

    def find(self, path: Path, *, depth: int = 3) -> Path | None:
        """Return the dataset's own folder: ``path`` or the first sub-folder, level by level, that is one."""
        level = [path]
        for _ in range(depth + 1):
            for folder in level:
                if self.contains(folder):
                    return folder
            level = [child for folder in level for child in _folders(folder)]
        return None


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:
        return []  # a folder that may not be read is not the dataset


def parse_age(text: str, *, where: str) -> tuple[float | None, tuple[str, ...]]:
    """Return an age in years and the flags it raises.

    Ages above 89 are withheld in some datasets, written ``>89`` or 300 (PTB-XL 1.0.3): both become 90 with
    the flag ``age over 89``, so that the oldest patients stay in.

    Raises
    ------
    DataError
        Where the text is not an age.
    """
    text = text.strip()
    if text == "" or text.lower() in {"nan", "unknown", "na", "n/a", "-1"}:
        return None, ()
    if text.startswith(">"):
        return 90.0, ("age over 89",)
    try:
        age = float(text)
    except ValueError:
        raise DataError(
            f"age {text!r} is not a number", where=where, remedy="Write years, or nothing"
        ) from None
    if age == 300:
        return 90.0, ("age over 89",)
    if not 0 <= age <= 130:
        raise DataError(f"age {text} is no age in years", where=where, remedy="Write years, or nothing")
    return age, ()
