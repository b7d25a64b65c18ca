"""From raw recordings to a store: in parallel, resumable, with a reason for every record that is left out.

The listing is cut into chunks. Each is converted on its own and left in ``OUT.partial/``, where a later call
with the same input and recipe finds it; when all are there, the store is written in the order of the listing
and the working folder removed. The number of workers has no influence on a single byte.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ecgtransfer.datasets import archive, convert, pool, sources, store
from ecgtransfer.datasets.recipes import PAPER_RATE, PAPER_SECONDS, RECIPES
from ecgtransfer.datasets.sources import Entry, Listing, Request, Source
from ecgtransfer.datasets.store_info import StoreDescription
from ecgtransfer.errors import ConfigError, DataError, nearest
from ecgtransfer.files import make_folder, naming
from ecgtransfer.progress import Progress
from ecgtransfer.signals import STANDARD_LEADS, standard_lead
from ecgtransfer.signals.readers.stated import Stated

UNVERIFIED = "patient separation cannot be verified: not every record names its patient"


@dataclass(frozen=True)
class PrepareSummary:
    """What `prepare` did.

    Parameters
    ----------
    path : Path
        The store.
    n_listed : int
        Records that the dataset lists or the folder holds; each was kept or rejected.
    n_records, n_windows : int
        Records kept, and their windows.
    n_rejected : int
        Records left out.
    rejected : tuple of dict
        ``record_id``, ``file``, ``reason`` of each, as in ``rejected.csv``.
    notes : tuple of str
        What there is to know about the records that were kept.
    seconds : float
        Time taken.
    """

    path: Path
    n_listed: int
    n_records: int
    n_windows: int
    n_rejected: int
    rejected: tuple[dict[str, str], ...]
    notes: tuple[str, ...]
    seconds: float

    def sentence(self) -> str:
        """Return how many of how many records there are."""
        windows = f"{self.n_windows:,} window{'s' * (self.n_windows != 1)}"
        text = f"{self.n_records:,} of {self.n_listed:,} records, {windows}"
        return text + (f", {self.n_rejected:,} rejected (see rejected.csv)" if self.n_rejected else "")


def prepare(
    source: str,
    path: str | Path,
    out: str | Path,
    *,
    rate: float = 100.0,
    seconds: float = 10.0,
    leads: tuple[str, ...] | None = None,
    length: Literal["cover", "first"] = "cover",
    table: str | Path | None = None,
    stated: Stated | None = None,
    recipe: str = "default",
    workers: int | None = None,
    quiet: bool = False,
) -> PrepareSummary:
    """Turn a dataset into a store.

    Parameters
    ----------
    source : str
        Name of the source, see `sources.names`.
    path : path
        The dataset's folder, a folder around it, or the archive as downloaded (zip, tar.gz).
    out : path
        The store to make. While it is being made its parts are in ``OUT.partial/``.
    rate : float
        Samples per second in the store, Hz.
    seconds : float
        Length of a window, s.
    leads : tuple of str, optional
        Leads and their order; by default those of the source. A record without one of them is kept, the lead
        has no samples, and a flag says so; a record with none of them is rejected.
    length : {'cover', 'first'}
        Several windows of a longer record, the last aligned to its end, or its first one only. A shorter
        record is padded with "no sample".
    table : path, optional
        Table of labels, for the source ``folder``.
    stated : Stated, optional
        What the files do not say themselves (rate, unit, leads), for the source ``folder``.
    recipe : {'default', 'paper'}
        How the signals are treated, see `recipes.RECIPES`; ``paper`` always takes the first 10 s at 100 Hz.
    workers : int, optional
        Processes; by default one per core, or just this one for a small dataset.
    quiet : bool
        No progress on stderr.

    Returns
    -------
    PrepareSummary

    Raises
    ------
    ConfigError
        For an unknown source, recipe or lead, or numbers that make no window.
    DataError
        If ``path`` is not the dataset, ``out`` is there already, or no record at all could be prepared.
    """
    started = time.monotonic()
    path, out = Path(path), Path(out)
    origin = sources.get(source)
    request = Request(
        rate=float(rate),
        table=None if table is None else Path(table),
        leads=None if leads is None else tuple(standard_lead(lead) for lead in leads),
        seconds=float(seconds),
        recipe=recipe,
        stated=Stated() if stated is None else stated,
    )
    n_samples = _check(origin, request, seconds, length, recipe, workers)
    if os.path.lexists(out):  # a link to nowhere too, which would be met when all is read
        raise DataError("is there already", where=out, remedy="Remove it or choose another name")
    work = out.with_name(out.name + ".partial")
    root = _dataset_folder(origin, path, work, quiet)
    listing = origin.list_records(root, request)
    if recipe == "paper":
        length = "first"
    shape = convert.Shape(request.leads or listing.leads, request.rate, n_samples, length, recipe)
    description = _describe(out, origin, listing, shape, recipe, seconds)
    jobs = pool.jobs_of(origin, listing, shape, description.recipe, work)
    with naming(work):
        pool.run(jobs, workers, Progress(f"preparing {source}", quiet=quiet))

    if listing.rejected or any(convert.rejections(job) for job in jobs):
        # The official folds belong to the complete source; a part of it is divided afresh.
        description = dataclasses.replace(description, official_folds=False)
    rejected = [_rejection(item.record_id, item.file, item.reason) for item in listing.rejected]
    flags: Counter[str] = Counter()
    n_listed = len(listing.entries) + len(listing.rejected)
    if not listing.entries:
        first = f"; the first: {listing.rejected[0].reason}" if listing.rejected else ""
        shutil.rmtree(work, ignore_errors=True)
        raise DataError(f"none of the {n_listed} records can be prepared{first}", where=root)
    try:
        with naming(out):
            made = store.write(out, description, _chunks(jobs, listing, rejected, flags), rejected)
    except DataError as error:
        if len(rejected) < n_listed:
            raise
        # The first that was tried says more than one that was never listed.
        told = rejected[min(len(listing.rejected), len(rejected) - 1)]
        first = f"{told['file'] or told['record_id']}: {told['reason']}"
        shutil.rmtree(work, ignore_errors=True)
        raise DataError(
            f"none of the {n_listed} records can be prepared; the first: {first}", where=root
        ) from error
    shutil.rmtree(work, ignore_errors=True)
    return PrepareSummary(
        path=out,
        n_listed=n_listed,
        n_records=made.n_records,
        n_windows=made.n_windows,
        n_rejected=len(rejected),
        rejected=tuple(rejected),
        notes=(
            *made.info.notes,
            *_duplicate_notes(made),
            *_unit_note(flags, made.n_records),
            *_flag_notes(flags),
        ),
        seconds=time.monotonic() - started,
    )


def _check(
    origin: Source, request: Request, seconds: float, length: str, recipe: str, workers: int | None
) -> int:
    """Refuse what makes no store; return the samples per window."""
    if recipe not in RECIPES:
        raise ConfigError(f"there is no recipe {recipe!r}", remedy=nearest(recipe, RECIPES))
    if length not in ("cover", "first"):
        raise ConfigError(f"there is no length policy {length!r}", remedy=nearest(length, ("cover", "first")))
    if not 1 <= request.rate <= 10_000:
        raise ConfigError(f"a rate of {request.rate:g} Hz is not possible", remedy="Choose 1 to 10000 Hz")
    if workers is not None and workers < 1:
        raise ConfigError(f"{workers} workers cannot work", remedy="Choose 1 or more")
    n_samples = round(request.rate * seconds)
    if n_samples < 1 or abs(n_samples - request.rate * seconds) > 1e-6 * n_samples:
        raise ConfigError(
            f"{seconds:g} s at {request.rate:g} Hz are {request.rate * seconds:g} samples",
            remedy="Choose a length with a whole number of samples",
        )
    if recipe == "paper" and (request.rate, seconds) != (PAPER_RATE, PAPER_SECONDS):
        raise ConfigError(
            f"the recipe 'paper' is {PAPER_SECONDS:g} s at {PAPER_RATE:g} Hz",
            remedy="Leave out --rate and --seconds",
        )
    own_files = origin.records is None
    if request.stated != Stated() and not own_files:
        raise ConfigError(
            f"the files of {origin.name} say themselves what is in them",
            remedy="State rate, unit and leads for the source 'folder' only",
        )
    if request.table is not None and not own_files:
        raise ConfigError(f"the source {origin.name} has its own table", remedy="Leave out --table")
    if request.leads is not None:
        known = (*STANDARD_LEADS, *origin.leads)
        if not request.leads or len(set(request.leads)) < len(request.leads):
            raise ConfigError(f"leads {' '.join(request.leads)!r}: one at least, and none twice")
        unknown = [lead for lead in request.leads if lead not in known]
        if unknown and not own_files:
            raise ConfigError(f"{origin.name} has no lead {unknown[0]!r}", remedy=nearest(unknown[0], known))
    return n_samples


def _dataset_folder(origin: Source, path: Path, work: Path, quiet: bool) -> Path:
    """Return the folder of the dataset: in ``path``, or in the archive that ``path`` is or holds."""
    if not path.exists():
        raise DataError("there is no such file or folder", where=path, remedy="Check the path")
    found = None
    if path.is_dir() and origin.records is None:
        return path  # the table's file names are relative to the very folder that was named
    if path.is_dir():
        found = origin.find(path)
        inside = [child for child in sorted(path.iterdir()) if archive.is_archive(child)]
        if found is None and len(inside) == 1:
            return _unpacked(origin, inside[0], work, quiet)
    elif archive.is_archive(path):
        return _unpacked(origin, path, work, quiet)
    if found is None:
        raise DataError(
            f"this is not {origin.title}, nor a folder or archive that holds it",
            where=path,
            remedy=f"Download it from {origin.address}",
        )
    return found


def _unpacked(origin: Source, path: Path, work: Path, quiet: bool) -> Path:
    make_folder(work)
    archive.unpack(path, work / "raw", quiet=quiet)
    for name in origin.beside:
        if path.with_name(name).is_file():
            shutil.copyfile(path.with_name(name), work / "raw" / name)
    found = origin.find(work / "raw")
    if found is None:
        shutil.rmtree(work, ignore_errors=True)
        raise DataError(
            f"the archive does not hold {origin.title}",
            where=path,
            remedy=f"Download it from {origin.address}",
        )
    return found


def _describe(
    out: Path, origin: Source, listing: Listing, shape: convert.Shape, recipe: str, seconds: float
) -> StoreDescription:
    return StoreDescription(
        name=out.name.removesuffix(".ecgs"),
        source=origin.name,
        title=origin.title,
        leads=shape.leads,
        sampling_rate=shape.rate,
        n_samples=shape.n_samples,
        licence=origin.licence,
        citation=origin.citation,
        address=origin.address,
        recipe={
            "name": recipe,
            **RECIPES[recipe],
            "source_signal": origin.signal_note,
            "rate": shape.rate,
            "seconds": float(seconds),
            "leads": list(shape.leads),
            "length": shape.length,
        },
        tasks=listing.tasks,
        annotated=listing.annotates,
        official_folds=origin.official_folds and listing.complete,
        patients_known=listing.patients_known,
        polarity_uncertain=origin.polarity_uncertain,
        notes=(
            *(() if listing.patients_known else (UNVERIFIED,)),
            *((_paper_note(origin),) if recipe == "paper" else ()),
            *listing.notes,
        ),
        coverage=listing.coverage,
    )


def _chunks(
    jobs: list[convert.Job], listing: Listing, rejected: list[dict[str, str]], flags: Counter[str]
) -> Iterator[store.Chunk]:
    """Yield the chunks for the store; append what the workers rejected to ``rejected``, count the flags."""
    for number, job in enumerate(jobs):
        entries = listing.entries[number * pool.CHUNK : (number + 1) * pool.CHUNK]
        part = convert.load(job)
        for position, reason in part.rejected:
            rejected.append(_rejection(entries[position].record_id, entries[position].file, reason))
        records = []
        for kept in part.kept:
            record = _record(entries[kept["position"]], kept, job.source)
            flags.update(flag.split(":")[0] for flag in record["flags"])
            records.append(record)
        if records:
            yield store.Chunk(
                windows=part.windows,
                window_record=part.window_record,
                starts=part.starts,
                records=records,
                statements=[entries[kept["position"]].statements for kept in part.kept],
                second=[entries[kept["position"]].second for kept in part.kept],
            )


def _record(entry: Entry, kept: dict[str, Any], source: str) -> dict[str, Any]:
    return {
        "record_id": entry.record_id,
        "file": entry.file,
        "patient_id": entry.patient_id,
        # The dataset's own table comes first; a header's comment fills in what it does not say.
        "age": entry.age if entry.age is not None else kept["age"],
        "sex": entry.sex if entry.sex is not None else kept["sex"],
        "fold": entry.fold,
        "flags": tuple(flag.replace(";", ",") for flag in (*entry.flags, *kept["flags"])),
        "source": entry.source or source,
        "device": entry.device,
        "hash": kept["hash"],
        "scale_uv": kept["scale_uv"],
    }


def _rejection(record_id: str, file: str, reason: str) -> dict[str, str]:
    return {"record_id": record_id, "file": file, "reason": reason}


def _paper_note(origin: Source) -> str:
    if origin.paper_scaled:
        return "recipe paper: each lead of each record is scaled to -1 ... 1, so these are no mV"
    return "recipe paper: signals stay in mV, because the study is not known to have scaled this dataset"


def _unit_note(flags: Counter[str], n_records: int) -> list[str]:
    """Ask about the unit where most records have amplitudes that no heart has."""
    if n_records < 2 or flags["amplitude"] <= n_records / 2:
        return []
    return [
        f"{flags['amplitude']:,} of {n_records:,} records have amplitudes that no heart has: check the unit "
        "(--file-units) or the gains in the headers"
    ]


def _duplicate_notes(made: store.Store) -> list[str]:
    pairs = len(made.duplicates)
    if not pairs:
        return []
    return [
        f"{pairs:,} pair{'s' * (pairs != 1)} of duplicates, which share a side of every split (see audit)"
    ]


def _flag_notes(flags: Counter[str]) -> list[str]:
    return [f"{count:,} record{'s' * (count != 1)} flagged {flag!r}" for flag, count in sorted(flags.items())]
